import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from dalib.weights import CollapsedWeightsWarning, KernelMeanMatching

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")


def shifted(n=300, m=250, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 1.0 / np.sqrt(d)


def by_loops(source, target, b, bandwidth):
    """The objective over n^2, in plain loops."""
    n, m = len(source), len(target)

    def k(x, y):
        return np.exp(-sum((x - y) ** 2) / (2 * bandwidth**2))

    quadratic = sum(b[i] * b[j] * k(source[i], source[j]) for i in range(n) for j in range(n))
    linear = sum(b[i] * n / m * k(source[i], target[j]) for i in range(n) for j in range(m))
    return (quadratic / 2 - linear) / n**2


# --- answers known by hand and in closed form


def test_two_points_by_hand():
    # K = [[1, c], [c, 1]] and one target row on the first source row: kappa = (2, 2c); b = (2, 0) has zero gradient
    matching = KernelMeanMatching(bandwidth=1.0).fit([[0.0], [1.0]], [[0.0]])
    np.testing.assert_allclose(matching.optimum_, [2.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(matching.weights_, [2.0, 0.0], atol=1e-4)
    assert matching.objective_ == pytest.approx(-0.5, abs=1e-6)  # (2 - 4) / 4


def test_one_row_has_weight_one():
    assert KernelMeanMatching().fit([[1.0, 2.0]], [[3.0, 4.0], [0.0, 1.0]]).weights_.tolist() == [1.0]


def test_linear_kernel_moves_the_weighted_mean_onto_the_target():
    source, target = shifted()
    matching = KernelMeanMatching(kernel=lambda X, Y: 1 + X @ Y.T, tolerance=1e-10).fit(source, target)
    np.testing.assert_allclose(matching.optimum_.sum() / len(source), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.average(source, axis=0, weights=matching.weights_), target.mean(axis=0), atol=1e-3)


def test_equal_domains_are_left_alone():
    source, _ = shifted(n=60)
    matching = KernelMeanMatching(bandwidth=0.5, tolerance=1e-12).fit(source, source)
    np.testing.assert_allclose(matching.weights_, 1.0, atol=1e-6)


def test_direction_on_known_gaussians():
    source, target = shifted(n=800, m=700)
    weights = KernelMeanMatching().fit(source, target).weights_
    before = np.linalg.norm(source.mean(axis=0) - target.mean(axis=0))
    after = np.linalg.norm(np.average(source, axis=0, weights=weights) - target.mean(axis=0))
    assert after < 0.05 * before
    towards = source @ np.ones(3)
    assert np.corrcoef(towards, weights)[0, 1] > 0.2


# --- the definition, and certificates


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 9), st.floats(0.5, 3.0))
@settings(max_examples=25, deadline=None)
def test_objective_is_the_definition(seed, n, m, bandwidth):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.3
    matching = KernelMeanMatching(bandwidth=bandwidth, tolerance=1e-5, max_weight=5.0).fit(source, target)
    assert matching.objective_ == pytest.approx(by_loops(source, target, matching.optimum_, bandwidth), abs=1e-10)
    for _ in range(20):  # no feasible point is better than the certificate allows
        other = rng.dirichlet(np.ones(n)) * n
        assert by_loops(source, target, np.minimum(other, 5.0), bandwidth) >= matching.objective_ - matching.gap_ - 1e-9


@pytest.mark.parametrize("d", [3, 20])
def test_optimum_equals_an_independent_solver_at_1000_rows(d):
    quadprog = pytest.importorskip("quadprog")
    source, target = shifted(n=300 if d == 3 else 1000, d=d)
    matching = KernelMeanMatching().fit(source, target)
    n = len(source)
    squared = ((source[:, None] - source[None]) ** 2).sum(-1)
    across = ((source[:, None] - target[None]) ** 2).sum(-1)
    K = np.exp(-squared / (2 * matching.bandwidth_**2))
    linear = n * np.exp(-across / (2 * matching.bandwidth_**2)).mean(axis=1)
    slack = (np.sqrt(n) - 1) / np.sqrt(n)
    C = np.hstack([np.eye(n), np.ones((n, 1)), -np.ones((n, 1))])
    bounds = np.concatenate([np.zeros(n), [n * (1 - slack), -n * (1 + slack)]])
    other = np.maximum(quadprog.solve_qp(K + 1e-9 * np.eye(n), linear, C, bounds)[0], 0)
    optimum = (0.5 * other @ K @ other - linear @ other) / n**2
    assert matching.objective_ - optimum <= 2e-6
    assert optimum >= matching.objective_ - matching.gap_ - 1e-9
    assert matching.gap_ <= 1e-6


def test_the_bounds_hold():
    source, target = shifted(n=100)
    capped = KernelMeanMatching(max_weight=2.0, slack=0.0).fit(source, target).optimum_
    assert capped.max() <= 2.0
    assert capped.sum() == pytest.approx(100.0)
    assert capped.max() == pytest.approx(2.0, abs=1e-4)  # the bound is active: without it some weights are larger
    assert KernelMeanMatching(slack=0.0).fit(source, target).optimum_.max() > 3.0


def test_nystrom_with_every_row_as_landmark_is_exact():
    source, target = shifted(n=120)
    exact = KernelMeanMatching(bandwidth=0.7).fit(source, target)
    approximate = KernelMeanMatching(bandwidth=0.7, exact_rows=1, landmarks=120, tolerance=1e-9).fit(source, target)
    assert approximate.objective_ == pytest.approx(exact.objective_, abs=2e-6)


def test_the_exact_objective_of_many_rows_is_computed_in_tiles():
    source, target = shifted(n=2100, m=40)
    matching = KernelMeanMatching(bandwidth=0.7, exact_rows=1, landmarks=20).fit(source, target)
    squared = ((source[:, None] - source[None]) ** 2).sum(-1)
    across = ((source[:, None] - target[None]) ** 2).sum(-1)
    b = matching.optimum_
    quadratic = b @ np.exp(-squared / (2 * 0.7**2)) @ b / 2
    linear = 2100 * np.exp(-across / (2 * 0.7**2)).mean(axis=1) @ b
    assert matching.objective_ == pytest.approx((quadratic - linear) / 2100**2, abs=1e-12)


def test_nystrom_reports_the_gap_of_the_exact_problem():
    source, target = shifted(n=400)
    exact = KernelMeanMatching(bandwidth=0.7).fit(source, target)
    few = KernelMeanMatching(bandwidth=0.7, exact_rows=1, landmarks=20, random_state=0).fit(source, target)
    many = KernelMeanMatching(bandwidth=0.7, exact_rows=1, landmarks=200, random_state=0).fit(source, target)
    assert few.gap_ > many.gap_
    for one in (few, many):
        assert exact.objective_ - exact.gap_ <= one.objective_ <= exact.objective_ + one.gap_
    again = KernelMeanMatching(bandwidth=0.7, exact_rows=1, landmarks=20, random_state=0).fit(source, target)
    np.testing.assert_array_equal(few.weights_, again.weights_)


# --- what must hold on any input


def test_weights_follow_their_rows_and_ignore_shift_and_scale():
    source, target = shifted(n=80, m=60)
    order = np.random.default_rng(1).permutation(80)
    options = {"tolerance": 1e-11, "bandwidth": 1.0}
    weights = KernelMeanMatching(**options).fit(source, target).weights_
    np.testing.assert_allclose(
        KernelMeanMatching(**options).fit(source[order], target).weights_, weights[order], atol=1e-5
    )
    free = KernelMeanMatching(tolerance=1e-11).fit(source, target).objective_
    moved = KernelMeanMatching(tolerance=1e-11).fit(100 * source + 1e4, 100 * target + 1e4).objective_
    assert moved == pytest.approx(free, abs=1e-8)


def test_mean_one_and_one_weight_for_every_row():
    for n in (1, 2, 7, 101):
        source, target = shifted(n=n, m=30)
        weights = KernelMeanMatching().fit(source, target).weights_
        assert weights.shape == (n,)
        assert weights.mean() == pytest.approx(1.0)
        assert weights.min() >= 0


@pytest.mark.parametrize("n", [2, 30])
def test_constant_and_equal_rows(n):
    weights = KernelMeanMatching().fit(np.ones((n, 3)), np.ones((5, 3))).weights_
    np.testing.assert_allclose(weights, 1.0)


def test_more_features_than_rows():
    rng = np.random.default_rng(0)
    matching = KernelMeanMatching().fit(rng.normal(size=(20, 100)), rng.normal(size=(10, 100)) + 0.1)
    assert matching.gap_ <= 1e-6


def test_scikit_learn_manners():
    source, target = shifted(n=50)
    matching = KernelMeanMatching(max_weight=10.0)
    columns = ["age", "size", "dose"]
    fitted = clone(matching).fit(pd.DataFrame(source, columns=columns), pd.DataFrame(target, columns=columns))
    assert fitted.get_params()["max_weight"] == 10.0
    assert fitted.n_features_in_ == 3
    assert list(fitted.feature_names_in_) == columns
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).weights_, fitted.weights_)
    for kind in (np.ndarray.tolist, torch.from_numpy):
        again = clone(fitted).fit(kind(source), kind(target)).weights_
        np.testing.assert_allclose(again, fitted.weights_, atol=1e-8)


