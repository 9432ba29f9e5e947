"""Features before and after adaptation, in the plane: by domain, and by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.benchmark.kinds import WORDS
from dalib.benchmark.pictures.stored import Stored
from dalib.benchmark.pictures.style import explained, percent

EMBEDDINGS = ("tsne", "pca", "umap")
"""Ways of laying features in the plane."""

_TITLES = {"tsne": "t-SNE", "pca": "principal components", "umap": "UMAP"}
_MARKERS = "osD^vP*X"
_FEWEST = 4
"""Rows that an embedding needs at least."""


def features_figure(shown: Stored, embedding: str = "tsne") -> Any | None:
    """One column a method: above the domains, below some classes of the target.

    Args:
        shown: Runs with what is stored beside them.
        embedding: ``"tsne"``, ``"pca"`` or ``"umap"``.

    Raises:
        ImportError: If ``"umap"`` is asked for and umap-learn is not installed.
    """
    from matplotlib.figure import Figure

    if not shown:
        return None
    run = next(iter(shown.values()))[0]
    words = WORDS[run.headline]
    figure = Figure(figsize=(3.4 * len(shown), 6.8), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, (label, (one, features)) in enumerate(shown.items()):
        places, note = _places(np.concatenate([features["source"], features["target"]]), embedding)
        source, target = places[: len(features["source"])], places[len(features["source"]) :]
        right = percent(one, one.checkpoints[-1])
        before = "before adaptation: " if label == "source_only" else ""
        axes[0, column].set_title(f"{before}{label}\n{words.measured}: {right:.1f} %", fontsize=10)
        axes[0, column].set_xlabel(note, fontsize=8)
        _domains(axes[0, column], source, target)
        _classes(axes[1, column], source, target, features, bool(run.data.get("unknown")))
    axes[0, 0].set_ylabel("by domain", fontsize=10)
    axes[1, 0].set_ylabel("the same, some target classes", fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    handles = [handle for axis in axes[:, 0] for handle in axis.get_legend_handles_labels()[0]]
    names = [name for axis in axes[:, 0] for name in axis.get_legend_handles_labels()[1]]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 2 + 2 * len(shown)), fontsize=8)
    figure.suptitle(
        f"{run.title}, {run.scenario}: features of the last checkpoint ({_TITLES[embedding]}, each panel by itself)"
        f"{explained(words)}",
        fontsize=11,
    )
    return figure


def _places(rows: NDArray[Any], embedding: str) -> tuple[NDArray[np.float64], str]:
    """Where the rows are drawn, and a note if it is not by the embedding: t-SNE of equal rows ends the process."""
    rows = rows.astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    note = ""
    if not finite.all():
        note = f"{len(rows) - finite.sum()} of {len(rows)} rows are not finite"
    elif len(rows) < _FEWEST:
        note = f"only {len(rows)} rows"
    elif (rows == rows[0]).all():
        note = "all rows are equal"
    elif rows.shape[1] < 2:
        note = "features of one dimension"
    if not note and embedding != "pca":
        return _embedded(rows, embedding), ""
    places = np.full((len(rows), 2), np.nan)  # a row that is not finite is not drawn
    places[finite] = 0.0
    places[finite, : rows.shape[1]] = rows[finite, :2]  # what is stored are the principal components, in order
    return places, note if embedding == "pca" or not note else f"{note}: no {_TITLES[embedding]}"


def _embedded(rows: NDArray[np.float64], embedding: str) -> NDArray[Any]:
    if embedding == "umap":
        try:
            from umap import UMAP
        except ImportError:
            raise ImportError(
                "--embedding umap needs umap-learn; pip install 'dalib[umap]', or take tsne or pca"
            ) from None
        drawn: NDArray[Any] = UMAP(random_state=0, n_jobs=1).fit_transform(rows.astype(np.float32))
        return drawn
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    method = TSNE(perplexity=min(30.0, (len(rows) - 1) / 3), init="pca", max_iter=400, random_state=0)
    with threadpool_limits(1):  # with so few rows threads wait for each other, on a busy machine most of the time
        places: NDArray[Any] = method.fit_transform(rows.astype(np.float32))
    return places


def _domains(axis: Any, source: NDArray[Any], target: NDArray[Any]) -> None:
    axis.scatter(*source.T, s=14, marker="o", facecolors="none", edgecolors="#0072B2", linewidths=0.6, label="source")
    axis.scatter(*target.T, s=14, marker="x", color="#D55E00", linewidths=0.8, label="target")


def _classes(
    axis: Any, source: NDArray[Any], target: NDArray[Any], features: dict[str, NDArray[Any]], unknown: bool
) -> None:
    """The most frequent classes of the target, and if there are rows of unknown ones, which are all the last, those."""
    import matplotlib as mpl

    labels = features["target_labels"].astype(int)
    rejected = len(features["classes"]) - 1 if unknown else -1
    common = np.argsort(-np.bincount(labels[labels != rejected]), kind="stable")[: len(_MARKERS)]
    axis.scatter(*source.T, s=4, color="0.88")
    axis.scatter(*target[~np.isin(labels, [*common, rejected])].T, s=6, color="0.7")
    if unknown:
        axis.scatter(*target[labels == rejected].T, s=16, marker="x", color="k", linewidths=0.7, label="unknown")
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
