"""Confusion matrices of the last checkpoint, and the classes that are taken for others most often."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.benchmark.pictures.stored import Stored

_NAMED = 40
_NUMBERED = 12
_WORST = 5


def confusion_figure(shown: Stored) -> Any | None:
    """One matrix a method: rows are true classes of the target, columns predicted ones, in percent of the true class.

    Numbers are written in for few classes; for many the worst confusions are named below. All that is unknown is one
    class, and what is rejected is predicted as it. Records made by versions that stored no predictions are left out.
    """
    from matplotlib.figure import Figure

    known = {label: (run, stored) for label, (run, stored) in shown.items() if "predictions" in stored}
    if not known:
        return None
    run, stored = next(iter(known.values()))
    names = [str(name).replace("_", " ") for name in stored["classes"]]
    width = max(4.2, 0.13 * len(names) + 1.2)
    true = np.unique(np.concatenate([entry["labels"] for _, entry in known.values()]).astype(int))
    height = max(2.6, width * len(true) / len(names))
    figure = Figure(figsize=(width * len(known) + 1.0, height + 2.0), layout="constrained")
    panels = figure.subplots(1, len(known), squeeze=False, sharey=True)[0]
    for axes, (label, (_, entry)) in zip(panels, known.items(), strict=True):
        counts = confusion_counts(entry["labels"].astype(int), entry["predictions"].astype(int), len(names))
        image = _matrix(axes, counts, names, true)
        axes.set_title(f"{label}{_right(counts, run.headline)}", fontsize=9)
        axes.set_xlabel("predicted class\n\n" + "\n".join(_worst(counts, names)), fontsize=8)
    panels[0].set_ylabel("true class of the target row", fontsize=8)
    figure.colorbar(image, ax=list(panels), label="percent of the true class", shrink=0.6)
    absent = "; in brackets: classes that the target has not" if len(true) < len(names) <= _NAMED else ""
    figure.suptitle(
        f"{run.title}, {run.scenario}, seed {run.seed}: what is taken for what, last checkpoint{absent}", fontsize=11
    )
    return figure


def _right(counts: NDArray[np.int64], headline: str) -> str:
    """How much is right, by the number that tables show."""
    if headline == "accuracy":
        return f": {100 * np.trace(counts) / max(counts.sum(), 1):.1f} % right"
    rows = counts.sum(axis=1)
    shares = 100 * np.diag(counts) / np.maximum(rows, 1)
    if headline == "class_accuracy":
        return f"\n{shares[rows > 0].mean():.1f} % right, mean of the classes"
    known = shares[:-1][rows[:-1] > 0].mean()
    return f"\nright: {known:.1f} % of a known class, {shares[-1]:.1f} % of the unknown"


def confusion_counts(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How many rows of each true class (row) were given each class (column).

    Example:
        >>> confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        array([[1, 1],
               [0, 1]])
    """
    counts: NDArray[np.int64] = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return counts.reshape(classes, classes)


def _matrix(axes: Any, counts: NDArray[np.int64], names: list[str], true: NDArray[np.int64]) -> Any:
    """The rows of the classes ``true`` alone, since the target may lack some of the source's."""
    shares = 100 * counts[true] / np.maximum(counts[true].sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    if len(names) <= _NUMBERED:
        for row, predicted in np.argwhere(shares > 0):
            share = shares[row, predicted]
            colour = "w" if share < 50 else "k"
            axes.text(predicted, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    if len(names) <= _NAMED:
        columns = [name if number in true else f"({name})" for number, name in enumerate(names)]
        axes.set_xticks(range(len(names)), columns, rotation=90, fontsize=6)
        axes.set_yticks(range(len(true)), [names[number] for number in true], fontsize=6)
    return image


def _worst(counts: NDArray[np.int64], names: list[str]) -> list[str]:
    """The most frequent confusions in words."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_WORST]
    found = [(int(place) // len(names), int(place) % len(names)) for place in order if wrong.flat[place] > 0]
    rows = counts.sum(axis=1)
    return [f"{names[true]} → {names[as_]}: {wrong[true, as_]} of {rows[true]}" for true, as_ in found] or [
        "no mistakes"
    ]