# --- errors and warnings


@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        (np.ones((3, 2)), np.ones((3, 4)), ValueError, "same number of features, got 2 and 4"),
        (np.ones(3), np.ones((3, 4)), ValueError, r"source must have shape \(rows, features\), got \(3,\)"),
        (np.ones((3, 4)), np.ones((3, 4, 1)), ValueError, r"target must have shape .* got \(3, 4, 1\)"),
        (np.ones((3, 2)), [[1.0, np.nan]], ValueError, "target must be finite, got NaN .* in 1 entries; impute"),
        (np.full((3, 2), np.inf), np.ones((3, 2)), ValueError, "source must be finite, got NaN .* in 6 entries"),
        (np.ones((0, 2)), np.ones((3, 2)), ValueError, "must have at least one row and one feature"),
        (None, np.ones((3, 2)), TypeError, "source must be an array"),
        (np.ones((3, 2)), None, TypeError, "target must be an array"),
        (
            torch.ones(3, 2, device="meta"),
            np.ones((3, 2)),
            TypeError,
            r"got a tensor on meta.*source.detach\(\).cpu\(\)",
        ),
        (np.ones((3, 2)), torch.ones(3, 2, requires_grad=True), TypeError, r"that requires grad; pass target.detach"),
        (
            pd.DataFrame({"a": [1.0]}),
            pd.DataFrame({"b": [1.0]}),
            ValueError,
            "target must have the columns of source",
        ),
    ],
)
def test_bad_domains(source, target, error, message):
    with pytest.raises(error, match=message):
        KernelMeanMatching().fit(source, target)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bandwidth": 0.0}, ValueError, "bandwidth must be positive and finite, got 0"),
        ({"bandwidth": "wide"}, TypeError, "bandwidth must be a number, got str"),
        ({"slack": -0.1}, ValueError, "slack must be at least 0 and finite, got -0.1"),
        ({"max_weight": 0.5, "slack": 0.1}, ValueError, "max_weight must be at least 1 - slack = 0.9"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be positive"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"landmarks": -1}, ValueError, "landmarks must be at least 1, got -1"),
    ],
)
def test_bad_options(options, error, message):
    source, target = shifted(n=10, m=10)
    with pytest.raises(error, match=message):
        KernelMeanMatching(**options).fit(source, target)


def test_disjoint_supports_are_named_with_a_mend():
    with pytest.raises(ValueError, match=r"source and target must overlap.*widen bandwidth"):
        KernelMeanMatching(bandwidth=0.01, slack=1.0).fit(np.zeros((5, 1)) + np.arange(5)[:, None], [[1e6]])


def test_collapse_warns_with_the_remedy():
    source, _ = shifted(n=200)
    with pytest.warns(CollapsedWeightsWarning, match=r"effective sample size is \d.* of 200; lower max_weight"):
        KernelMeanMatching(bandwidth=0.3).fit(source, source[:1] + 0.01)


def test_a_gap_that_is_left_warns():
    source, target = shifted(d=1)
    with pytest.warns(ConvergenceWarning, match="stopped after 60 steps at a gap of"):
        KernelMeanMatching(max_iter=60, tolerance=1e-30).fit(source, target)


def test_no_predict_before_or_after_fitting():
    assert not hasattr(KernelMeanMatching(), "predict")
