"""What is lost when a validator picks: regret, and how its scores follow the accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.pictures.style import COLOURS, HATCHES, explained, quiet, title
from dalib.benchmark.select import LAST
from dalib.benchmark.statistics import ValidatorQuality, validator_quality


def regret_figure(group: Group) -> Any | None:
    """Left: regret of every validator within a run and over all runs of a pair. Right: weighted Spearman correlation."""
    from matplotlib.figure import Figure

    qualities = validator_quality(group)
    if len(qualities) < 2:
        return None
    figure = Figure(figsize=(9.6, 1.9 + 0.5 * len(qualities)), layout="constrained")
    losses, correlations = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _losses(losses, qualities, group.words.noun)
    _correlations(correlations, qualities, group.words.noun)
    losses.set_yticks(range(len(qualities)), [quality.rule.replace("_", " ") for quality in qualities])
    losses.set_ylim(len(qualities) - 0.4, -0.6)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.suptitle(
        f"{group.title}: which validator picks well ({qualities[0].runs} runs, {len(group.pairs)} "
        f"pair{'s' if len(group.pairs) > 1 else ''}){explained(group.words)}",
        fontsize=11,
    )
    return figure


def _losses(axes: Any, qualities: list[ValidatorQuality], noun: str) -> None:
    worst = [quality.worst for quality in qualities]
    _bars(axes, 0, "within a run, mean", [quality.regret for quality in qualities], worst)
    _bars(axes, 1, "over all runs of a pair, mean", [quality.overall_regret for quality in qualities])
    places = [place - 0.2 for place in range(len(qualities))]
    axes.plot(worst, places, "ko", markersize=4, label="worst run")
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"oracle's {noun} minus that of the picked checkpoint, percentage points", fontsize=8)
    title(axes, "Regret (0 is best)")
    quiet(axes)


def _bars(
    axes: Any, number: int, label: str, values: Sequence[float | None], beside: Sequence[float | None] | None = None
) -> None:
    """Bars with their numbers in the same colour, right of a mark that is drawn ``beside`` a bar where it would cover them."""
    places = [place + 0.4 * number - 0.2 for place in range(len(values))]
    widths = [value or 0.0 for value in values]
    axes.barh(places, widths, 0.36, color=COLOURS[number], hatch=HATCHES[number], edgecolor="w", label=label)
    marks = [mark or 0.0 for mark in beside or [0.0] * len(values)]
    room = 0.12 * max([*widths, *marks])
    for place, value, width, mark in zip(places, values, widths, marks, strict=True):
        text = "cannot compare runs" if value is None else f"{value:.1f}"
        where = mark if width <= mark < width + room else width, place
        axes.annotate(text, where, (5, 0), textcoords="offset points", va="center", fontsize=8, color=COLOURS[number])


def _correlations(axes: Any, qualities: list[ValidatorQuality], noun: str) -> None:
    for place, quality in enumerate(qualities):
        if quality.correlation is None:
            text = "has no score" if quality.rule == LAST else "not defined"
            axes.annotate(text, (0, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
            continue
        values = list(quality.correlations.values())
        first = not any(other.correlation is not None for other in qualities[:place])
        axes.plot(values, [place] * len(values), "|", color="0.3", markersize=12, label="a pair" if first else None)
        axes.plot(
            [quality.correlation],
            [place],
            "D",
            color=COLOURS[0],
            markersize=6,
            label="mean of pairs" if first else None,
        )
        text, where = f"{quality.correlation:.2f}", (quality.correlation, place)
        axes.annotate(text, where, (0, 8), textcoords="offset points", ha="center", fontsize=8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_xlim(-1.05, 1.05)
    axes.set_xlabel(f"of score and {noun}, all checkpoints of a pair", fontsize=8)
    title(axes, "Weighted Spearman (1 is best)")
    quiet(axes)
