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
    return exact_shares(rows, weights, name).to(rows.dtype)


def exact_shares(rows: Tensor, weights: Tensor, name: str) -> Tensor:
    """:func:`shares` in float64: where two means nearly cancel, the rounding of their shares' sum would be seen.

    Example:
        >>> exact_shares(torch.zeros(2, 3), torch.tensor([1.0, 3.0]), "weights")
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    _checks.row_weights(weights, rows, name)
    doubles = relative(weights, torch.float64)
    return doubles / doubles.sum()


def relative(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights in units of the largest, in another dtype: none overflows there, nor does their sum.

    Example:
        >>> relative(torch.tensor([3e38, 1.5e38]), torch.float16)
        tensor([1.0000, 0.5000], dtype=torch.float16)
    """
    weights = weights.to(torch.promote_types(weights.dtype, dtype))
    return (weights / weights.detach().amax()).to(dtype)


def of_two_rows(row_shares: Tensor) -> Tensor:
    r"""The share of the pairs of two different rows, :math:`1 - \sum_i w_i^2`, along the last dimension.

    In float64: beside one share near one little is left of the difference.

    Example:
        >>> of_two_rows(torch.tensor([0.5, 0.5]))
        tensor(0.5000)
    """
    doubles = row_shares.double()
    return (doubles.sum(dim=-1).square() - doubles.square().sum(dim=-1)).to(row_shares.dtype)


def middle(rows: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of the rows by their weights, outside the graph, shape ``(d,)``: a row of weight zero has no say in it.

    Example:
        >>> middle(torch.tensor([[1.0], [3.0], [1e9]]), torch.tensor([1.0, 1.0, 0.0]))
        tensor([2.])
    """
    if weights is None:
        return rows.detach().mean(dim=0)
    parts = relative(weights.detach(), rows.dtype)
    return parts / parts.sum() @ rows.detach()
