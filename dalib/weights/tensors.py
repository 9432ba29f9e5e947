"""Kernel mean matching and the relative ratio on tensors, on the device where they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dalib import _checks
from dalib.weights._tensor_kernels import gaussian, mean_distance, refuse_wide_scales


@torch.no_grad()
def kernel_mean_matching_weights(
    source: Tensor,
    target: Tensor,
    *,
    bandwidth: float | None = None,
    max_weight: float = 1000.0,
    slack: float | None = None,
    tolerance: float = 1e-6,
    max_iter: int = 60,
) -> Tensor:
    r"""Importance weights of kernel mean matching [1]_, as :class:`KernelMeanMatching` learns them, for tensors.

    .. math::
        \min_b \tfrac12 b^\top K b - \tfrac nm\, b^\top K_{st} 1
        \quad\text{s.t.}\quad 0 \le b_i \le B,\ |\textstyle\sum_i b_i - n| \le n\epsilon

    An interior point method in float64 on the tensors' device, with ``8 n^2`` bytes for the kernel and as many for its
    factor. It stops when the certified gap of the objective over :math:`n^2` is at most ``tolerance``. No gradient
    flows through the weights.

    Args:
        source: Source rows, shape ``(n, d)``.
        target: Target rows, shape ``(m, d)``.
        bandwidth: Kernel width. Default: the root of the mean squared distance of the pooled sample.
        max_weight: The bound B, at least :math:`1-\epsilon`. Default 1000.
        slack: The slab's :math:`\epsilon`. Default :math:`(\sqrt n - 1)/\sqrt n`.
        tolerance: Gap at which to stop. Default 1e-6.
        max_iter: Most steps. Default 60.

    Returns:
        Weights of the source rows, shape ``(n,)``, mean one, in the dtype and on the device of ``source``.

    Raises:
        TypeError: If the domains are not floating-point tensors of one dtype.
        ValueError: If they are not matrices of one width on one device, or an option is out of range.
        RuntimeError: If the gap is not reached.

    References:
        .. [1] Huang, Smola, Gretton, Borgwardt, Schoelkopf. Correcting Sample Selection Bias by Unlabeled Data.
            NeurIPS 2006.

    Example:
        >>> source, target = torch.tensor([[0.0], [9.0]]), torch.tensor([[0.0]])
        >>> (kernel_mean_matching_weights(source, target, bandwidth=1.0).round(decimals=2) + 0.0).tolist()
        [2.0, 0.0]
    """
    _checks.two_samples(source, target)
    for name, value in (("max_weight", max_weight), ("tolerance", tolerance), ("max_iter", max_iter)):
        _checks.positive(value, name)
    n = len(source)
    epsilon = (math.sqrt(n) - 1.0) / math.sqrt(n) if slack is None else slack
    _checks.number(epsilon, "slack")
    if not 0.0 <= epsilon < math.inf:
        raise ValueError(f"slack must be at least 0 and finite, got {epsilon}")
    if max_weight < 1.0 - epsilon:
        raise ValueError(f"max_weight must be at least 1 - slack = {1.0 - epsilon:g}, got {max_weight:g}")
    rows, others = source.double(), target.double()
    refuse_wide_scales(rows, others)
    width = mean_distance(rows, others) if bandwidth is None else bandwidth
    _checks.positive(width, "bandwidth")
    if not 1e-140 <= width <= 1e140:
        raise ValueError(f"bandwidth must lie in [1e-140, 1e140], got {width:g}; rescale the features")
    kernel = gaussian(rows, rows, width)
    linear = gaussian(rows, others, width).mean(dim=1) * n
    low, high = n * max(1.0 - epsilon, 0.0), min(n * (1.0 + epsilon), n * max_weight)
    solution = _interior_point(kernel, linear, max_weight, low, high, tolerance * n * n, max_iter)
    return (solution / solution.mean()).to(source.dtype)


def _interior_point(
    kernel: Tensor, linear: Tensor, upper: float, low: float, high: float, tolerance: float, max_iter: int
) -> Tensor:
    """Mehrotra's predictor and corrector on ``0 <= b <= upper`` and ``low <= sum(b) <= high``, to a certified gap."""
    n = len(linear)
    hair = 1e-7 * (1.0 + n)  # the slab is widened by it, so that it has an inside
    b = torch.full_like(linear, min(max((low + high) / (2 * n), 1e-8 * upper), (1 - 1e-8) * upper))
    bounds = torch.tensor([low - hair, high + hair], dtype=b.dtype, device=b.device)

    def slacks(b: Tensor) -> Tensor:
        return torch.cat([b, upper - b, (b.sum() - bounds[0])[None], (bounds[1] - b.sum())[None]])

    def forward(step: Tensor) -> Tensor:
        return torch.cat([step, -step, step.sum()[None], -step.sum()[None]])

    def backward(y: Tensor) -> Tensor:
        return y[:n] - y[n:-2] + (y[-2] - y[-1])

    slack = slacks(b)
    duals = linear.abs().max().clamp_min(1e-300) / slack
    gap = math.inf
    for _ in range(max_iter):
        product = kernel @ b
        gap = float(b @ product - linear @ b - _smallest(product - linear, upper, low, high))
        if gap <= tolerance:
            return b
        ratio = duals / slack
        system = kernel + (ratio[-2] + ratio[-1])
        system.diagonal().add_(ratio[:n] + ratio[n:-2])
        factor, failed = torch.linalg.cholesky_ex(system)
        if int(failed):
            break
        residual, mean = product - linear - backward(duals), slack @ duals / len(duals)
        aim = torch.zeros_like(duals)
        for predicting in (True, False):
            right = backward(aim / slack - duals) - residual
            step = torch.cholesky_solve(right[:, None], factor)[:, 0]
            change = forward(step)
            dual_step = aim / slack - duals - ratio * change
            length = torch.minimum(_to_boundary(slack, change), _to_boundary(duals, dual_step))
            if predicting:
                after = (slack + length * change) @ (duals + length * dual_step) / len(duals)
                aim = (after / mean) ** 3 * mean - change * dual_step
        b, duals = b + 0.995 * length * step, duals + 0.995 * length * dual_step
        slack = slacks(b)
    raise RuntimeError(
        f"kernel mean matching must reach a gap of {tolerance / n**2:.1e}, got {gap / n**2:.1e}; "
        "raise tolerance or max_iter, or take a smaller bandwidth"
    )


def _smallest(costs: Tensor, upper: float, low: float, high: float) -> Tensor:
    """The minimum of ``costs @ b`` over the set: fill the cheapest rows first."""
    cheapest = costs.sort().values
    before = upper * torch.arange(len(costs), dtype=costs.dtype, device=costs.device)
    room, need = (high - before).clamp(0.0, upper), (low - before).clamp(0.0, upper)
    return cheapest @ torch.where(cheapest < 0, room, need)


def _to_boundary(values: Tensor, change: Tensor) -> Tensor:
    """The longest step in ``[0, 1]`` that keeps ``values`` from falling below zero."""
    steps = torch.where(change < 0, -values / change, torch.ones_like(values))
    return steps.min().clamp_max(1.0)
