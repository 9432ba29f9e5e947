"""What a run costs: seconds of training and evaluation, and memory where it was recorded."""

from __future__ import annotations

import statistics
from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.pictures.style import COLOURS, HATCHES, quiet, title


def cost_figure(group: Group) -> Any:
    """Horizontal bars by method, means over runs; the numbers are written beside them."""
    from matplotlib.figure import Figure

    memory = {row: _mean(group, row, "memory") for row in group.rows}
    recorded = any(value is not None for value in memory.values())
    figure = Figure(figsize=(9.6 if recorded else 7.2, 1.5 + 0.34 * len(group.rows)), layout="constrained")
    panels = figure.subplots(1, 2 if recorded else 1, sharey=True, squeeze=False)[0]
    left = [0.0] * len(group.rows)
    for number, part in enumerate(("training", "evaluation")):
        widths = [_mean(group, row, part) or 0.0 for row in group.rows]
        panels[0].barh(
            range(len(widths)),
            widths,
            0.7,
            left,
            color=COLOURS[number],
            hatch=HATCHES[number],
            edgecolor="w",
            label=part,
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, value in enumerate(left):
        panels[0].annotate(_seconds(value), (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    panels[0].legend(fontsize=8, frameon=False, loc="best")
    panels[0].set_yticks(range(len(group.rows)), [group.label(row) for row in group.rows])
    panels[0].invert_yaxis()
    panels[0].margins(x=0.12)
    panels[0].set_xlabel("seconds a run", fontsize=8)
    title(panels[0], f"{group.title}: seconds a run, mean of pairs and seeds")
    if recorded:
        _memory(panels[1], [memory[row] for row in group.rows])
    for axes in panels:
        quiet(axes)
    devices = sorted({str(run.environment.get("device", "?")) for run in group.runs})
    figure.supxlabel(f"device: {', '.join(devices)}; seconds depend on what else the machine did", fontsize=8)
    return figure


def _memory(axes: Any, values: list[float | None]) -> None:
    axes.barh(range(len(values)), [value or 0.0 for value in values], 0.7, color="0.6", edgecolor="w")
    for place, value in enumerate(values):
        text = "–" if value is None else f"{value:.0f}"
        axes.annotate(text, (value or 0.0, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlabel("MiB, the largest of a run", fontsize=8)
    axes.margins(x=0.15)
    title(axes, "Peak memory, mean over runs")


def _mean(group: Group, row: tuple[str, str], part: str) -> float | None:
    runs = [run for run in group.runs if (run.method, run.mode) == row]
    if part == "memory":
        known = [run.environment[PEAK_MEMORY] for run in runs if run.environment.get(PEAK_MEMORY) is not None]
    else:
        known = [run.seconds[part] for run in runs if part in run.seconds]
    return statistics.fmean(map(float, known)) if known else None


PEAK_MEMORY = "peak_memory_mib"
"""Where a record's environment holds the peak memory of its run."""


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"
