"""Every estimator keeps the public contract; every estimator refuses bad domains in the same words."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone

from dalib.testing import check_weights
from dalib.weights import (
    KLIEP,
    ULSIF,
    DomainClassifierWeights,
    GaussianDensityWeights,
    KernelDensityWeights,
    KernelMeanMatching,
    NearestNeighbourWeights,
    RuLSIF,
)

ESTIMATORS = [
    DomainClassifierWeights(),
    DomainClassifierWeights(cv=5),
    GaussianDensityWeights(),
    GaussianDensityWeights(shared_covariance=True),
    KernelDensityWeights(),
    KernelMeanMatching(),
    KLIEP(),
    NearestNeighbourWeights(),
    RuLSIF(),
    ULSIF(),
]
every = pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")


@every
def test_contract(estimator):
    check_weights(estimator)


@every
@pytest.mark.parametrize(("size", "seed"), [(0.7, 0), (1.0, 1)])
def test_direction_in_two_dimensions_against_the_true_ratio(estimator, size, seed):
    rng = np.random.default_rng(seed)
    shift = size * np.array([0.8, -0.6])
    source, target = rng.normal(size=(1500, 2)), rng.normal(size=(1200, 2)) + shift
    weights = clone(estimator).fit(source, target).weights_
    before = np.linalg.norm(source.mean(axis=0) - target.mean(axis=0))
    after = np.linalg.norm(np.average(source, axis=0, weights=weights) - target.mean(axis=0))
    assert after < 0.5 * before
    if hasattr(estimator, "predict"):
        assert spearmanr(weights, source @ shift).statistic > 0.8


@every
def test_frames_pickles_and_new_rows(estimator):
    rng = np.random.default_rng(0)
    source, target = (pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"]) for _ in range(2))
    fitted = clone(estimator).fit(source, target)
    assert fitted.n_features_in_ == 2
    assert list(fitted.feature_names_in_) == ["a", "b"]
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.weights_, fitted.weights_)
    if hasattr(estimator, "predict"):
        np.testing.assert_array_equal(loaded.predict(target), fitted.predict(target))
        np.testing.assert_allclose(
            fitted.predict(target),
            np.exp(fitted.score_samples(target))
            * np.median(fitted.predict(target) / np.exp(fitted.score_samples(target))),
            rtol=1e-9,
        )  # the same up to scale
        with pytest.raises(ValueError, match="X has 1 features"):
            fitted.predict(target[["a"]].to_numpy())


@every
@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        (np.ones((9, 2)), np.ones((9, 4)), ValueError, "source and target must have the same number of features"),
        (np.ones(9), np.ones((9, 4)), ValueError, r"source must have shape \(rows, features\), got \(9,\)"),
        (np.ones((9, 2)), np.full((9, 2), np.nan), ValueError, "target must be finite, got NaN .* 18 entries"),
        (np.ones((9, 2)), np.ones((0, 2)), ValueError, "must have at least one row and one feature"),
        (torch.ones(9, 2, device="meta"), np.ones((9, 2)), TypeError, r"pass source.detach\(\).cpu\(\).numpy\(\)"),
    ],
)
def test_bad_domains(estimator, source, target, error, message):
    with pytest.raises(error, match=message):
        clone(estimator).fit(source, target)


@every
def test_constant_columns_and_more_features_than_rows(estimator):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 0.2
    constant = [np.column_stack([rows, np.full(len(rows), 3.0)]) for rows in (source, target)]
    without, with_it = (clone(estimator).fit(*pair).weights_ for pair in ((source, target), constant))
    if not isinstance(estimator, KernelDensityWeights):  # Scott's rule counts the column
        np.testing.assert_allclose(with_it, without, rtol=0.05, atol=0.02)
    wide = clone(estimator).fit(rng.normal(size=(12, 40)), rng.normal(size=(10, 40))).weights_
    assert wide.shape == (12,)
    assert np.isfinite(wide).all()
