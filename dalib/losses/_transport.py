"""Optimal transport between weighted samples: on the line by sorting, between small samples exactly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib._uncompiled import uncompiled


def squared_wasserstein_on_lines(
    source: Tensor, target: Tensor, source_shares: Tensor | None = None, target_shares: Tensor | None = None
) -> Tensor:
    """The squared 2-Wasserstein distances of samples on several lines, by the quantile coupling.

    Args:
        source: Positions, shape ``(lines, n)``.
        target: Positions, shape ``(lines, m)``.
        source_shares: Shares of the source points, shape ``(n,)``, summing to one; both ``None`` for equal ones.
        target_shares: Same for the target points, shape ``(m,)``.

    Returns:
        Shape ``(lines,)``.

    Example:
        >>> squared_wasserstein_on_lines(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0]]))  # both points move by 1
        tensor([1.])
    """
    (x, x_order), (y, y_order) = source.sort(dim=1), target.sort(dim=1)
    if source_shares is None or target_shares is None:
        if x.shape[1] == y.shape[1]:
            return (x - y).square().mean(dim=1)
        # One coupling for all lines. Whole numbers, so that the quantiles of both samples meet exactly.
        n, m = x.shape[1], y.shape[1]
        ends_x = torch.arange(1, n + 1, device=x.device) * m
        ends_y = torch.arange(1, m + 1, device=x.device) * n
        ends, i, j = _coupling(ends_x[None], ends_y[None])
        mass = torch.diff(ends, prepend=ends.new_zeros(1, 1)).to(x.dtype) / (n * m)
        return ((x[:, i[0]] - y[:, j[0]]).square() * mass).sum(dim=1)
    ends, i, j = _coupling(_ends(source_shares[x_order]), _ends(target_shares[y_order]))
    mass = torch.diff(ends, prepend=torch.zeros_like(ends[:, :1]))
    return ((x.gather(1, i) - y.gather(1, j)).square() * mass).sum(dim=1)


def slopes_on_lines(x: Tensor, y: Tensor, a: Tensor, b: Tensor, lines: Tensor) -> Tensor:
    """Half the derivatives of the squared Wasserstein distances on lines by their directions.

    Args:
        x: Source rows, shape ``(n, d)``.
        y: Target rows, shape ``(m, d)``.
        a: Shares of the source rows, shape ``(n,)``.
        b: Shares of the target rows, shape ``(m,)``.
        lines: Directions, shape ``(lines, d)``.

    Returns:
        Shape ``(lines, d)``.

    Example:
        >>> one = torch.ones(1)
        >>> slopes_on_lines(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2), one, one, torch.tensor([[1.0, 0.0]]))
        tensor([[1., 2.]])
    """
    (p, i), (q, j) = (lines @ x.mT).sort(dim=1), (lines @ y.mT).sort(dim=1)
    ends, of_x, of_y = _coupling(_ends(a[i]), _ends(b[j]))
    moved = torch.diff(ends, prepend=torch.zeros_like(ends[:, :1])) * (p.gather(1, of_x) - q.gather(1, of_y))
    on_x = torch.zeros_like(p).scatter_add(1, i.gather(1, of_x), moved)
    on_y = torch.zeros_like(q).scatter_add(1, j.gather(1, of_y), moved)
    return on_x @ x - on_y @ y


def _ends(sorted_shares: Tensor) -> Tensor:
    """Where the shares of sorted points end: the last at one, or a row of weight zero behind it would get what is left."""
    ends = sorted_shares.cumsum(dim=1)
    return ends / ends[:, -1:]


def _coupling(ends_x: Tensor, ends_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the pieces of the quantile coupling end, and which point of each sample every piece belongs to."""
    ends = torch.cat([ends_x, ends_y], dim=1).sort(dim=1).values
    of_x = torch.searchsorted(ends_x.detach().contiguous(), ends.detach()).clamp_max(ends_x.shape[1] - 1)
    of_y = torch.searchsorted(ends_y.detach().contiguous(), ends.detach()).clamp_max(ends_y.shape[1] - 1)
    return ends, of_x, of_y


LARGEST_COST = 1e6
"""What costs are scaled to: the solvers have absolute tolerances, around 1e-7, in which small costs are all alike."""


@uncompiled
def exact_coupling(cost: Tensor, source_shares: Tensor, target_shares: Tensor) -> Tensor:
    """The transport plan of the least total cost, by POT where it is installed and else by SciPy.

    SciPy solves equal samples as an assignment and others as a linear programme, which is slower.

    Args:
        cost: Shape ``(n, m)``.
        source_shares: Shape ``(n,)``, summing to one.
        target_shares: Shape ``(m,)``, summing to one.

    Returns:
        Shape ``(n, m)``, outside the graph; its sums are the shares.

    Raises:
        RuntimeError: Inside ``torch.func`` transforms.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> exact_coupling(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), half, half)
        tensor([[0.0000, 0.5000],
                [0.5000, 0.0000]])
    """
    if any(map(torch._C._functorch.is_functorch_wrapped_tensor, (cost, source_shares, target_shares))):
        raise RuntimeError(
            "exact transport cannot run inside torch.func transforms, its solver is outside of torch; use sinkhorn_loss"
        )
    a, b = (shares.detach().double().cpu().numpy() for shares in (source_shares, target_shares))
    there = np.ix_(a > 0, b > 0)  # a far row of weight zero must not set the scale of the costs
    costs = cost.detach().double().cpu().numpy()[there]
    costs = costs / (np.abs(costs).max() or 1) * LARGEST_COST
    plan = np.zeros((len(a), len(b)))
    plan[there] = _solve(costs, a[a > 0] / a.sum(), b[b > 0] / b.sum())
    return torch.from_numpy(plan).to(dtype=cost.dtype, device=cost.device)


def _solve(
    costs: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> NDArray[np.float64]:
    n, m = costs.shape
    if n == m and all(np.allclose(shares, 1 / n, rtol=1e-12, atol=0) for shares in (a, b)):
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(costs)
        plan = np.zeros((n, m))
        plan[rows, columns] = 1 / n
        return plan
    try:
        import ot
    except ImportError:
        return _linear_programme(costs, a, b)
    return np.asarray(ot.emd(a, b, costs), dtype=np.float64)


def _linear_programme(
    costs: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
) -> NDArray[np.float64]:
    from scipy.optimize import linprog
    from scipy.sparse import eye, kron, vstack

    n, m = costs.shape
    sums = vstack([kron(eye(n), np.ones((1, m))), kron(np.ones((1, n)), eye(m))]).tocsr()
    # One sum follows from the others; left in, rounding could make the programme infeasible.
    totals = np.concatenate([a, b])[:-1]
    found = linprog(costs.ravel(), A_eq=sums[:-1], b_eq=totals, method="highs")  # type: ignore[call-overload]
    return np.asarray(found.x, dtype=np.float64).reshape(n, m)
