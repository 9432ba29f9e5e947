"""Distances and Gaussian kernels of NumPy arrays, blocks of rows, and checks of options."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


def squared_distances(X: Array, Y: Array) -> Array:
    """Squared Euclidean distances between the rows of ``X`` and of ``Y``, shape ``(rows of X, rows of Y)``."""
    middle = Y.mean(axis=0)  # near the data, so that the expansion of the square does not cancel
    X, Y = X - middle, Y - middle
    # (-2x, |x|^2, 1) . (y, 1, |y|^2) = |x - y|^2: one product, and no pass over the large matrix to add the squares
    left = np.column_stack([-2.0 * X, np.einsum("ij,ij->i", X, X), np.ones(len(X))])
    right = np.column_stack([Y, np.ones(len(Y)), np.einsum("ij,ij->i", Y, Y)])
    distances: Array = left @ right.T
    return np.maximum(distances, 0.0, out=distances)


def gaussian(distances: Array, bandwidth: float, *, out: Array | None = None) -> Array:
    r"""The kernel :math:`\exp(-\delta/2\sigma^2)` of squared distances :math:`\delta`, written to ``out`` if given."""
    bandwidth = float(bandwidth)
    factor = max(-0.5 / bandwidth / bandwidth, -1e300)  # finite, so that it leaves a distance of 0 alone
    kernel: Array = np.multiply(distances, factor, out=out)
    torch.from_numpy(kernel).exp_()  # takes half of the time of NumPy's
    return kernel


def gaussian_kernel(X: Array, Y: Array, bandwidth: float) -> Array:
    r"""The kernel matrix :math:`\exp(-\|x-y\|^2/2\sigma^2)`, shape ``(rows of X, rows of Y)``."""
    distances = squared_distances(X, Y)
    return gaussian(distances, bandwidth, out=distances)


def variances(rows: Array) -> Array:
    """The variance of each column (divisor ``n``), exactly 0 where it is constant: the mean of equal numbers is rounded.

    Example:
        >>> variances(np.array([[0.1, 0.0], [0.1, 1.0], [0.1, 0.5]])).round(4)
        array([0.    , 0.1667])
    """
    return np.where(np.ptp(rows, axis=0) > 0, rows.var(axis=0), 0.0)


def mean_distance_bandwidth(source: Array, target: Array) -> float:
    """The root of the mean squared distance over all pairs of the pooled sample, without forming the pairs.

    It is 1 where all rows are equal, so that a kernel of that bandwidth stays defined.
    """
    pooled = np.concatenate([source, target])
    total = float(variances(pooled).sum()) * 2.0 * len(pooled) / max(len(pooled) - 1, 1)
    return math.sqrt(total) if total > 0 else 1.0


def blocks(count: int, width: int, *, numbers: int = 2**22) -> Iterator[slice]:
    """Slices of ``range(count)`` such that a block of rows of ``width`` numbers holds about ``numbers`` of them."""
    step = max(1, numbers // max(width, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def number(value: object, name: str) -> float:
    """The value if it is a real number; raise ``TypeError`` otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return float(value)


def whole(value: object, name: str, *, least: int) -> None:
    """Raise unless ``value`` is an integer that is not below ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def positive(value: object, name: str) -> None:
    """Raise unless ``value`` is a positive finite number."""
    if not 0 < (value := number(value, name)) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value:g}")


def candidates(values: Any, name: str, default: Array) -> Array:
    """The positive finite candidates of an option, or ``default`` where it is ``None``."""
    if values is None:
        return default
    if isinstance(values, str) or np.ndim(values) != 1:
        raise TypeError(f"{name} must be a sequence of numbers, got {type(values).__name__}; write [value] for one")
    for value in values:
        number(value, f"each of {name}")
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0 or not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError(f"{name} must be positive and finite numbers, at least one, got {array.tolist()}")
    return array
