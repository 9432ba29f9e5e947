"""How well classes are recognised: per class, and with rows of classes that the source does not know."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dalib import _checks


def per_class_accuracy(predicted: Any, labels: Any, classes: int) -> NDArray[np.float64]:
    """Share of the rows of each class that are predicted as it.

    Args:
        predicted: Predicted classes, shape ``(n,)``: an array or a CPU tensor of integers.
        labels: True classes, shape ``(n,)``.
        classes: Number of classes.

    Returns:
        Shape ``(classes,)``, in ``[0, 1]``; NaN for a class without rows.

    Raises:
        TypeError: If predictions, labels or the number of classes are not integers.
        ValueError: If the shapes differ, there are no rows, or a label is not in ``0..classes - 1``, or ``classes`` is below 1.

    Example:
        >>> per_class_accuracy([0, 1, 1], [0, 0, 1], 3)
        array([0.5, 1. , nan])
    """
    _checks.at_least(classes, 1, "classes")
    predicted, labels = _integers(predicted, "predicted"), _integers(labels, "labels")
    if predicted.shape != labels.shape or not len(labels):
        raise ValueError(
            f"predicted and labels must be of the same rows, at least one, got {len(predicted)} and {len(labels)}"
        )
    if not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"labels must lie in 0..{classes - 1}, got values in {labels.min()}..{labels.max()}")
    right = np.bincount(labels[predicted == labels], minlength=classes)
    rows = np.bincount(labels, minlength=classes)
    shares: NDArray[np.float64] = np.divide(right, rows, out=np.full(classes, np.nan), where=rows > 0)
    return shares


class OpenSetAccuracy(NamedTuple):
    """Accuracies with an unknown class, each a mean over classes, in ``[0, 1]``."""

    known: float
    """OS*: mean over the known classes that have rows; NaN if none has."""
    unknown: float
    """UNK: share of the unknown rows that are rejected; NaN without such rows."""
    overall: float
    """OS: mean over the known classes and the unknown one, each counting as one class."""
    harmonic: float
    """HOS, the H-score: harmonic mean of ``known`` and ``unknown``; 0 if either is 0, NaN if either is NaN."""


def open_set_accuracy(predicted: Any, labels: Any, *, known: int) -> OpenSetAccuracy:
    r"""Accuracies where the target has rows of classes that the source does not know [1]_.

    .. math:: \mathrm{HOS} = \frac{2\, \mathrm{OS}^* \, \mathrm{UNK}}{\mathrm{OS}^* + \mathrm{UNK}}

    Rejecting nothing, or everything, gives a harmonic mean of 0, while the overall accuracy hardly notices the unknown
    class among many.

    Args:
        predicted: Predicted classes, shape ``(n,)``; ``known`` or above means rejected.
        labels: True classes, shape ``(n,)``; ``known`` or above means unknown.
        known: Number of known classes.

    Returns:
        The accuracies.

    Raises:
        TypeError: If predictions, labels or the number of classes are not integers.
        ValueError: If the shapes differ, there are no rows, a label is negative, or ``known`` is below 1.

    References:
        .. [1] Bucci et al. On the Effectiveness of Image Rotation for Open Set Domain Adaptation. ECCV 2020.

    Example:
        >>> accuracy = open_set_accuracy([0, 1, 2, 0], [0, 1, 2, 2], known=2)
        >>> accuracy.known, accuracy.unknown, round(accuracy.harmonic, 4), round(accuracy.overall, 4)
        (1.0, 0.5, 0.6667, 0.8333)
    """
    _checks.at_least(known, 1, "known")
    predicted, labels = _integers(predicted, "predicted"), _integers(labels, "labels")
    each = per_class_accuracy(np.minimum(predicted, known), np.minimum(labels, known), known + 1)
    present = each[:-1][~np.isnan(each[:-1])]
    recognised = float(present.mean()) if len(present) else float("nan")
    rejected = float(each[-1])
    overall = float(np.nanmean(each))
    both = recognised + rejected
    return OpenSetAccuracy(recognised, rejected, overall, 2 * recognised * rejected / both if both != 0 else 0.0)


def _integers(values: Any, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (rows,), got {array.shape}")
    return array.astype(np.int64)
