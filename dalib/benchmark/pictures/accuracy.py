"""Target accuracies, or what a table shows in their place, as a heat map."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from dalib.benchmark.group import Group
from dalib.benchmark.pictures.style import explained

_SPAN = 10.0
"""Points between the darkest and the lightest shade at least: less would make much of small differences."""

_LETTERS = 12
"""How many letters of a title have room in an inch."""


def accuracy_figure(group: Group) -> Any:
    """Methods x pairs at the last checkpoint; the numbers are written in, so colour is an aid and no key."""
    from matplotlib.figure import Figure

    rows, columns = group.rows, [*group.pairs, "Avg"]
    cells = [[*(group.cell(row, pair) for pair in group.pairs), group.average(row)] for row in rows]
    values = np.array([[cell.mean if cell.values else np.nan for cell in line] for line in cells])
    labels = [group.label(row) for row in rows]
    width = 1.6 + 0.95 * len(columns)
    figure = Figure(figsize=(width, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    adapted = values[[not group.supervised(row) for row in rows]] if not all(map(group.supervised, rows)) else values
    low, high = _span(float(np.nanmin(adapted)), float(np.nanmax(adapted)))  # the upper bound would flatten it
    image = axes.imshow(values, cmap="cividis", aspect="auto", vmin=low, vmax=high)
    for line, entries in enumerate(cells):
        for column, cell in enumerate(entries):
            dark = bool(values[line, column] < (low + high) / 2)
            weight = "bold" if column == len(columns) - 1 else "normal"
            text = str(cell).replace(" ± ", "\n±")
            size = 8 if cell.deviation is None else 7
            axes.text(
                column, line, text, ha="center", va="center", fontsize=size, weight=weight, color="w" if dark else "k"
            )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), labels)
    axes.axvline(len(columns) - 1.5, color="w", linewidth=2)
    axes.tick_params(length=0)
    figure.colorbar(image, label=f"{group.words.measured} in percent", shrink=0.9)
    seeds = len({run.seed for run in group.runs})
    over = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    title = f"{group.title}: last checkpoint, {over}{explained(group.words)}"
    room = int((width - 0.2) * _LETTERS - max(map(len, labels)))  # from the left edge of the cells
    wrapped = [textwrap.fill(line, max(room, 16)) for line in title.splitlines()]
    axes.set_title("\n".join(wrapped), fontsize=10, loc="left")
    if any(group.supervised(row) for row in rows):
        axes.set_xlabel("† trained on target labels", fontsize=8, loc="left")
    return figure


def _span(low: float, high: float) -> tuple[float, float]:
    """The ends of the colours, within 0 and 100, around numbers from low to high."""
    low = min(max(min(low, (low + high - _SPAN) / 2), 0.0), 100.0 - _SPAN)
    return low, max(high, low + _SPAN)
