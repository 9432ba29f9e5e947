r"""Convex quadratic programs over a box and a slab, and the certificate of a solution.

.. math:: \min_b \tfrac12 b^\top K b - \kappa^\top b \quad\text{s.t.}\quad 0 \le b_i \le B,\ \ l \le \sum_i b_i \le u

A solution carries a lower bound of the optimum, so no solver has to be believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BoxSlab:
    """The feasible set: ``0 <= b <= upper`` and ``low <= sum(b) <= high``."""

    upper: float
    low: float
    high: float

    def project(self, point: Array) -> Array:
        """The nearest feasible point, exactly.

        It is the box's projection of ``point`` minus a constant, and the sum of that is a falling, piecewise linear
        function of the constant: bisection over its knots, then one interpolation.

        Example:
            >>> BoxSlab(upper=2.0, low=1.0, high=3.0).project(np.array([3.0, 1.75, -1.0]))  # minus 3/4, then boxed
            array([2., 1., 0.])
        """
        inside: Array = np.clip(point, 0.0, self.upper)
        total = inside.sum()
        if self.low <= total <= self.high:
            return inside
        bound = self.low if total < self.low else self.high
        knots = np.sort(np.concatenate([point, point - self.upper]))
        left, right = 0, len(knots) - 1

        def mass(shift: float) -> float:
            return float(np.clip(point - shift, 0.0, self.upper).sum())

        while right - left > 1:
            middle = (left + right) // 2
            left, right = (middle, right) if mass(knots[middle]) >= bound else (left, middle)
        at_left, at_right = mass(knots[left]), mass(knots[right])
        step = 0.0 if at_left == at_right else (at_left - bound) / (at_left - at_right) * (knots[right] - knots[left])
        return np.asarray(np.clip(point - (knots[left] + step), 0.0, self.upper))

    def smallest(self, costs: Array) -> float:
        """The minimum of ``costs @ b`` over the set: fill the cheapest rows first."""
        cheapest = np.sort(costs)
        before = self.upper * np.arange(len(costs))
        room = np.clip(self.high - before, 0.0, self.upper)
        need = np.clip(self.low - before, 0.0, self.upper)
        return float(cheapest @ np.where(cheapest < 0, room, need))


@dataclass(frozen=True)
class Program:
    """Minimise ``b'Kb / 2 - linear @ b`` over ``feasible``, with ``K = kernel`` or ``K = factor @ factor.T``."""

    linear: Array
    feasible: BoxSlab
    kernel: Array | None = None
    factor: Array | None = None

    def multiply(self, b: Array) -> Array:
        """``K @ b``."""
        if self.kernel is not None:
            return np.asarray(self.kernel @ b)
        assert self.factor is not None
        return np.asarray(self.factor @ (b @ self.factor))

    def value(self, b: Array, product: Array) -> float:
        """The objective at ``b``, from ``product = K @ b``."""
        return 0.5 * float(b @ product) - float(self.linear @ b)

    def lower_bound(self, z: Array, product: Array) -> float:
        """A lower bound of the optimum from any point ``z`` and ``product = K @ z``, as ``K`` is semidefinite.

        ``b'Kb / 2 >= b'Kz - z'Kz / 2`` for every ``b``; what is left is linear in ``b``.
        """
        return -0.5 * float(z @ product) + self.feasible.smallest(product - self.linear)


@dataclass
class Solution:
    """The best feasible point so far, and the best lower bound of the optimum."""

    point: Array
    value: float = np.inf
    bound: float = -np.inf
    iterations: int = 0

    @property
    def gap(self) -> float:
        """How far above the optimum the value can be at most."""
        return self.value - self.bound

    def offer(self, program: Program, point: Array, product: Array) -> None:
        """Take the feasible ``point`` if it is better, and its lower bound if that is higher."""
        value = program.value(point, product)
        self.bound = max(self.bound, program.lower_bound(point, product))
        if value < self.value:
            self.point, self.value = point, value
