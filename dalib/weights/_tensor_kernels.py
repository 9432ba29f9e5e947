"""Gaussian kernels of tensors for density ratios, and the scales that they can be computed at."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dalib import _checks


def gaussian(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """The kernel of every row of ``x`` and every row of ``y``, shape ``(n, m)``.

    Example:
        >>> gaussian(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]), 1.0)  # 1 and exp(-2)
        tensor([[1.0000, 0.1353]])
    """
    middle = y.mean(dim=0)  # near the data, where distances are exact
    return torch.exp(torch.cdist((x - middle) / bandwidth, (y - middle) / bandwidth).square() / -2.0)


def refuse_wide_scales(rows: Tensor, others: Tensor) -> None:
    """Raise where the squares of the entries overflow or vanish, if the values may be read."""
    if not _checks.values_are_checked(rows):
        return
    largest = max(float(rows.abs().max()), float(others.abs().max()))
    pooled = torch.cat([rows, others])
    spread = float((pooled.amax(dim=0) - pooled.amin(dim=0)).max())
    if largest > 1e140 or 0 < spread < 1e-140:
        raise ValueError(
            "source and target must have entries up to 1e140 that vary by at least 1e-140, "
            f"got {largest:.1e} and {spread:.1e}; rescale the features"
        )


def mean_distance(x: Tensor, y: Tensor) -> float:
    """Root of the mean squared distance between different rows of both; 1 if all are equal.

    Example:
        >>> mean_distance(torch.zeros(1, 1), torch.full((1, 1), 3.0))
        3.0
    """
    pooled = torch.cat([x, y])
    total = float(pooled.var(dim=0, correction=0).sum()) * 2.0 * len(pooled) / max(len(pooled) - 1, 1)
    return math.sqrt(total) if total > 0 else 1.0
