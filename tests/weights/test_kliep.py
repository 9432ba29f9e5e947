import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from dalib.weights import KLIEP, CollapsedWeightsWarning
from dalib.weights.kliep import most_likely_mixture

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")


def sample(n=80, m=70, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.8 * rng.normal(size=(m, d)) + 0.5


@given(st.integers(0, 10**6), st.integers(1, 15), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_mixture_against_a_general_solver(seed, m, b):
    components = np.random.default_rng(seed).uniform(0.01, 2.0, size=(m, b))
    proportions, gap, _ = most_likely_mixture(components, tolerance=1e-9, max_iter=100)
    assert proportions.min() >= 0
    assert proportions.sum() == pytest.approx(1.0)
    assert gap <= 1e-9
    other = minimize(  # sequential quadratic programming, from the same start
        lambda p: -np.log(components @ p).mean(),
        np.full(b, 1 / b),
        jac=lambda p: -(components / (components @ p)[:, None]).mean(axis=0),
        bounds=[(0, 1)] * b,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert np.log(components @ proportions).mean() >= -other.fun - 1e-8


def test_the_gap_is_honest_when_stopped_early():
    components = np.random.default_rng(0).gamma(0.5, size=(200, 30))
    best, _, _ = most_likely_mixture(components, tolerance=1e-12, max_iter=200)
    optimum = np.log(components @ best).mean()
    for steps in range(8):
        early, gap, taken = most_likely_mixture(components, tolerance=1e-12, max_iter=steps)
        assert taken == steps
        assert optimum - np.log(components @ early).mean() <= gap + 1e-12


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_the_constraint_and_the_objective_are_the_definition(seed, n, m):
    source, target = sample(n, m, seed=seed)
    fitted = KLIEP(bandwidths=[1.5]).fit(source, target)

    def ratio(x):
        return sum(
            a * np.exp(-sum((x - c) ** 2) / (2 * 1.5**2))
            for a, c in zip(fitted.coefficients_, fitted.centres_, strict=True)
        )

    at_source = np.array([ratio(x) for x in source])
    assert at_source.mean() == pytest.approx(1.0)
    assert fitted.objective_ == pytest.approx(np.mean([np.log(ratio(x)) for x in target]), abs=1e-9)
    assert fitted.objective_ >= -1e-6 or n < 3  # at least as likely as the plain source where w = 1 is near the model
    np.testing.assert_allclose(fitted.weights_, at_source, rtol=1e-7)


def test_known_gaussians_with_size():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(4000, 1)), 0.6 * rng.normal(size=(3000, 1)) + 0.5
    grid = np.linspace(-1.0, 1.8, 30)
    truth = norm.pdf(grid, 0.5, 0.6) / norm.pdf(grid)
    found = np.exp(KLIEP().fit(source, target).score_samples(grid[:, None]))
    assert np.abs(found - truth).mean() < 0.12 * truth.mean()


def test_the_bandwidth_has_the_highest_held_out_score_and_centres_do_not_judge_themselves():
    source, target = sample(300, 60)
    fitted = KLIEP(bandwidths=[0.05, 0.5, 50.0], centres=60).fit(source, target)
    assert fitted.bandwidth_ == 0.5
    assert fitted.bandwidth_ == [0.05, 0.5, 50.0][int(np.argmax(fitted.scores_))]
    assert fitted.scores_[0] < 0 < fitted.scores_[1]  # a needle on each target row explains no other
    assert fitted.scores_[2] == pytest.approx(0.0, abs=0.05)  # a flat ratio explains nothing


def test_bandwidths_that_cannot_be_told_apart_are_the_widest():
    fitted = KLIEP(bandwidths=[0.5, 4.0, 1.0], centres=1).fit(*sample())  # no centre is left without its fold
    assert np.isneginf(fitted.scores_).all()
    assert fitted.bandwidth_ == 4.0


def test_one_row():
    assert KLIEP().fit([[0.0]], [[1.0], [2.0]]).weights_.tolist() == [1.0]
    assert KLIEP().fit([[0.0], [1.0]], [[0.0]]).weights_.mean() == pytest.approx(1.0)


def test_far_rows_have_no_weight():
    fitted = KLIEP().fit(*sample())
    assert fitted.predict([[1e6, 1e6]]).tolist() == [0.0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"folds": 1}, ValueError, "folds must be at least 2, got 1"),
        ({"centres": 0}, ValueError, "centres must be at least 1, got 0"),
        ({"tolerance": -1.0}, ValueError, "tolerance must be positive"),
        ({"bandwidths": 1.0}, TypeError, "bandwidths must be a sequence of numbers"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        KLIEP(**options).fit(*sample())


def test_disjoint_supports_name_the_mend():
    with pytest.raises(ValueError, match=r"must overlap at a bandwidth of 0.01.*wider bandwidths"):
        KLIEP(bandwidths=[0.01]).fit(np.zeros((5, 1)) + np.arange(5)[:, None], [[1e6], [2e6]])
    with pytest.warns(CollapsedWeightsWarning, match="use RuLSIF"):
        KLIEP(bandwidths=[0.5]).fit(np.linspace(0, 50, 200)[:, None], [[0.0], [0.1]])


def test_a_gap_that_is_left_warns():
    with pytest.warns(ConvergenceWarning, match="stopped after 1 steps at a gap of"):
        KLIEP(bandwidths=[1.0], max_iter=1, tolerance=1e-12).fit(*sample())
