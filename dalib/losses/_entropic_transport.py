"""Entropic transport between weighted samples: by scaling, by Newton's method, by logarithms."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib._uncompiled import uncompiled

LEAST_EPSILON = 1e-10
"""The least epsilon in units of the largest cost: below, differences of potentials are rounding even in float64."""

STEPS = tuple(4.0**-k for k in range(6))
"""Lengths that a Newton step is tried with, in turn."""


class Potentials(NamedTuple):
    """The dual solution of entropic transport."""

    source: Tensor
    """Shape ``(n,)``."""
    target: Tensor
    """Shape ``(m,)``."""


@uncompiled
@torch.no_grad()
def entropic_potentials(
    cost: Tensor, a: Tensor, b: Tensor, epsilon: Tensor, *, iterations: int, tolerance: float
) -> Potentials:
    r"""Potentials of :math:`\min_P \langle P, C \rangle + \varepsilon\, \mathrm{KL}(P | a b^\top)` by Sinkhorn's iteration.

    It scales the rows and columns of :math:`e^{-C/\varepsilon}`, two matrix-vector products an iteration, after taking
    out the smallest cost of each row and column. It stops when the sums of the plan differ from the shares by
    ``tolerance`` in total, looked at every tenth iteration. If they never do, Newton's method goes on; see
    :func:`_by_newton`. Where values must not be read (CUDA, ``torch.func``), and with a tolerance of 0 if the kernel
    underflows, it makes all iterations with logarithms, the first half of them with larger :math:`\varepsilon`.

    Args:
        cost: Shape ``(n, m)``.
        a: Shares of the rows, shape ``(n,)``.
        b: Shares of the columns, shape ``(m,)``.
        epsilon: Scalar tensor, positive.
        iterations: The largest number of iterations.
        tolerance: The total difference at which it stops.

    Returns:
        The potentials; those of Newton's method are of float64, whatever the costs are.

    Raises:
        ValueError: If epsilon is not above :data:`LEAST_EPSILON` of the largest cost and values may be read.

    Warns:
        RuntimeWarning: If a positive tolerance is not reached and values may be read.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> f, g = entropic_potentials(cost, half, half, torch.tensor(1.0), iterations=100, tolerance=1e-6)
        >>> plan = half[:, None] * half * torch.exp(f[:, None] + g - cost)
        >>> plan[0, 1] * 2  # e^-1 / (1 + e^-1)
        tensor(0.2689)
    """
    if _readable(cost, a, b, epsilon):
        rows, columns = a > 0, b > 0
        if not bool(rows.all() & columns.all()):  # solved without the rows that do not count, however far they lie
            known = cost[rows][:, columns], a[rows], b[columns]
            f, g = entropic_potentials(*known, epsilon, iterations=iterations, tolerance=tolerance)
            all_f = _plan_rows(cost[:, columns], g, b[columns].log(), epsilon)[0]
            all_g = _plan_rows(cost[rows].mT, f, a[rows].log(), epsilon)[0]
            return Potentials(all_f.masked_scatter(rows, f), all_g.masked_scatter(columns, g))
        _refuse_epsilon(epsilon, cost)
        found = _by_scaling(cost, a, b, epsilon, iterations, tolerance)
        if found is not None:
            return found
        if tolerance > 0:
            return _by_newton(cost, a, b, epsilon, iterations, tolerance)
    return _by_logarithms(cost, a, b, epsilon, iterations)


def _refuse_epsilon(epsilon: Tensor, cost: Tensor) -> None:
    """Raise where the exponents of the plan would have no digits left."""
    largest = float(cost.amax())
    if not float(epsilon) > LEAST_EPSILON * largest:
        raise ValueError(
            f"epsilon must be above {LEAST_EPSILON:g} of the largest cost, {largest:.3g}, got {float(epsilon):g}; "
            f"use a larger one or exact_transport_loss"
        )


def _readable(*tensors: Tensor) -> bool:
    return all(_checks.values_are_checked(each) for each in tensors)


def _reached(error: float, tolerance: float, dtype: torch.dtype) -> bool:
    """Whether the sums of a scaled kernel are right, to the tolerance or to the rounding of the dtype."""
    return error <= max(tolerance, 16 * torch.finfo(dtype).eps)


def _by_scaling(
    cost: Tensor, a: Tensor, b: Tensor, epsilon: Tensor, iterations: int, tolerance: float
) -> Potentials | None:
    row_least = cost.amin(dim=1)
    reduced = cost - row_least[:, None]
    column_least = reduced.amin(dim=0)
    kernel = torch.exp((reduced - column_least) / -epsilon)
    kernel_t = kernel.mT.contiguous()
    v = torch.ones_like(b)
    u, error = v, float("inf")
    for iteration in range(iterations):
        u = torch.mv(kernel, b * v).reciprocal()
        sums = torch.mv(kernel_t, a * u)
        if iteration % 10 == 9 or iteration == iterations - 1:
            # With u just scaled the sums of the rows are right; what is left to be right is the sums of the columns.
            error = float((b * (v * sums - 1).abs()).sum())
            if error <= tolerance:
                break
        v = sums.reciprocal()
    f, g = epsilon * u.log() + row_least, epsilon * v.log() + column_least
    missed = not _reached(error, tolerance, cost.dtype)
    if tolerance == 0:
        missed = error > 1e-3 and bool(kernel.amin() == 0)  # an entry that became zero may be what is missing
    return None if missed or not bool(torch.isfinite(f).all() & torch.isfinite(g).all()) else Potentials(f, g)


def _by_logarithms(cost: Tensor, a: Tensor, b: Tensor, epsilon: Tensor, iterations: int) -> Potentials:
    """All iterations, reading no value. In the first half epsilon falls from the largest cost to its own value."""
    log_a, log_b = a.log(), b.log()
    above = (cost.amax() / epsilon).clamp_min(1)
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for iteration in range(iterations):
        now = epsilon * above ** max(0.0, 1 - iteration / max(iterations // 2, 1))
        f = -now * torch.logsumexp((g - cost) / now + log_b, dim=1)
        g = -now * torch.logsumexp((f[:, None] - cost) / now + log_a[:, None], dim=0)
    return Potentials(f, g)


def _by_newton(cost: Tensor, a: Tensor, b: Tensor, epsilon: Tensor, iterations: int, tolerance: float) -> Potentials:
    """Newton's method on the dual in float64, with logarithms and with epsilon halved from the largest cost to its own.

    Where mass must cross a gap of many epsilons, Sinkhorn's iteration needs thousands of steps. Newton's needs a few, if
    it starts near: so each epsilon starts where the one before has ended. A step that lowers the dual is shortened, and at
    last replaced by one of Sinkhorn's. With each larger epsilon a plan that is wrong by a hundredth is enough, or ten
    steps; with the last at most ``iterations`` are made.
    """
    if cost.shape[1] > cost.shape[0]:  # the linear systems are as large as the second sample
        g, f = _by_newton(cost.mT, b, a, epsilon, iterations, tolerance)
        return Potentials(f, g)
    costs, last = cost.double(), epsilon.double()
    a, b = a.double() / a.double().sum(), b.double() / b.double().sum()  # of one mass, to all digits
    limits = torch.finfo(torch.float64)
    enough = max(tolerance, 16 * limits.eps * (1 + float(costs.amax() / last)))
    log_a, log_b = a.log(), b.log()
    now = torch.maximum(costs.amax(), last)
    g = torch.zeros_like(b)
    steps = 0
    while True:
        f, rows = _plan_rows(costs, g, log_b, now)
        sums = a @ rows
        error = float((sums - b).abs().sum())
        if now > last:
            if steps == 10 or error <= 1e-2:
                now, steps = torch.maximum(now / 2, last), 0
                continue
        elif error <= enough or steps == iterations:
            break
        steps += 1
        curvature = torch.diag(sums + (1e-10 * sums).clamp_min(limits.tiny)) - (a[:, None] * rows).mT @ rows
        curvature += b[:, None] * b  # along a shift of all potentials the dual is flat
        step = now * torch.linalg.solve_ex(curvature, b - sums).result
        dual = a @ f + b @ g
        for length in STEPS:
            moved = g + length * step
            risen = a @ _plan_rows(costs, moved, log_b, now)[0] + b @ moved
            if risen >= dual - 1e-13 * dual.abs():  # false of NaN
                break
        else:
            moved = g + now * (log_b - sums.log())
        g = moved
    if error > enough:
        warnings.warn(
            f"sinkhorn_loss stopped after {iterations} iterations with the sums of its plan wrong by {error:.1g} of the "
            f"mass, above the tolerance of {tolerance:g}; use more iterations, a larger epsilon or a larger tolerance",
            RuntimeWarning,
            stacklevel=2,
        )
    g = -last * torch.logsumexp((f[:, None] - costs) / last + log_a[:, None], dim=0)
    return Potentials(f, g)


def _plan_rows(cost: Tensor, g: Tensor, log_b: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """The best source potential for a target potential, and the rows of its plan in units of their shares."""
    exponents = (g - cost) / epsilon + log_b
    sums = torch.logsumexp(exponents, dim=1)
    return -epsilon * sums, torch.exp(exponents - sums[:, None])


@uncompiled
@torch.no_grad()
def symmetric_potential(cost: Tensor, a: Tensor, epsilon: Tensor, *, iterations: int, tolerance: float) -> Tensor:
    """The potential of a sample to itself, which is one for both sides; averaged iterations find it in a few steps.

    If they do not reach a positive tolerance, :func:`_by_newton` goes on, where values may be read.

    Warns:
        RuntimeWarning: If it does not reach the tolerance either.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> symmetric_potential(cost, half, torch.tensor(1.0), iterations=100, tolerance=1e-6)[0]  # -log((1+1/e)/2) / 2
        tensor(0.1899)
    """
    readable, counts = _readable(cost, a, epsilon), a > 0
    if readable and not bool(counts.all()):
        known = cost[counts][:, counts], a[counts]
        f = symmetric_potential(*known, epsilon, iterations=iterations, tolerance=tolerance)
        return _plan_rows(cost[:, counts], f, a[counts].log(), epsilon)[0].masked_scatter(counts, f)
    kernel = torch.exp(cost / -epsilon)  # its diagonal is one, so no sum underflows
    u, error = torch.ones_like(a), 0.0
    for iteration in range(iterations):
        sums = torch.mv(kernel, a * u)
        if readable and tolerance > 0 and (iteration % 10 == 9 or iteration == iterations - 1):
            # u * sums are the sums of the plan, in units of the shares
            error = float((a * (u * sums - 1).abs()).sum())
            if error <= tolerance:
                break
        u = torch.where(counts, (u / sums).sqrt(), 1)  # a row that does not count may be too far away to be scaled
    if not _reached(error, tolerance, cost.dtype):
        f, g = _by_newton(cost, a, a, epsilon, iterations, tolerance)
        return (f + g) / 2
    f = epsilon * u.log()
    return f if readable else torch.where(counts, f, _plan_rows(cost, f, a.log(), epsilon)[0])
