"""Gradients whose terms cancel so far that float32 leaves them few digits: seen here, so that they can be made in float64."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dalib import _checks

_OF_CHANCE = {torch.float32: 0.6, torch.float64: 0.3}
"""What part of a sum of terms with random signs may be left, by the dtype of the products of pulls and rows.

Rounding takes some 4e-7 or 2e-7 of such a sum, twice that where the same numbers come again and again. Samples of one
distribution have 0.6 to 0.8 of it, in a few directions less. Of samples whose means and deviations were made equal 0.05 to 0.3
is left, and their gradients were off by up to 8e-6.
"""

_ALIKE = 4
"""So many times that where the rounded weights of many rows are the same. Half of the rounding of a class is to one side then."""

_ONE_SIDED = 1e-7
"""From what relative rounding of a sum of weights on, times the root of their number, these are rounded to one side.

Of weights that differ it is some 2e-8, whatever their number.
"""

_FEW = 32
"""Up to how many rows a sample has no sums in which roundings that are the same matter."""

SOME = _FEW
"""How many rows of a part tell of all by their distances from the first of them."""

_SAME = 2e-6
"""Up to what part of them squared distances are the same."""


def may_lose_digits(rows: Tensor) -> bool:
    """Whether rows have few digits, and the host need not wait for a device to see what is left of them."""
    return rows.dtype == torch.float32 and _checks.values_are_checked(rows)


def are_many(lengths: Sequence[int]) -> bool:
    """Whether sums over samples are of so many rows that roundings which are the same matter.

    Example:
        >>> are_many([32, 1]), are_many([32, 33])
        (False, True)
    """
    return max(lengths) > _FEW


def first_rows(lengths: Sequence[int], given: bool) -> list[int]:
    """Where among all rows the parts begin, if their rows ought to be looked at.

    Even batches of few rows by the usual bandwidths, the most common ones, do without.

    Args:
        lengths: The rows of each part.
        given: Whether bandwidths are given.

    Example:
        >>> first_rows([32, 33], given=False), first_rows([9, 9], given=True), first_rows([9, 9], given=False)
        ([0, 32], [0, 9], [])
    """
    if not (given or are_many(lengths) or min(lengths) < max(lengths)):
        return []
    return [0, *itertools.accumulate(lengths[:-1])]


def are_lost(gradient: float, pulls: float, distance: float, dtype: torch.dtype, alike: bool = False) -> bool:
    r"""Whether gradients :math:`\sum_j p_{ij} (x_j - x_i)` made in float32 are small beside what their terms are.

    Args:
        gradient: The sum of all their squares.
        pulls: The sum of all :math:`p_{ij}^2`.
        distance: The mean squared distance of two rows.
        dtype: In what the products with the rows are made: those of all layers, for the slopes of one hold the kernels of others.
        alike: Whether rows have weights that were rounded, and may be the same for all rows of a class.

    Example:
        >>> are_lost(gradient=1e-6, pulls=2.0, distance=1.0, dtype=torch.float32)
        True
    """
    return gradient < (_OF_CHANCE[dtype] * (_ALIKE if alike else 1)) ** 2 * pulls * distance


def are_rounded_apart(weights: Tensor, lengths: Sequence[int], dtype: torch.dtype) -> bool:
    """Whether weights of float64, shape ``(N,)``, in parts of so many rows, are rounded to one side in ``dtype``.

    Example:
        >>> weights = torch.full((100,), 1 / 3, dtype=torch.float64)
        >>> are_rounded_apart(weights, [50, 50], torch.float32), are_rounded_apart(3 * weights, [50, 50], torch.float32)
        (True, False)
    """
    left = weights - weights.to(dtype)
    parts = zip(weights.split_with_sizes(lengths), left.split_with_sizes(lengths), strict=True)
    return any(abs(float(lost.sum())) * len(part) ** 0.5 > _ONE_SIDED * abs(float(part.sum())) for part, lost in parts)


def roundings_add_up(squares: Sequence[float]) -> bool:
    """Whether rows have few different distances, as one-hot rows, a few points and small sets have.

    Many terms of a sum are then rounded in one way, which does not cancel: of one-hot rows it took 2e-6 of a gradient.

    Args:
        squares: The squared distances of :data:`SOME` rows of a part from its first one, or a multiple of them.

    Example:
        >>> roundings_add_up([2.0, 0.0, 2.0, 2.0, 0.0]), roundings_add_up([1.0, 4.0, 9.0, 16.0, 25.0])
        (True, False)
    """
    ordered = sorted(squares)
    return sum(b - a <= _SAME * abs(b) for a, b in itertools.pairwise(ordered)) > len(ordered) / 10
