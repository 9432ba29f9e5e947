"""What every estimator of importance weights does with its raw ratios: rescale to mean one, and look for collapse."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dalib.weights import _domains


class CollapsedWeightsWarning(UserWarning):
    """A few rows carry nearly all the weight: what is fitted with these weights rests on those rows alone.

    Args:
        message: Names the effective sample size and the remedy.

    Example:
        >>> with warnings.catch_warnings():  # to stop there instead
        ...     warnings.simplefilter("error", CollapsedWeightsWarning)
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


def effective_sample_size(weights: ArrayLike) -> float:
    r"""Kish's effective number of rows of a weighted sample [1]_.

    .. math:: n_\mathrm{eff} = \frac{(\sum_i w_i)^2}{\sum_i w_i^2}

    It does not depend on the scale of the weights.

    Args:
        weights: One non-negative weight a row, shape ``(n,)``, not all zero.

    Returns:
        A number in ``[1, n]``: ``n`` for equal weights, 1 where a single row carries all the weight.

    Raises:
        ValueError: If the weights are not a vector of non-negative finite numbers with a positive sum.

    References:
        .. [1] Kish. Survey Sampling. Wiley, 1965.

    Example:
        >>> effective_sample_size([1, 1, 2])  # 16 / 6
        2.6666666666666665
    """
    w = row_weights(weights, "weights")
    w = w / w.max()  # so that no square over- or underflows
    return float(w.sum() ** 2 / (w @ w))


def row_weights(weights: ArrayLike, name: str, count: int | None = None) -> NDArray[np.float64]:
    """The weights as a float64 vector; raise unless they are non-negative and finite with a positive sum."""
    w = _domains.numbers(weights, name)
    if w.ndim != 1 or w.size == 0 or (count is not None and len(w) != count):
        expected = "(rows,)" if count is None else f"({count},)"
        raise ValueError(f"{name} must have shape {expected}, one weight a row, got {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity in {int((~np.isfinite(w)).sum())} entries")
    if (w < 0).any():
        raise ValueError(f"{name} must not be negative, got a smallest weight of {w.min():g}")
    if not w.any():
        raise ValueError(f"{name} must not be all zero, got a sum of 0")
    return w


def scaled_to_mean_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights divided by their mean, with no sum that overflows."""
    shares = weights / weights.max()
    return np.asarray(shares / shares.mean())


def mean_one(ratios: NDArray[np.float64], *, remedy: str) -> tuple[NDArray[np.float64], float]:
    """Weights with mean one, and the mean they were divided by; warn with ``remedy`` where they collapse.

    Collapse is an effective sample size below 5 % of the rows (or below 3 rows, where there are at least 6).
    """
    largest = float(ratios.max())
    if not (np.isfinite(ratios).all() and largest > 0):
        raise ValueError(
            f"source and target must overlap, got ratios whose sum is {float(ratios.sum()):g}: "
            f"no source row is near the target; {remedy}"
        )
    scale = float((ratios / largest).mean()) * largest
    weights = scaled_to_mean_one(ratios)
    effective, count = effective_sample_size(weights), len(weights)
    if effective < max(0.05 * count, min(3.0, count / 2)):
        warnings.warn(
            f"the weights rest on few rows: the effective sample size is {effective:.1f} of {count}; {remedy}",
            CollapsedWeightsWarning,
            stacklevel=3,
        )
    return weights, scale
