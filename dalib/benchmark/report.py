"""Pictures of records: accuracies as a heat map, and features before and after adaptation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.benchmark.group import Group, groups
from dalib.benchmark.pictured import load_features
from dalib.benchmark.record import Run, write_whole

_MARKERS = "osD^vP*X"
_PREFERRED = ("dan", "dann", "cdan", "mcc", "deep_coral")


def report(runs: Sequence[Run], folder: Path, *, pair: str | None = None) -> list[Path]:
    """Draw the pictures of some records into ``folder/report``.

    Args:
        runs: Records; those with features stored beside them can be drawn before and after adaptation.
        folder: Folder of the records.
        pair: Scenario whose features are drawn. Default: the first with features of ``source_only`` and another method.

    Returns:
        Paths of the PNG files.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there are no runs or the pair has no stored features.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise ImportError("pictures need matplotlib; pip install 'dalib[bench]'") from None
    mpl.use("Agg")
    paths = []
    found = groups(runs)
    for number, group in enumerate(found, start=1):
        suffix = "" if len(found) == 1 else f"-{number}"
        paths.append(_saved(_heat_map(group), folder / "report" / f"accuracy{suffix}.png"))
        figure = _features(group, folder, pair)
        if figure is not None:
            paths.append(_saved(figure, folder / "report" / f"features{suffix}.png"))
    return paths


def _saved(figure: Any, path: Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, bbox_inches="tight")
    return write_whole(path, content.getvalue())


def _heat_map(group: Group) -> Any:
    """Methods x pairs at the last checkpoint; the numbers are written in, so colour is an aid and no key."""
    from matplotlib.figure import Figure

    rows, columns = group.rows, [*group.pairs, "Avg"]
    cells = [[*(group.cell(row, pair) for pair in group.pairs), group.average(row)] for row in rows]
    values = np.array([[cell.mean if cell.values else np.nan for cell in line] for line in cells])
    figure = Figure(figsize=(1.6 + 0.95 * len(columns), 1.3 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    adapted = values[[not group.supervised(row) for row in rows]] if not all(map(group.supervised, rows)) else values
    low, high = np.nanmin(adapted), np.nanmax(adapted)  # the upper bound would flatten the differences
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
    axes.set_yticks(range(len(rows)), [group.label(row) for row in rows])
    axes.axvline(len(columns) - 1.5, color="w", linewidth=2)
    axes.tick_params(length=0)
    figure.colorbar(image, label="target accuracy in percent", shrink=0.9)
    seeds = len({run.seed for run in group.runs})
    over = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    axes.set_title(f"{group.runs[0].dataset}: last checkpoint, {over}", fontsize=10, loc="left")
    if any(group.supervised(row) for row in rows):
        axes.set_xlabel("† trained on target labels", fontsize=8, loc="left")
    return figure


def _features(group: Group, folder: Path, pair: str | None) -> Any | None:
    """One column a method: above the domains, below some classes of the target; t-SNE of the last features."""
    from matplotlib.figure import Figure

    shown = _panels(group, folder, pair)
    if not shown:
        return None
    chosen = next(iter(shown.values()))[0].scenario
    figure = Figure(figsize=(3.4 * len(shown), 6.6), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, (label, (run, features)) in enumerate(shown.items()):
        places = _embedded(np.concatenate([features["source"], features["target"]]))
        source, target = places[: len(features["source"])], places[len(features["source"]) :]
        accuracy = 100 * run.checkpoints[-1]["accuracy"]
        axes[0, column].set_title(f"{label}\n{accuracy:.1f} % of the target right", fontsize=10)
        _domains(axes[0, column], source, target)
        _classes(axes[1, column], source, target, features)
    axes[0, 0].legend(loc="best", fontsize=8, framealpha=0.9)
    axes[1, 0].legend(loc="best", fontsize=7, framealpha=0.9, ncols=2)
    axes[0, 0].set_ylabel("by domain", fontsize=10)
    axes[1, 0].set_ylabel("the same, some target classes", fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(
        f"{group.runs[0].dataset} {chosen}: features of the last checkpoint (t-SNE, each panel by itself)", fontsize=11
    )
    return figure


def _panels(group: Group, folder: Path, pair: str | None) -> dict[str, tuple[Run, dict[str, NDArray[Any]]]]:
    """Label -> run and features, for ``source_only`` and up to three methods of one pair; empty if there are none."""
    stored: dict[str, dict[str, tuple[Run, dict[str, NDArray[Any]]]]] = {}
    for run in sorted(group.runs, key=lambda run: (run.scenario, run.seed)):
        features = None if run.supervised else load_features(folder, run.stem)
        if features is not None:
            stored.setdefault(run.scenario, {}).setdefault(group.label((run.method, run.mode)), (run, features))
    if pair is not None and pair not in stored:
        raise ValueError(f"--pair must have stored features, got {pair!r}; there are: {', '.join(stored) or 'none'}")
    candidates = [stored[pair]] if pair is not None else list(stored.values())
    for methods in candidates:
        order = [name for wish in ("source_only", *_PREFERRED) for name in methods if name.split(" ")[0] == wish]
        order += [name for name in methods if name not in order]
        if len(order) > 1 or pair is not None:
            return {name: methods[name] for name in order[:4]}
    return {}


def _embedded(rows: NDArray[Any]) -> NDArray[Any]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(rows) - 1) / 3)
    places: NDArray[Any] = TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=0).fit_transform(
        rows.astype(np.float32)
    )
    return places


def _domains(axis: Any, source: NDArray[Any], target: NDArray[Any]) -> None:
    axis.scatter(*source.T, s=14, marker="o", facecolors="none", edgecolors="#0072B2", linewidths=0.6, label="source")
    axis.scatter(*target.T, s=14, marker="x", color="#D55E00", linewidths=0.8, label="target")


def _classes(axis: Any, source: NDArray[Any], target: NDArray[Any], features: dict[str, NDArray[Any]]) -> None:
    import matplotlib as mpl

    labels = features["target_labels"].astype(int)
    common = np.argsort(-np.bincount(labels), kind="stable")[: len(_MARKERS)]
    axis.scatter(*source.T, s=4, color="0.88")
    axis.scatter(*target[~np.isin(labels, common)].T, s=6, color="0.7")
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(common)))
    for label, marker, colour in zip(common, _MARKERS, colours, strict=False):
        rows = target[labels == label]
        axis.scatter(
            *rows.T,
            s=22,
            marker=marker,
            color=colour,
            edgecolors="k",
            linewidths=0.4,
            label=str(features["classes"][label]).replace("_", " "),
        )
