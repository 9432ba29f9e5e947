"""What the boosting forms of transfer share: the source beside the labelled target, rounds, and their vote."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from dalib.weights import _domains, _label_shift

Array = NDArray[np.float64]


def source_rows(source: Any, labels: ArrayLike | None, X: ArrayLike, width: int) -> tuple[Array, NDArray[Any]]:
    """The source rows as a finite float64 matrix of the width of ``X``, and their labels; empty where there is none."""
    if (source is None) != (labels is None):
        missing = "source_labels" if labels is None else "source"
        raise TypeError(f"source and source_labels must be passed together, got no {missing}")
    if source is None:
        return np.empty((0, width)), np.empty(0)
    _domains.same_columns(source, getattr(X, "columns", None), "source", "X")
    rows, marks = _domains.numbers(source, "source"), np.asarray(labels)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"source must have shape (rows, {width}) like X, got {rows.shape}")
    if len(rows) == 0:
        raise ValueError("source must have at least one row, got none; leave source and source_labels out")
    if not np.isfinite(rows).all():
        raise ValueError(f"source must be finite, got NaN or infinity in {int((~np.isfinite(rows)).sum())} entries")
    if marks.shape != rows.shape[:1]:
        raise ValueError(f"source_labels must have shape ({len(rows)},), one label a row, got {marks.shape}")
    return rows, marks


def both_labels(marks: NDArray[Any], own: NDArray[Any]) -> NDArray[Any]:
    """The classes of source and target rows in one array; raise unless they are of one kind and none is missing."""
    kinds = {labels.dtype.kind in "US" for labels in (marks, own) if labels.dtype.kind != "O"}
    if len(kinds) == 2:
        raise TypeError(f"source_labels must be of the kind of y, {own.dtype}, got {marks.dtype}")
    together = np.concatenate([marks, own])
    _label_shift.distinct(together)
    return together


def both_values(marks: NDArray[Any], own: NDArray[Any]) -> Array:
    """The values of source and target rows in one float64 array; raise unless they are finite."""
    values = _domains.numbers(marks, "source_labels")
    if not np.isfinite(values).all():
        raise ValueError("source_labels must be finite, got NaN or infinity; drop the rows without a value")
    return np.concatenate([values, own])


def weighted_learner(estimator: Any, default: Any) -> Any:
    """A copy of the estimator, or of the default where there is none; raise unless it takes weights of rows."""
    learner = clone(default if estimator is None else estimator)
    if not has_fit_parameter(learner, "sample_weight"):
        raise TypeError(f"estimator must take sample_weight in fit, got {type(learner).__name__}")
    return learner


def source_factor(source_count: int, rounds: int) -> float:
    r"""The factor of a source row that is wrong, :math:`1 / (1 + \sqrt{2 \ln n / N})`.

    Example:
        >>> source_factor(1, 10), round(source_factor(100, 10), 4)
        (1.0, 0.5103)
    """
    return 1.0 / (1.0 + math.sqrt(2.0 * math.log(max(source_count, 1)) / rounds))


def second_half(rounds: int) -> int:
    """The first of the rounds that vote: from half of them, rounded up, to the last (counted from one)."""
    return max(math.ceil(rounds / 2), 1) - 1


def weighted_median(values: Array, weights: Array) -> Array:
    """The weighted median of each row of ``values``, shape ``(rows, rounds)``: where half of the weight is reached.

    Example:
        >>> weighted_median(np.array([[5.0, 1.0, 3.0]]), np.array([1.0, 1.0, 3.0]))
        array([3.])
    """
    order = np.argsort(values, axis=1)
    reached = np.cumsum(weights[order], axis=1)
    place = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)
    return np.asarray(np.take_along_axis(values, np.take_along_axis(order, place[:, None], axis=1), axis=1)[:, 0])
