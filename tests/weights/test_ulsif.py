import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dalib.weights import ULSIF, CollapsedWeightsWarning, RuLSIF
from dalib.weights.ulsif import leave_one_out_errors

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")


def sample(n=60, m=50, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.8 * rng.normal(size=(m, d)) + 0.5


def features(rows, centres, bandwidth):
    return np.array([[np.exp(-sum((x - c) ** 2) / (2 * bandwidth**2)) for c in centres] for x in rows])


def solve_by_loops(at_source, at_target, ridge, alpha):
    b = at_source.shape[1]
    H, h = ridge * np.eye(b), np.zeros(b)
    for row in at_source:
        H += (1 - alpha) / len(at_source) * np.outer(row, row)
    for row in at_target:
        H += alpha / len(at_target) * np.outer(row, row)
        h += row / len(at_target)
    return np.maximum(np.linalg.inv(H) @ h, 0)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.floats(0.01, 3))
@settings(max_examples=30, deadline=None)
def test_coefficients_are_the_definition(seed, n, m, alpha, ridge):
    source, target = sample(n, m, seed=seed)
    fitted = RuLSIF(alpha=alpha, bandwidths=[0.9], ridges=[ridge]).fit(source, target)
    at_source, at_target = (features(rows, fitted.centres_, 0.9) for rows in (source, target))
    theta = solve_by_loops(at_source, at_target, ridge, alpha)
    np.testing.assert_allclose(fitted.coefficients_, theta, atol=1e-9)
    ratio = at_source @ theta
    np.testing.assert_allclose(fitted.weights_, ratio / ratio.mean(), rtol=1e-8)
    assert fitted.scale_ == pytest.approx(ratio.mean())


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("n", "m"), [(25, 17), (17, 25), (20, 20)])
def test_leave_one_out_equals_brute_force(alpha, n, m):
    source, target = sample(n, m)
    at_source, at_target = (features(rows, target[:9], 1.1) for rows in (source, target))
    rng = np.random.default_rng(1)
    pairs = min(n, m)
    left_out = rng.permutation(n)[:pairs], rng.permutation(m)[:pairs]
    ridges = np.array([0.01, 0.1, 1.0])
    found = leave_one_out_errors(at_source, at_target, ridges, alpha, left_out)
    for ridge, error in zip(ridges, found, strict=True):
        errors = []
        for i, j in zip(*left_out, strict=True):
            theta = solve_by_loops(np.delete(at_source, i, axis=0), np.delete(at_target, j, axis=0), ridge, alpha)
            on_source, on_target = at_source[i] @ theta, at_target[j] @ theta
            errors.append(alpha / 2 * on_target**2 + (1 - alpha) / 2 * on_source**2 - on_target)
        assert error == pytest.approx(np.mean(errors), abs=1e-9)


def test_the_choice_is_the_smallest_error():
    source, target = sample(200, 150)
    fitted = ULSIF().fit(source, target)
    row, column = np.argwhere(fitted.errors_ == fitted.errors_.min())[0]
    middle = np.sqrt(((np.r_[source, target][:, None] - np.r_[source, target][None]) ** 2).sum(-1).sum() / 350 / 349)
    assert fitted.bandwidth_ == pytest.approx(middle * [0.25, 0.5, 1, 2, 4][row])
    assert fitted.ridge_ == [0.001, 0.01, 0.1, 1, 10][column]
    only = ULSIF(bandwidths=[fitted.bandwidth_], ridges=[fitted.ridge_]).fit(source, target)
    assert np.isnan(only.errors_).all()
    np.testing.assert_allclose(only.weights_, fitted.weights_)


def test_ulsif_is_the_relative_ratio_at_alpha_zero():
    source, target = sample(80, 70)
    np.testing.assert_array_equal(
        ULSIF(random_state=4).fit(source, target).weights_,
        RuLSIF(alpha=0.0, random_state=4).fit(source, target).weights_,
    )
    assert "alpha" not in ULSIF().get_params()


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_known_gaussians_with_size(alpha):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(4000, 1)), 0.6 * rng.normal(size=(4000, 1)) + 0.5
    grid = np.linspace(-1.0, 1.8, 30)[:, None]
    p_source, p_target = norm.pdf(grid[:, 0]), norm.pdf(grid[:, 0], 0.5, 0.6)
    truth = p_target / (alpha * p_target + (1 - alpha) * p_source)
    fitted = RuLSIF(alpha=alpha).fit(source, target)
    found = np.exp(fitted.score_samples(grid))
    assert np.abs(found - truth).mean() < 0.12 * truth.mean()


def test_the_relative_ratio_is_bounded_where_the_plain_one_is_not():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(1000, 1)), rng.normal(size=(1000, 1)) + 2.5
    relative = RuLSIF(alpha=0.5).fit(source, target)
    assert np.exp(relative.score_samples(source)).max() < 2.3  # 1 / alpha and the noise
    assert relative.weights_.max() < ULSIF().fit(source, target).weights_.max()


def test_alpha_one_gives_equal_weights_where_the_target_is():
    source, target = sample(500, 500)
    fitted = RuLSIF(alpha=1.0).fit(source, target)
    inside = np.exp(fitted.score_samples(target))
    assert abs(np.median(inside) - 1) < 0.1


def test_one_row_and_far_rows():
    assert ULSIF().fit([[0.0]], [[1.0], [2.0]]).weights_.tolist() == [1.0]
    fitted = ULSIF().fit(*sample())
    assert fitted.predict([[1e6, 1e6]]).tolist() == [0.0]
    assert fitted.score_samples([[1e6, 1e6]]).tolist() == [-np.inf]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": -0.1}, ValueError, r"alpha must lie in \[0, 1\], got -0.1"),
        ({"bandwidths": 1.0}, TypeError, r"bandwidths must be a sequence of numbers, got float; write \[value\]"),
        ({"bandwidths": []}, ValueError, "bandwidths must be positive and finite numbers, at least one"),
        ({"ridges": [0.0]}, ValueError, r"ridges must be positive and finite numbers, at least one, got \[0.0\]"),
        ({"centres": 0}, ValueError, "centres must be at least 1, got 0"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        RuLSIF(**options).fit(*sample())


def test_disjoint_supports():
    with pytest.raises(ValueError, match=r"source and target must overlap.*wider bandwidths"):
        ULSIF(bandwidths=[0.01]).fit(np.zeros((5, 1)) + np.arange(5)[:, None], [[1e6]])
    with pytest.warns(CollapsedWeightsWarning, match="use RuLSIF"):
        ULSIF(bandwidths=[0.5], ridges=[0.01]).fit(np.linspace(0, 50, 200)[:, None], [[0.0], [0.1]])
