"""Are the domains closer where the accuracy is higher?"""

from __future__ import annotations

import statistics
from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.pictures.style import (
    COLOURS,
    MODE_MARKERS,
    adapted_rows,
    averaged,
    explained,
    named_points,
    percent,
    quiet,
    title,
)

_UNITS = {
    "mmd": "maximum mean discrepancy (Gaussian kernels)",
    "coral": "CORAL distance of covariances",
    "proxy_a": "proxy A-distance",
}

_COMPARED_WITH = ("source_only", "control")


def distance_figure(group: Group) -> Any | None:
    """One panel a recorded distance: distance of the domains' features against accuracy, one point a method."""
    from matplotlib.figure import Figure
    from scipy.stats import spearmanr

    named = list(dict.fromkeys(name for run in group.runs for name in run.checkpoints[-1].get("descriptions", {})))
    points = {name: _points(group, name) for name in named}
    shown = [name for name in named if len(points[name]) > 1]
    if not shown:
        return None
    figure = Figure(figsize=(5.6 * len(shown), 4.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        for row, (distance, accuracy) in points[name].items():
            axes.plot(
                distance, accuracy, MODE_MARKERS.get(row[1], "D"), color=_colour(row), markersize=7, markeredgecolor="k"
            )
        values = list(points[name].values())
        title(axes, f"{_UNITS.get(name, name.replace('_', ' '))}")
        if len(values) > 2 and len({d for d, _ in values}) > 1 and len({a for _, a in values}) > 1:
            rho = float(spearmanr([d for d, _ in values], [a for _, a in values]).statistic)
            axes.set_xlabel(
                f"distance of the domains' features (rank correlation with the {group.words.noun}: {rho:+.2f})",
                fontsize=8,
            )
        else:
            axes.set_xlabel("distance of the domains' features", fontsize=8)
        axes.set_ylabel(f"{group.words.measured} in percent", fontsize=8)
        axes.margins(0.15)
        quiet(axes)
    _legend(figure, {row for name in shown for row in points[name]})
    figure.suptitle(
        f"{group.title}: closer domains, better {group.words.noun}? Last checkpoint, {averaged(group)}"
        f"{explained(group.words)}",
        fontsize=10,
    )
    figure.draw_without_rendering()  # lays it out: where a name fits depends on it
    for axes, name in zip(figure.axes, shown, strict=True):
        named_points(axes, {point: row[0] for row, point in points[name].items()})
    return figure


def _colour(row: tuple[str, str]) -> str:
    return COLOURS[1] if row[0] in _COMPARED_WITH else COLOURS[0]


def _legend(figure: Any, rows: set[tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    names = {"source": "source rows alone", "joint": "joint forward", "separate": "separate forward"}
    handles = [
        Line2D([], [], marker=marker, linestyle="", color="w", markeredgecolor="k", label=names[mode])
        for mode, marker in MODE_MARKERS.items()
        if mode in {row[1] for row in rows}
    ]
    compared = [name for name in _COMPARED_WITH if name in {row[0] for row in rows}]
    if compared:
        handles.append(Line2D([], [], marker="o", linestyle="", color=COLOURS[1], label=" and ".join(compared)))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)


def _points(group: Group, name: str) -> dict[tuple[str, str], tuple[float, float]]:
    found = {}
    for row in adapted_rows(group):
        runs = [run for run in group.runs if (run.method, run.mode) == row]
        known = [run for run in runs if run.checkpoints[-1].get("descriptions", {}).get(name) is not None]
        if known:
            distance = statistics.fmean(float(run.checkpoints[-1]["descriptions"][name]) for run in known)
            found[row] = distance, statistics.fmean(percent(run, run.checkpoints[-1]) for run in known)
    return found
