"""Nearest neighbours and ratios of fitted densities."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from dalib.weights import CollapsedWeightsWarning, GaussianDensityWeights, KernelDensityWeights, NearestNeighbourWeights

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")
seeds, counts = st.integers(0, 10**6), st.integers(2, 12)


def sample(n=80, m=70, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.8 * rng.normal(size=(m, d)) + 0.5


# --- nearest neighbour


@given(seeds, st.integers(1, 12), st.integers(1, 12), st.floats(0, 2))
@settings(max_examples=40, deadline=None)
def test_counts_are_the_definition(seed, n, m, smoothing):
    source, target = sample(n, m, seed=seed)
    counts = np.zeros(n)
    for row in target:
        counts[np.argmin([sum((row - one) ** 2) for one in source])] += 1
    fitted = NearestNeighbourWeights(smoothing=smoothing).fit(source, target)
    np.testing.assert_array_equal(fitted.counts_, counts)
    expected = (counts + smoothing) / (counts + smoothing).mean()
    np.testing.assert_allclose(fitted.weights_, expected, atol=1e-300)  # a smoothing of 5e-324 is lost


def test_equal_domains_and_equal_rows():
    source, _ = sample()
    np.testing.assert_array_equal(NearestNeighbourWeights().fit(source, source).weights_, np.ones(80))
    shared = NearestNeighbourWeights().fit([[0.0], [0.0], [5.0]], [[0.1], [0.2], [4.0]])
    assert shared.counts_.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("n", "d"), [(2, 1), (50, 20)])
def test_nearest_neighbours_far_from_zero_and_beside_a_far_row(n, d):
    source, target = sample(n, 60, d=d)
    near = NearestNeighbourWeights().fit(source, target).counts_
    np.testing.assert_array_equal(NearestNeighbourWeights().fit(source + 2.0**30, target + 2.0**30).counts_, near)
    far = np.r_[source, np.full((1, d), -1e9)]
    np.testing.assert_array_equal(NearestNeighbourWeights().fit(far, target).counts_, np.r_[near, 0.0])


def test_bad_smoothing():
    with pytest.raises(ValueError, match="smoothing must be at least 0 and finite, got -1"):
        NearestNeighbourWeights(smoothing=-1).fit(*sample())


# --- normal densities


@given(seeds, counts, counts, st.booleans())
@settings(max_examples=30, deadline=None)
def test_gaussian_ratio_is_that_of_scipy(seed, n, m, shared):
    source, target = sample(n + 3, m + 3, seed=seed)
    C_s, C_t = (np.cov(rows.T, bias=True) for rows in (source, target))
    within = (len(source) * C_s + len(target) * C_t) / (len(source) + len(target))
    ridge = 1e-3 * np.diag(np.diag(within))
    C_s, C_t = (within, within) if shared else (C_s, C_t)
    truth = multivariate_normal(target.mean(axis=0), C_t + ridge).logpdf(source)
    truth = truth - multivariate_normal(source.mean(axis=0), C_s + ridge).logpdf(source)
    fitted = GaussianDensityWeights(ridge=1e-3, shared_covariance=shared).fit(source, target)
    np.testing.assert_allclose(fitted.score_samples(source), truth, atol=1e-8)
    np.testing.assert_allclose(fitted.weights_, np.exp(truth) / np.exp(truth).mean(), rtol=1e-7)
    assert fitted.scale_ == pytest.approx(np.exp(truth).mean())


@pytest.mark.parametrize("shared", [False, True])
def test_gaussian_ratio_does_not_depend_on_the_scales_of_the_features(shared):
    source, target = sample()
    wanted = GaussianDensityWeights(shared_covariance=shared).fit(source, target).score_samples(source)
    scales = np.array([1e-6, 1e6])  # shares beside sums of money
    fitted = GaussianDensityWeights(shared_covariance=shared).fit(source * scales, target * scales)
    np.testing.assert_allclose(fitted.score_samples(source * scales), wanted, rtol=1e-6)


def test_gaussian_recovers_a_known_ratio():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(20000, 2)), rng.normal(size=(20000, 2)) * [0.7, 1.0] + [0.5, -0.2]
    x = rng.normal(size=(50, 2))
    truth = multivariate_normal([0.5, -0.2], np.diag([0.49, 1.0])).logpdf(x) - multivariate_normal([0, 0]).logpdf(x)
    np.testing.assert_allclose(GaussianDensityWeights().fit(source, target).score_samples(x), truth, atol=0.15)


def test_gaussian_far_shift_does_not_underflow():
    source, target = sample()
    with pytest.warns(CollapsedWeightsWarning, match="raise ridge, set shared_covariance=True"):
        fitted = GaussianDensityWeights().fit(source, target + 200)
    assert fitted.weights_.mean() == pytest.approx(1.0)
    assert np.isfinite(fitted.predict(source)).all()


def test_bad_ridge():
    with pytest.raises(ValueError, match="ridge must be positive and finite, got 0"):
        GaussianDensityWeights(ridge=0).fit(*sample())


# --- kernel densities


@given(seeds, counts, counts, st.floats(0.2, 2.0))
@settings(max_examples=30, deadline=None)
def test_kernel_density_ratio_is_the_definition(seed, n, m, bandwidth):
    source, target = sample(n, m, seed=seed)

    def density(x, rows):
        widths = bandwidth * rows.std(axis=0)
        return np.mean(
            [np.prod(np.exp(-((x - r) ** 2) / (2 * widths**2)) / (np.sqrt(2 * np.pi) * widths)) for r in rows]
        )

    truth = np.array([density(x, target) / density(x, source) for x in source])
    assume(truth.mean() > 1e-200)  # else the loops underflow; the logarithms do not
    fitted = KernelDensityWeights(bandwidth=bandwidth).fit(source, target)
    np.testing.assert_allclose(fitted.weights_, truth / truth.mean(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("value", [3.0, 0.1, 123.456])  # the mean of ten equal 123.456 is another number
def test_a_feature_that_is_constant_in_one_domain_takes_the_deviation_of_both(value):
    source, target = sample(10, 12)
    source[:, 1] = value
    target[:, 1] += value
    fitted = KernelDensityWeights(bandwidth=1.0).fit(source, target)
    widths = source.std(axis=0)[0], np.r_[source, target].std(axis=0)[1]
    x = target[0]
    of_source = np.mean([np.prod(norm.pdf(x, row, widths)) for row in source])
    of_target = np.mean([np.prod(norm.pdf(x, row, target.std(axis=0))) for row in target])
    np.testing.assert_allclose(fitted.score_samples(x[None]), np.log(of_target / of_source), rtol=1e-6)


def test_scotts_rule_is_the_default():
    source, target = sample(100, 100, d=3)
    expected = KernelDensityWeights(bandwidth=100 ** (-1 / 7)).fit(source, target).weights_
    np.testing.assert_allclose(KernelDensityWeights().fit(source, target).weights_, expected)


def test_bad_bandwidth():
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        KernelDensityWeights(bandwidth=-1.0).fit(*sample())
