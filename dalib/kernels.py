"""Kernels and the rules for their bandwidths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dalib import _checks

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The default variances of a multi-scale Gaussian kernel, in mean squared distances."""


def squared_distances(rows: Tensor) -> Tensor:
    r"""Squared Euclidean distances between all rows, from one matrix product.

    The rows are centred first: distances do not change, but :math:`|x|^2 + |y|^2 - 2xy` then cancels far fewer
    digits when the data lie away from zero.

    Args:
        rows: Shape ``(n, d)``.

    Returns:
        Shape ``(n, n)``, never negative, exactly zero on the diagonal.

    Example:
        >>> squared_distances(torch.tensor([[0.0], [3.0]]))
        tensor([[0., 9.],
                [9., 0.]])
    """
    centred = rows - rows.detach().mean(dim=0)
    norms = (centred * centred).sum(dim=1)
    distances = norms[:, None] + norms[None, :] - 2 * centred @ centred.mT
    return (distances * _off_diagonal(distances)).clamp_min(0)


def _off_diagonal(square: Tensor) -> Tensor:
    return 1 - torch.eye(square.shape[0], dtype=square.dtype, device=square.device)


def mean_squared_distance(rows: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Mean squared distance over all ordered pairs of rows, a row with itself included; no gradient flows through it.

    .. math:: \frac{1}{(\sum_i w_i)^2} \sum_{ij} w_i w_j \|x_i - x_j\|^2 = 2 \sum_i \frac{w_i}{\sum_k w_k} \|x_i - \bar x\|^2

    with the weighted mean :math:`\bar x`: linear in the number of rows.

    Args:
        rows: Shape ``(n, d)``.
        weights: One weight a row, shape ``(n,)``; default: all one.

    Returns:
        Scalar tensor, not negative.

    Example:
        >>> mean_squared_distance(torch.tensor([[0.0], [2.0]]))  # (0 + 4 + 4 + 0) / 4
        tensor(2.)
    """
    rows = rows.detach()
    shares = torch.ones_like(rows[:, 0]) if weights is None else weights.detach().to(rows.dtype)
    shares = shares / shares.sum()
    # Twice centred: the first mean may be rounded when the data lie far from zero, the second then is not.
    rows = rows - rows.mean(dim=0)
    rows = rows - shares @ rows
    return 2 * (shares * (rows * rows).sum(dim=1)).sum()


def gaussian_kernel(distances: Tensor, variances: Tensor) -> Tensor:
    r"""Mean of Gaussian kernels :math:`k = \frac1B \sum_b \exp(-\|x - y\|^2 / 2\sigma_b^2)`.

    Args:
        distances: Squared distances, any shape.
        variances: The squared bandwidths :math:`\sigma_b^2`, shape ``(B,)``.

    Returns:
        Same shape as ``distances``, in ``[0, 1]``.

    Example:
        >>> gaussian_kernel(torch.tensor([0.0, 2.0]), torch.tensor([1.0]))  # 1 and 1/e
        tensor([1.0000, 0.3679])
    """
    kernel = torch.zeros_like(distances)
    for variance in variances.unbind():
        kernel = kernel + torch.exp(distances / (-2 * variance))
    return kernel / len(variances)


def gaussian_variances(
    rows: Tensor, bandwidths: Sequence[float] | Tensor | None, weights: Tensor | None = None
) -> Tensor:
    """The squared bandwidths of a multi-scale Gaussian kernel: the given ones, or the default for these rows.

    Args:
        rows: The pooled sample, shape ``(n, d)``.
        bandwidths: Kernel widths, each positive; default: the square roots of :data:`SCALES` times the mean squared
            distance of ``rows``, which has a floor so that equal rows give a kernel of one and not a NaN.
        weights: One weight a row for the default, shape ``(n,)``.

    Returns:
        Shape ``(B,)``, outside the graph.

    Raises:
        ValueError: If there is no bandwidth or one is not positive and finite.

    Example:
        >>> gaussian_variances(torch.zeros(2, 1), [1.0, 3.0])
        tensor([1., 9.])
    """
    if bandwidths is None:
        floor = torch.finfo(rows.dtype).tiny ** 0.5
        scales = torch.tensor(SCALES, dtype=rows.dtype, device=rows.device)
        return scales * mean_squared_distance(rows, weights).clamp_min(floor)
    widths = torch.as_tensor(bandwidths, dtype=rows.dtype, device=rows.device).detach()
    if widths.ndim != 1 or len(widths) == 0:
        raise ValueError(f"bandwidths must be a sequence of at least one number, got shape {tuple(widths.shape)}")
    if _checks.values_are_checked(widths) and not bool(((widths > 0) & torch.isfinite(widths)).all()):
        raise ValueError(f"bandwidths must be positive and finite, got {widths.tolist()}")
    return widths**2
