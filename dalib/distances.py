"""Squared distances between rows, and their mean and median."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib.row_weights import middle, relative


def squared_distances(rows: Tensor, others: Tensor | None = None, *, about: Tensor | None = None) -> Tensor:
    r"""Squared Euclidean distances between all pairs of rows, from one matrix product.

    The rows are centred first: distances do not change, but :math:`|x|^2 + |y|^2 - 2xy` then cancels far fewer
    digits when the data lie away from zero.

    Args:
        rows: Shape ``(..., n, d)``.
        others: Shape ``(..., m, d)``; default: ``rows``.
        about: The point that they are centred about, shape ``(d,)``; default: the mean of ``rows``. Far rows that do not
            count should have no say in it.

    Returns:
        Shape ``(..., n, m)``, never negative; without ``others`` exactly zero on the diagonal.

    Example:
        >>> squared_distances(torch.tensor([[0.0], [3.0]]))
        tensor([[0., 9.],
                [9., 0.]])
    """
    about = rows.detach().mean(dim=-2, keepdim=True) if about is None else about
    x = rows - about
    y = x if others is None else others - about
    distances = (x * x).sum(dim=-1)[..., :, None] + (y * y).sum(dim=-1)[..., None, :] - 2 * x @ y.mT
    if others is None:
        distances = distances * _off_diagonal(distances)
    # Rounding makes some of equal rows negative. They are zero in value alone: their second derivative is not.
    return distances - distances.detach().clamp_max(0)


def _off_diagonal(square: Tensor) -> Tensor:
    return 1 - torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)


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
    # Twice centred: the first mean may be rounded when the data lie far from zero, the second then is not.
    rows = rows.detach() - middle(rows, weights)
    if weights is None:
        mean = rows.mean(dim=0)  # next to nothing, so taking its square away cancels no digits
        return 2 * (rows.square().sum() / len(rows) - mean @ mean).clamp_min(0)
    shares = relative(weights.detach(), rows.dtype)
    shares = shares / shares.sum()
    rows = rows - shares @ rows
    return 2 * (shares * (rows * rows).sum(dim=1)).sum()


def median_squared_distance(rows: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Median squared distance over the pairs of different rows; no gradient flows through it.

    The lower median of :math:`\|x_i - x_j\|^2`, :math:`i < j`, in which a pair counts :math:`w_i w_j`. It needs all
    pairs and sorts them; :func:`mean_squared_distance` does not.

    Args:
        rows: Shape ``(n, d)``.
        weights: One weight a row, shape ``(n,)``; default: all one.

    Returns:
        Scalar tensor, not negative; zero for a single row, also for one that alone has weight.

    Example:
        >>> median_squared_distance(torch.tensor([[0.0], [1.0], [3.0]]))  # of 1, 9 and 4
        tensor(4.)
    """
    rows = rows.detach()
    first, second = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    if len(first) == 0:
        return rows.new_zeros(())
    distances, order = squared_distances(rows, about=middle(rows, weights))[first, second].sort()
    shares = (torch.ones_like(rows[:, 0]) if weights is None else relative(weights.detach(), rows.dtype)).double()
    mass = (shares[first] * shares[second])[order].cumsum(dim=0)
    half = mass[-1:] / 2 * (1 - 1e-12)  # shares are rounded, and half of the mass may be reached exactly
    median = distances[torch.searchsorted(mass, half).clamp_max(len(distances) - 1)].squeeze(0)
    return median * (mass[-1] > 0)


def roots(squares: Tensor) -> Tensor:
    """Square roots whose derivative at zero is taken as zero; NaN stays NaN, what is too small for a normal number is zero.

    Example:
        >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
        >>> roots(x).sum().backward()
        >>> x.grad
        tensor([0.0000, 0.2500])
    """
    zero = squares < torch.finfo(squares.dtype).tiny
    return squares.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
