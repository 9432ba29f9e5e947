"""Gradients whose terms cancel so far that float32 leaves them few digits: seen here, so that they can be made in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib import _checks

_OF_CHANCE = {torch.float32: 0.6, torch.float64: 0.2}
"""What part of a sum of terms with random signs may be left, by the dtype of the products of pulls and rows.

Rounding takes some 4e-7 or 1.7e-7 of such a sum, twice that where the same numbers come again and again. Samples of one
distribution have 0.6 to 0.8 of it, in a few columns less. Of samples whose means and deviations were made equal 0.05 to 0.3 is
left, and their gradients were off by up to 8e-6.
"""


def may_lose_digits(rows: Tensor) -> bool:
    """Whether rows have few digits, and the host need not wait for a device to see what is left of them."""
    return rows.dtype == torch.float32 and _checks.values_are_checked(rows)


def are_lost(gradient: float, pulls: float, distance: float, dtype: torch.dtype) -> bool:
    r"""Whether gradients :math:`\sum_j p_{ij} (x_j - x_i)` made in float32 are small beside what their terms are.

    Args:
        gradient: The sum of all their squares.
        pulls: The sum of all :math:`p_{ij}^2`.
        distance: The mean squared distance of two rows.
        dtype: In what the products with the rows are made: those of all layers, for the slopes of one hold the kernels of others.

    Example:
        >>> are_lost(gradient=1e-6, pulls=2.0, distance=1.0, dtype=torch.float32)
        True
    """
    return gradient < _OF_CHANCE[dtype] ** 2 * pulls * distance
