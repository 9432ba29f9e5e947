"""The quadratic program of kernel mean matching against solvers that share no line with it."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dalib.weights._box_slab import BoxSlab, Program, Solution
from dalib.weights._box_slab_solver import largest_eigenvalue_bound, solve

quadprog = pytest.importorskip("quadprog")


def quadprog_point(K, linear, feasible):
    """Goldfarb and Idnani's dual method on ``K`` with a ridge too small to matter."""
    n = len(linear)
    ridge = 1e-10 * np.trace(K) / n * np.eye(n)
    constraints = np.hstack([np.eye(n), -np.eye(n), np.ones((n, 1)), -np.ones((n, 1))])
    bounds = np.concatenate([np.zeros(n), -np.full(n, feasible.upper), [feasible.low, -feasible.high]])
    return quadprog.solve_qp(K + ridge, linear, constraints, bounds)[0]


def by_quadprog(K, linear, feasible):
    return feasible.project(quadprog_point(K, linear, feasible))  # it violates bounds by its rounding


def random_problem(seed, n, rank):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, rank))
    return factor, factor @ factor.T, rng.normal(size=n) * n


def _set(upper, low, width):
    return lambda n: BoxSlab(upper, low * n * upper, (low + width) * n * upper)


sets = st.builds(_set, st.floats(0.3, 4.0), st.floats(0.0, 0.6), st.floats(0.01, 0.39))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), make=sets)
@settings(max_examples=60, deadline=None)
def test_projection_is_the_nearest_feasible_point(seed, n, make):
    feasible = make(n)
    point = np.random.default_rng(seed).normal(size=n) * 3
    found = feasible.project(point)
    assert found.min() >= 0
    assert found.max() <= feasible.upper + 1e-12
    assert feasible.low - 1e-9 * n <= found.sum() <= feasible.high + 1e-9 * n
    np.testing.assert_allclose(found, quadprog_point(np.eye(n), point, feasible), atol=1e-7)


@example(385, 1, _set(2.0, 1e-8, 0.25))  # the smallest sum lies within the program's usual tolerance of zero
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), make=sets)
@settings(max_examples=60, deadline=None)
def test_smallest_is_the_linear_program(seed, n, make):
    feasible = make(n)
    costs = np.random.default_rng(seed).normal(size=n)
    answer = linprog(
        costs,
        np.vstack([np.ones(n), -np.ones(n)]),
        [feasible.high, -feasible.low],
        bounds=(0, feasible.upper),
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert feasible.smallest(costs) == pytest.approx(answer.fun, abs=1e-8)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 25), share=st.floats(0.1, 1.5), make=sets, hold=st.booleans())
@settings(max_examples=60, deadline=None)
def test_solution_and_bound_enclose_the_optimum_of_quadprog(seed, n, share, make, hold):
    factor, K, linear = random_problem(seed, n, max(1, int(share * n)))
    feasible = make(n)
    scale = 1 + np.abs(linear).sum()
    program = Program(linear, feasible, **({"kernel": K} if hold else {"factor": factor}))
    solution = solve(program, tolerance=1e-8 * scale, max_iterations=2000)
    other = by_quadprog(K, linear, feasible)
    optimum = 0.5 * other @ K @ other - linear @ other
    assert solution.gap <= 1e-8 * scale
    assert solution.value <= optimum + 2e-8 * scale
    assert solution.bound <= optimum + 1e-12 * scale


@given(seed=st.integers(0, 10**6), n=st.integers(1, 10), make=sets)
@settings(max_examples=40, deadline=None)
def test_lower_bound_holds_at_any_point(seed, n, make):
    _, K, linear = random_problem(seed, n, n)
    feasible = make(n)
    other = by_quadprog(K, linear, feasible)
    anywhere = np.random.default_rng(seed).normal(size=n)
    bound = Program(linear, feasible, K).lower_bound(anywhere, K @ anywhere)
    assert bound <= 0.5 * other @ K @ other - linear @ other + 1e-6 * (1 + np.abs(linear).sum())


@pytest.mark.parametrize("rank", [5, 60])
def test_few_steps_find_the_optimum_to_machine_precision(rank):
    _, K, _ = random_problem(0, 40, rank)
    solution = solve(Program(K @ np.ones(40), BoxSlab(1e3, 1.0, 1e3), K), tolerance=1e-9, max_iterations=50)
    assert solution.gap <= 1e-9
    assert solution.value == pytest.approx(-0.5 * np.ones(40) @ K @ np.ones(40), rel=1e-12)
    assert solution.iterations <= 50


def test_an_offer_keeps_the_best_of_both_sides():
    program = Program(np.ones(2), BoxSlab(1.0, 0.0, 2.0), np.eye(2))
    best = Solution(np.zeros(2))
    best.offer(program, np.ones(2), np.ones(2))  # the optimum, value -1
    best.offer(program, np.zeros(2), np.zeros(2))  # value 0, bound -2
    assert (best.value, best.bound, best.gap) == (-1.0, -1.0, 0.0)
    np.testing.assert_array_equal(best.point, np.ones(2))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 15))
@settings(max_examples=30, deadline=None)
def test_eigenvalue_bound_is_above_and_near(seed, n):
    half = np.random.default_rng(seed).uniform(0.1, 1.0, size=(n, n))
    K = half @ half.T
    largest = np.linalg.eigvalsh(K)[-1]
    assert largest * (1 - 1e-12) <= largest_eigenvalue_bound(lambda x: K @ x, n) <= largest * 1.01
