"""The critical-difference picture: average ranks of methods over many pairs."""

from __future__ import annotations

from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.statistics import ranking


def ranks_figure(group: Group) -> Any | None:
    """Methods by average rank; a bar joins those that do not differ. Nothing is drawn for fewer than ten pairs."""
    from matplotlib.figure import Figure

    found = ranking(group)
    if found is None:
        return None
    rows, ranks = list(found.ranks), list(found.ranks.values())
    joined = _joined(ranks, found.critical_difference)
    figure = Figure(figsize=(8.4, 1.4 + 0.24 * len(rows) + 0.12 * len(joined)), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(ranks, range(len(rows)), "o", color="#0072B2")
    for place, (row, rank) in enumerate(zip(rows, ranks, strict=True)):
        axes.annotate(
            f"{group.label(row)}  {rank:.2f}",
            (rank, place),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    for number, (first, last) in enumerate(joined):
        axes.plot([ranks[first], ranks[last]], [-0.9 - 0.5 * number] * 2, color="k", linewidth=3, solid_capstyle="butt")
    axes.set_xlim(0.8, len(rows) + 0.8 + 0.18 * len(rows))
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"average rank over {found.pairs} pairs (1 is best)", fontsize=8)
    axes.set_title(
        f"{group.title}: bars join methods that do not differ (Nemenyi, 5 %; critical difference "
        f"{found.critical_difference:.2f}, Friedman p {found.p:.2g})",
        fontsize=9,
        loc="left",
    )
    return figure


def _joined(ranks: list[float], critical: float) -> list[tuple[int, int]]:
    """The longest stretches of ranks that lie within the critical difference, as positions of their ends."""
    stretches: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(first, len(ranks)) if ranks[place] - ranks[first] <= critical)
        if last > first and (not stretches or last > stretches[-1][1]):
            stretches.append((first, last))
    return stretches
