"""Ranks, and the rank correlation that judges validators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIGITS = 9
"""Differences of percentages that are closer than this are rounding."""

SCORE_DIGITS = 12
"""Scores that agree in so many significant digits are equal: what differs behind them is rounding."""


def comparable(score: float) -> float:
    """A score without the digits that rounding decides.

    Example:
        >>> comparable(1.0000000000000002), comparable(-0.25)
        (1.0, -0.25)
    """
    return float(f"{score:.{SCORE_DIGITS - 1}e}")


def weighted_spearman(scores: Sequence[float | None], accuracies: Sequence[float]) -> float | None:
    r"""Spearman correlation of scores with accuracies in which the top of both rankings counts most [1]_.

    .. math::
        w_i = \max\left(\frac{d_i}{\max_j d_j}, \frac{e_i}{\max_j e_j}\right)^2, \qquad
        \rho = \frac{\sum_i w_i (r_i - \bar r)(t_i - \bar t)}
                    {\sqrt{\sum_i w_i (r_i - \bar r)^2 \sum_i w_i (t_i - \bar t)^2}}

    with the dense ranks :math:`d` of the scores and :math:`e` of the accuracies, from 1 for the lowest; weighted ranks
    :math:`r_i = \sum_{j: s_j < s_i} w_j + \tfrac{c_i + 1}{2} \bar w_i` with the number :math:`c_i` and the mean weight
    :math:`\bar w_i` of the entries that are tied with :math:`i`, likewise :math:`t` of the accuracies; and weighted means
    :math:`\bar r, \bar t`. A high score of a bad checkpoint and a low score of a good one cost most: both decide
    what is picked.

    Args:
        scores: Scores of checkpoints, larger is better; ``None`` or NaN (no number: rejected) ranks below every number.
            Scores that agree in 12 significant digits are equal.
        accuracies: Their accuracies; differences below 1e-9 are none.

    Returns:
        In ``[-1, 1]``, or ``None`` where all scores or all accuracies are equal.

    Raises:
        ValueError: If the lengths differ, or an accuracy is NaN.

    References:
        .. [1] Musgrave, Belongie, Lim. Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
           Adaptation. arXiv 2208.07360, 2022; the power 2 and the ranks of ties as in their published code.

    Example:
        >>> weighted_spearman([0.1, 0.2, 0.3], [50.0, 60.0, 70.0])
        1.0
        >>> weighted_spearman([1.0, 1.0], [50.0, 60.0]) is None
        True
    """
    if len(scores) != len(accuracies):
        raise ValueError(f"scores and accuracies must be of one length, got {len(scores)} and {len(accuracies)}")
    numbers = [-math.inf if score is None or math.isnan(score) else comparable(score) for score in scores]
    values = np.array(numbers, dtype=float)
    truth = np.round(np.asarray(accuracies, dtype=float), DIGITS)
    if np.isnan(truth).any():
        raise ValueError(f"accuracies must be numbers, got NaN in {int(np.isnan(truth).sum())} entries")
    if len(np.unique(values)) < 2 or len(np.unique(truth)) < 2:
        return None
    weights = np.maximum(_dense(values), _dense(truth)) ** 2
    first, second = (_centred(_weighted_ranks(entries, weights), weights) for entries in (values, truth))
    scale = math.sqrt(float((weights * first**2).sum()) * float((weights * second**2).sum()))
    return round(float((weights * first * second).sum()) / scale, 12)


def _dense(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dense ranks in units of the largest."""
    unique, places = np.unique(values, return_inverse=True)
    return (places + 1.0) / len(unique)


def _weighted_ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    unique, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    total = np.bincount(places, weights, minlength=len(unique))
    ranks: NDArray[np.float64] = (np.cumsum(total) - total + (counts + 1) / 2 * total / counts)[places]
    return ranks


def _centred(ranks: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return ranks - float((weights * ranks).sum() / weights.sum())


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 for the lowest; those that are tied share the mean of theirs.

    Example:
        >>> mean_ranks(np.array([3.0, 1.0, 3.0])).tolist()
        [2.5, 1.0, 2.5]
    """
    return _weighted_ranks(values, np.ones(len(values)))
