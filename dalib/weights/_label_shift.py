"""What the label-shift estimators share: their three inputs, their classes, and weights of rows from labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dalib.weights import _domains

Array = NDArray[np.float64]


class LabelShiftData(NamedTuple):
    """Checked inputs of a label-shift estimator."""

    source: Array
    """Class probabilities of the source rows, shape ``(n, classes)``."""
    labels: NDArray[np.int64]
    """Column of the true class of each source row, shape ``(n,)``."""
    target: Array
    """Class probabilities of the target rows, shape ``(m, classes)``."""
    prior: Array
    """Share of each class among the source labels, shape ``(classes,)``."""
    classes: NDArray[Any]
    """The class of each column."""


def checked(
    source_probabilities: ArrayLike,
    source_labels: ArrayLike,
    target_probabilities: ArrayLike,
    classes: Sequence[Any] | None,
) -> LabelShiftData:
    """Raise unless the inputs are probabilities of the same classes and labels among these classes."""
    source = probabilities(source_probabilities, "source_probabilities")
    target = probabilities(target_probabilities, "target_probabilities")
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            "source_probabilities and target_probabilities must have the same number of classes, "
            f"got {source.shape[1]} and {target.shape[1]}"
        )
    columns = getattr(source_probabilities, "columns", None)
    _domains.same_columns(target_probabilities, columns, "target_probabilities", "source_probabilities")
    codes, names = encoded(source_labels, source.shape[0], source.shape[1], classes)
    if columns is not None and set(columns) == set(names.tolist()) and list(columns) != names.tolist():
        raise ValueError(
            f"source_probabilities must have its columns in the order of the classes, {names.tolist()}, got {list(columns)}; "
            "pass classes=list(source_probabilities.columns)"
        )
    prior = np.bincount(codes, minlength=len(names)) / len(codes)
    return LabelShiftData(source, codes, target, prior, names)


def probabilities(values: ArrayLike, name: str) -> Array:
    """The values as a float64 matrix; raise unless its rows are probabilities."""
    matrix = _domains.numbers(values, name)
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] < 2:
        raise ValueError(f"{name} must have shape (rows, classes) with at least two classes, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity in {int((~np.isfinite(matrix)).sum())} entries")
    off = float(np.abs(matrix.sum(axis=1) - 1.0).max())
    if (matrix < 0).any() or off > 1e-3:
        raise ValueError(
            f"{name} must be probabilities, not negative and summing to one in each row, got a smallest value of "
            f"{matrix.min():g} and a sum that is off by {off:g}; pass predict_proba or the softmax of the logits"
        )
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def encoded(
    labels: ArrayLike, rows: int, columns: int, classes: Sequence[Any] | None, name: str = "source_labels"
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The column of each label, and the class of each column: sorted labels unless ``classes`` names them."""
    array = np.asarray(labels)
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one label a row, got {array.shape}")
    present_names = distinct(array, name)
    names = present_names if classes is None else np.asarray(classes)
    if names.ndim != 1 or len(distinct(names, "classes")) != len(names):
        raise ValueError(f"classes must name each column once, got {names.tolist()}")
    if (names.dtype.kind in "US") != (array.dtype.kind in "US") and "O" not in (names.dtype.kind, array.dtype.kind):
        raise TypeError(f"{name} must be of the kind of classes, {names.dtype}, got {array.dtype}")
    if len(names) != columns:
        raise ValueError(
            f"the probabilities must have one column for each of the {len(names)} classes {names.tolist()}, "
            f"got {columns}; pass classes= in the order of the columns"
        )
    order = np.argsort(names, kind="stable")
    position = np.clip(np.searchsorted(names[order], array), 0, columns - 1)
    codes = order[position]
    unknown = array[names[codes] != array]
    if len(unknown):
        raise ValueError(f"{name} must be among classes {names.tolist()}, got {unknown.tolist()[0]!r}")
    return codes.astype(np.int64), names


def distinct(labels: NDArray[Any], name: str = "source_labels") -> NDArray[Any]:
    """The labels that occur, sorted; raise unless they can be: some are missing, or text stands beside numbers."""
    try:
        if labels.dtype.kind in "fO" and (labels != labels).any():
            raise ValueError(f"{name} must not hold NaN; drop the rows without a label")
        return np.unique(labels)
    except TypeError as problem:
        kinds = sorted({type(label).__name__ for label in labels.tolist()})
        raise TypeError(
            f"{name} must be of one kind, got {' and '.join(kinds)}; drop the rows without a label, or make all text"
        ) from problem


def present(data: LabelShiftData) -> None:
    """Raise unless every class has a labelled source row: no estimator of ratios can do without."""
    if (data.prior == 0).any():
        missing = data.classes[data.prior == 0].tolist()
        raise ValueError(f"every class must have a source row, got none of {missing}; drop their columns")


def weights_of(labels: ArrayLike, classes: NDArray[Any], class_weights: Array) -> Array:
    """The weight of the class of each label."""
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"labels must have shape (rows,), one label a row, got {array.shape}")
    codes, _ = encoded(array, len(array), len(classes), classes.tolist(), "labels")
    return class_weights[codes]
