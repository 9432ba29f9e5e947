"""Solves convex quadratic programs over a box and a slab.

Block pivoting on the rows between the bounds gives the optimum to machine precision. Where their linear system is
nearly singular, or the kernel is given by a thin factor, accelerated projected gradient and an interior point method
come close.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigvalsh
from scipy.linalg.lapack import dpstrf

from dalib.weights._box_slab import Program, Solution

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def solve(program: Program, *, tolerance: float, max_iterations: int) -> Solution:
    """Minimise until the certified gap is at most ``tolerance``, with at most ``max_iterations`` gradient steps."""
    point = program.feasible.project(np.ones_like(program.linear))
    best = Solution(point)
    best.offer(program, point, program.multiply(point))
    if program.kernel is not None and best.gap > tolerance:
        hardest = program.linear >= np.quantile(program.linear, 0.8)  # the rows that pull hardest
        _pivot(program, best, tolerance, hardest, np.zeros_like(hardest))
    if best.gap <= tolerance:
        return best
    curvature = _largest_eigenvalue(program)
    point = _descend(program, best, point, curvature, tolerance, min(50, len(point), max_iterations))
    if program.kernel is not None and best.gap > tolerance:
        capped = point >= program.feasible.upper
        _pivot(program, best, tolerance, (point > 0) & ~capped, capped)
    if best.gap > tolerance:
        thin = program.factor if program.kernel is None else _thin_factor(program.kernel)
        _interior(replace(program, factor=thin), best, tolerance)
    if best.gap > tolerance:
        _descend(program, best, point, curvature, tolerance, max_iterations)
    return best


def _descend(program: Program, best: Solution, point: Array, curvature: float, tolerance: float, most: int) -> Array:
    """Accelerated projected gradient, restarted where the momentum points uphill; returns where it stands."""
    product = program.multiply(point)
    ahead, ahead_product, momentum = point, product, 1.0
    while best.gap > tolerance and best.iterations < most:
        best.iterations += 1
        new = program.feasible.project(ahead - (ahead_product - program.linear) / curvature)
        new_product = program.multiply(new)
        if (ahead - new) @ (new - point) > 0:
            momentum = 1.0
        following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        push = (momentum - 1.0) / following
        ahead = new + push * (new - point)
        ahead_product = new_product + push * (new_product - product)
        point, product, momentum = new, new_product, following
        if best.iterations % 10 == 0 or best.iterations == most:
            best.offer(program, point, product)
    return point


def _pivot(program: Program, best: Solution, tolerance: float, free: Flags, capped: Flags) -> None:
    """Guess which rows lie between the bounds, solve for them, exchange the rows that come out wrong; offer late guesses.

    ``free`` and ``capped`` (at the upper bound) are the first guess. An exchange costs a factorisation of the free rows,
    so it lets in at most a quarter as many as are there, the most wrongly excluded first: they are then seldom many more
    than in the end. Where exchanges stop paying (a nearly singular kernel) it gives up.
    """
    kernel, linear, feasible = program.kernel, program.linear, program.feasible
    assert kernel is not None
    count, upper = len(linear), feasible.upper
    fewest, patience = 2 * count, 5
    slack = 1e-9 * float(np.abs(linear).max())
    while patience and best.gap > tolerance and free.any():
        index = np.flatnonzero(free)
        guess = np.where(capped, upper, 0.0)
        pull = (linear - kernel @ guess if capped.any() else linear)[index]
        try:
            factor = cho_factor(kernel[np.ix_(index, index)], overwrite_a=True, check_finite=False)
        except LinAlgError:
            return
        both = cho_solve(factor, np.column_stack([pull, np.ones(len(index))]), check_finite=False)
        total = both[:, 0].sum() + guess.sum()
        price = (total - np.clip(total, feasible.low, feasible.high)) / both[:, 1].sum()  # of the slab; 0 inside it
        guess[index] = both[:, 0] - price * both[:, 1]
        slope = kernel @ guess - linear + price
        wanted, unwanted = ~free & ~capped & (slope < -slack), capped & (slope > slack)
        low, high = free & (guess < 0), free & (guess > upper)
        wrong = int(np.count_nonzero(wanted | unwanted | low | high))
        if wrong <= max(count // 20, 10):
            inside = feasible.project(guess)
            best.offer(program, inside, kernel @ inside)
        if wrong == 0:
            return
        patience = 5 if wrong < fewest else patience - 1
        fewest = min(fewest, wrong)
        most = max(len(index) // 4, 10)
        if np.count_nonzero(wanted) > most:
            wanted &= slope <= np.partition(slope[wanted], most)[most]
        free, capped = (free & ~low & ~high) | wanted | unwanted, (capped & ~unwanted) | high


class _Barrier:
    """The inequalities as slacks ``A b + c >= 0``: rows above 0, rows below the upper bound, the two sides of the slab.

    The slab is widened by a hair, so that it has an inside to walk in; what is offered is projected back.
    """

    def __init__(self, program: Program) -> None:
        self.n = len(program.linear)
        self.upper = program.feasible.upper
        low, high = program.feasible.low, min(program.feasible.high, self.n * self.upper)
        self.start = np.full(self.n, np.clip((low + high) / (2 * self.n), 1e-8 * self.upper, (1 - 1e-8) * self.upper))
        hair = 1e-7 * (1.0 + self.n)
        self.low = min(low, self.start.sum()) - hair
        self.high = max(high, self.start.sum()) + hair

    def slacks(self, b: Array) -> Array:
        total = b.sum()
        return np.concatenate([b, self.upper - b, [total - self.low, self.high - total]])

    def forward(self, step: Array) -> Array:
        """``A @ step``: how the slacks change."""
        total = step.sum()
        return np.concatenate([step, -step, [total, -total]])

    def backward(self, y: Array) -> Array:
        """``A.T @ y``."""
        return np.asarray(y[: self.n] - y[self.n : -2] + (y[-2] - y[-1]))


def _interior(program: Program, best: Solution, tolerance: float) -> None:
    """Primal-dual interior point (Mehrotra's predictor and corrector); offers every iterate.

    A step costs a factorisation of ``K`` plus a diagonal, which is small where ``K`` has a thin factor. This is what
    a smooth kernel in few dimensions needs: gradient steps creep there, and pivots have nothing to stand on.
    """
    barrier = _Barrier(program)
    b = barrier.start
    slack = barrier.slacks(b)
    duals = (float(np.abs(program.linear).max()) or 1.0) / slack  # on the central path
    for _ in range(60):
        product = program.multiply(b)
        inside = program.feasible.project(b)
        best.offer(program, inside, program.multiply(inside))
        best.bound = max(best.bound, program.lower_bound(b, product))
        if best.gap <= tolerance or not (slack.min() > 0 and duals.min() > 0):
            return
        ratio = duals / slack
        residual = product - program.linear - barrier.backward(duals)
        try:
            invert = _inverse(program, ratio[: barrier.n] + ratio[barrier.n : -2], float(ratio[-2] + ratio[-1]))
        except (LinAlgError, ValueError):
            return
        mean = float(slack @ duals) / len(duals)
        aim = np.zeros_like(duals)  # the products of slacks and duals that a step heads for
        for predicting in (True, False):
            step = invert(barrier.backward(aim / slack - duals) - residual)
            change = barrier.forward(step)
            dual_step = aim / slack - duals - ratio * change
            length = min(_to_boundary(slack, change), _to_boundary(duals, dual_step))
            if predicting:
                after = float((slack + length * change) @ (duals + length * dual_step)) / len(duals)
                aim = (after / mean) ** 3 * mean - change * dual_step
        b, duals = b + 0.995 * length * step, duals + 0.995 * length * dual_step
        slack = barrier.slacks(b)


def _to_boundary(values: Array, change: Array) -> float:
    """The longest step in ``[0, 1]`` that keeps ``values`` from falling below zero."""
    falling = change < 0
    return min(1.0, float((-values[falling] / change[falling]).min())) if falling.any() else 1.0


def _inverse(program: Program, diagonal: Array, uniform: float) -> Callable[[Array], Array]:
    """Solves with ``K + diag(diagonal) + uniform``, by Woodbury's identity where there is a thin factor."""
    factor = program.factor
    if factor is None:
        assert program.kernel is not None
        system = program.kernel + uniform
        system[np.diag_indices(len(system))] += diagonal
        whole = cho_factor(system, overwrite_a=True, check_finite=False)
        return lambda rhs: np.asarray(cho_solve(whole, rhs, check_finite=False))
    root = 1.0 / np.sqrt(diagonal)
    scaled = np.empty((len(diagonal), factor.shape[1] + 1))
    np.multiply(factor, root[:, None], out=scaled[:, :-1])
    scaled[:, -1] = math.sqrt(uniform) * root
    small = scaled.T @ scaled
    small[np.diag_indices(len(small))] += 1.0
    inner = cho_factor(small, overwrite_a=True, check_finite=False)

    def invert(rhs: Array) -> Array:
        whitened = root * rhs
        answer: Array = root * (whitened - scaled @ cho_solve(inner, whitened @ scaled, check_finite=False))
        return answer

    return invert


def _thin_factor(kernel: Array) -> Array | None:
    """A factor of at most a third as many columns as rows, exact to 1e-10 of the largest entry, or ``None``."""
    count = len(kernel)
    triangle, order, rank, _ = dpstrf(kernel, tol=1e-10 * float(kernel.diagonal().max()), lower=1)
    if rank > count // 3:
        return None
    factor = np.empty((count, rank))
    factor[order - 1] = np.tril(triangle)[:, :rank]
    return factor


def _largest_eigenvalue(program: Program) -> float:
    """An upper bound of the largest eigenvalue of ``K``, above zero."""
    if program.kernel is None:  # the small Gram matrix has the same eigenvalues
        assert program.factor is not None
        bound = float(eigvalsh(program.factor.T @ program.factor)[-1]) * (1.0 + 1e-9)
    else:
        size = program.kernel if program.kernel.min() >= 0 else np.abs(program.kernel)
        bound = largest_eigenvalue_bound(lambda x: size @ x, len(size))
    return bound if 0 < bound < np.inf else 1.0


def largest_eigenvalue_bound(multiply: Callable[[Array], Array], count: int, *, steps: int = 10) -> float:
    """An upper bound of the largest eigenvalue of an entrywise non-negative matrix (Collatz and Wielandt).

    Example:
        >>> matrix = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> largest_eigenvalue_bound(lambda x: matrix @ x, 2)
        3.0
    """
    vector = np.ones(count)
    bound = np.inf
    for _ in range(steps):
        product = multiply(vector)
        if not (vector > 0).all() or not product.any():
            break
        bound = min(bound, float((product / vector).max()))
        vector = product / product.max()
    return bound
