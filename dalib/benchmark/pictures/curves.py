"""Accuracy and validator scores along the training: does a score rise and fall with the accuracy?"""

from __future__ import annotations

import math
import statistics
from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.pictures.style import COLOURS, LINES, MARKERS, adapted_rows, averaged, explained, percent, quiet
from dalib.benchmark.select import LAST, ORACLE, rules, shown_rules

_MOST_SCORES = 5
_COLUMNS = 4


def curves_figure(group: Group) -> Any | None:
    """One panel a method: what tables show and validator scores by step, means over pairs and seeds.

    A score is drawn from its lowest to its highest mean in any panel, so that panels can be compared. Nothing is drawn
    where no run has two checkpoints.
    """
    from matplotlib.figure import Figure

    rows = [row for row in adapted_rows(group) if len(_means(group, row, None)) > 1]
    if not rows:
        return None
    scored = [rule for rule in rules(group.runs) if rule not in (LAST, ORACLE)]
    usual = [rule for rule in shown_rules(group.runs, group.validators) if rule in scored]
    ranges = {score: _range(group, score) for score in scored}
    shown = [score for score in usual if ranges[score] is not None][:_MOST_SCORES]
    columns = min(_COLUMNS, math.ceil(math.sqrt(len(rows))))
    lines = math.ceil(len(rows) / columns)
    figure = Figure(figsize=(3.0 * columns + 0.6, 2.0 * lines + 1.2), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    seconds = []
    for place, axes in enumerate(panels.flat):
        if place >= len(rows):
            axes.set_visible(False)
            continue
        seconds.append(_panel(group, rows[place], axes, shown, ranges))
        seconds[-1].tick_params(labelright=place % columns == columns - 1 or place == len(rows) - 1, labelsize=8)
        if place + columns >= len(rows):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("step", fontsize=8)
    handles = [line for axes in (panels.flat[0], seconds[0]) for line in axes.get_lines()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 2 * columns), fontsize=8, frameon=False
    )
    figure.supylabel(f"{group.words.measured} in percent", fontsize=9)
    left_out = f" ({len(shown)} of {len(scored)} validators)" if len(shown) < len(scored) else ""
    figure.suptitle(
        f"{group.title}: {group.words.noun} and validator scores along the training{left_out}\n"
        f"{averaged(group)}; right axis: each score from its lowest (0) to its highest (1){explained(group.words)}",
        fontsize=10,
    )
    return figure


def _panel(group: Group, row: tuple[str, str], axes: Any, shown: list[str], ranges: dict[str, Any]) -> Any:
    accuracies = _means(group, row, None)
    axes.plot(
        list(accuracies),
        list(accuracies.values()),
        color="k",
        linewidth=2,
        marker="o",
        markersize=4,
        label=group.words.measured,
    )
    axes.set_title(group.label(row), fontsize=9)
    quiet(axes)
    other = axes.twinx()
    other.set_ylim(-0.05, 1.05)
    other.spines[["top"]].set_visible(False)
    for number, score in enumerate(shown):
        low, high = ranges[score]
        means = _means(group, row, score)
        other.plot(
            list(means),
            [(value - low) / (high - low) for value in means.values()],
            color=COLOURS[number],
            linestyle=LINES[1 + number],
            marker=MARKERS[1 + number],
            markersize=3.5,
            linewidth=1.2,
            label=score.replace("_", " "),
        )
    return other


def _means(group: Group, row: tuple[str, str], score: str | None) -> dict[int, float]:
    """By step, the mean of a score, or of what tables show in percent, over all runs of a row that have it."""
    values: dict[int, list[float]] = {}
    for run in group.runs:
        if (run.method, run.mode) == row:
            for checkpoint in run.checkpoints:
                value = percent(run, checkpoint) if score is None else checkpoint["scores"].get(score)
                if value is not None:
                    values.setdefault(checkpoint["step"], []).append(float(value))
    return {step: statistics.fmean(values[step]) for step in sorted(values)}


def _range(group: Group, score: str) -> tuple[float, float] | None:
    means = [value for row in adapted_rows(group) for value in _means(group, row, score).values()]
    return (min(means), max(means)) if means and max(means) > min(means) else None
