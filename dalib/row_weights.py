"""Row weights: one number a row of a batch, and what the losses make of them."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib import _checks


def shares(rows: Tensor, weights: Tensor | None, name: str) -> Tensor:
    """The share of each row in a mean: the weights rescaled to sum to one, or ``1/n`` each.

    Args:
        rows: What is averaged, shape ``(n, ...)``, floating point.
        weights: One weight a row, shape ``(n,)``, not negative and not all zero; ``None`` for equal shares.
        name: What the weights are called in error messages.

    Returns:
        Shape ``(n,)``, in the dtype of ``rows``, summing to one.

    Raises:
        TypeError: If the weights are not a floating-point tensor.
        ValueError: If there is not one weight a row, or one is negative or not finite, or all are zero.

    Example:
        >>> shares(torch.zeros(2, 3), torch.tensor([1.0, 3.0]), "weights")
        tensor([0.2500, 0.7500])
    """
    if weights is None:
        return rows.new_full(rows.shape[:1], 1 / rows.shape[0])
    _checks.row_weights(weights, rows, name)
    weights = relative(weights, rows.dtype)
    return weights / weights.sum()


def relative(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights in units of the largest, in another dtype: none overflows there, nor does their sum.

    Example:
        >>> relative(torch.tensor([3e38, 1.5e38]), torch.float16)
        tensor([1.0000, 0.5000], dtype=torch.float16)
    """
    return (weights / weights.detach().amax()).to(dtype)
