import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from dalib.weights import CollapsedWeightsWarning, DomainClassifierWeights, effective_sample_size


def gaussians(n=4000, m=3000, d=3, seed=0):
    """N(0, I) and N(1/sqrt(d), I): the log ratio is ``x @ mean - 1/2``."""
    rng = np.random.default_rng(seed)
    mean = np.full(d, 1.0 / np.sqrt(d))
    source = rng.normal(size=(n, d))
    return source, rng.normal(size=(m, d)) + mean, source @ mean - 0.5


def test_a_stump_by_hand():
    # left: 3 of 4 source rows, 1 of 2 target rows: (1/3)(4/2) = 2/3; right: (1/1)(4/2) = 2
    stump = DomainClassifierWeights(DecisionTreeClassifier(max_depth=1))
    stump.fit([[0.0], [0.0], [0.0], [1.0]], [[0.0], [1.0]])
    np.testing.assert_allclose(stump.weights_, [2 / 3, 2 / 3, 2 / 3, 2.0])
    assert stump.scale_ == pytest.approx(1.0)
    np.testing.assert_allclose(stump.predict([[1.0], [0.0]]), [2.0, 2 / 3])
    np.testing.assert_allclose(stump.score_samples([[1.0]]), [math.log(2.0)])


def test_known_gaussians_with_direction_and_size():
    source, target, log_ratio = gaussians()
    weights = DomainClassifierWeights().fit(source, target)
    assert spearmanr(weights.weights_, log_ratio).statistic > 0.99
    assert np.abs(weights.score_samples(source) - log_ratio).mean() < 0.1  # the size too: n is not m
    assert weights.scale_ == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(np.average(source, axis=0, weights=weights.weights_), target.mean(axis=0), atol=0.06)


def test_unpenalised_logistic_regression_has_the_coefficients_of_the_covariance():
    source, target, _ = gaussians(n=20000, m=20000)
    weights = DomainClassifierWeights(LogisticRegression(C=1e6)).fit(source, target)
    np.testing.assert_allclose(weights.classifier_.coef_[0], np.full(3, 1 / np.sqrt(3)), atol=0.05)


def test_no_shift_gives_weights_near_one():
    rng = np.random.default_rng(0)
    weights = DomainClassifierWeights().fit(rng.normal(size=(3000, 2)), rng.normal(size=(1000, 2))).weights_
    assert np.abs(weights - 1).max() < 0.25


def test_a_larger_target_changes_nothing_but_the_noise():
    source, target, _ = gaussians(n=500, m=400)
    free = DomainClassifierWeights(LogisticRegression(C=1e9, tol=1e-12))
    once = free.fit(source, target)
    first, ratio = once.weights_, once.score_samples(source)
    twice = clone(free).fit(np.vstack([source] * 2), np.vstack([target] * 2))
    np.testing.assert_allclose(twice.weights_[:500], first, rtol=1e-3)
    np.testing.assert_allclose(twice.score_samples(source), ratio, atol=1e-3)


def test_cross_fitting_weighs_each_row_by_a_classifier_that_has_not_seen_it():
    source, target, log_ratio = gaussians(n=300, m=200)
    knn = KNeighborsClassifier(1)  # on its own training rows it is sure: every weight is the clip's
    seen = DomainClassifierWeights(knn).fit(source, target)
    assert np.ptp(seen.weights_) == 0
    folds = KFold(5, shuffle=True, random_state=3)
    crossed = DomainClassifierWeights(RandomForestClassifier(50, random_state=0), cv=folds).fit(source, target)
    rows, domain = np.vstack([source, target]), np.repeat([0, 1], [300, 200])
    by_hand = np.empty(300)
    for train, test in folds.split(rows, domain):
        forest = RandomForestClassifier(50, random_state=0).fit(rows[train], domain[train])
        mine = test[test < 300]
        p = np.clip(forest.predict_proba(source[mine])[:, 1], 1e-6, 1 - 1e-6)
        by_hand[mine] = p / (1 - p)
    np.testing.assert_allclose(crossed.weights_, by_hand / by_hand.mean())
    assert spearmanr(crossed.weights_, log_ratio).statistic > 0.6


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (KFold(2), "rows of both domains to train on in every fold, got one domain alone; .*shuffle=True"),
        (ShuffleSplit(1, test_size=0.2, random_state=0), "hold out every source row once, got .* of 40 rows never"),
        (
            RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
            "got 0 of 40 rows never and 40 more often; pass KFold",
        ),
    ],
)
def test_cross_fitting_refuses_folds_that_are_no_partition_into_both_domains(folds, message):
    source, target, _ = gaussians(n=40, m=40)
    with pytest.raises(ValueError, match="cv must .*" + message):
        DomainClassifierWeights(DecisionTreeClassifier(), cv=folds).fit(source, target)


def test_numbered_folds_are_seeded():
    source, target, _ = gaussians(n=200, m=150)
    make = DomainClassifierWeights(cv=4, random_state=1)
    first = clone(make).fit(source, target).weights_
    np.testing.assert_array_equal(clone(make).fit(source, target).weights_, first)
    assert np.abs(clone(make).set_params(random_state=2).fit(source, target).weights_ - first).max() > 0


def test_calibration_mends_an_overconfident_classifier():
    source, target, log_ratio = gaussians(n=1000, m=1000)
    forest = RandomForestClassifier(60, min_samples_leaf=5, random_state=0)
    plain = DomainClassifierWeights(forest).fit(source, target).score_samples(source)
    mended = DomainClassifierWeights(forest, calibration="sigmoid").fit(source, target).score_samples(source)
    assert np.abs(mended - log_ratio).mean() < 0.8 * np.abs(plain - log_ratio).mean()


def test_clip_bounds_the_ratio():
    weights = DomainClassifierWeights(clip=0.1).fit(np.arange(20.0)[:, None], np.arange(20.0)[:, None] + 10)
    ratios = np.exp(weights.score_samples([[-1e3], [1e3]]))
    np.testing.assert_allclose(ratios, [1 / 9, 9])


def test_a_clip_below_the_digits_of_one_bounds_the_ratio_too():
    sure = DomainClassifierWeights(DecisionTreeClassifier(), clip=1e-20).fit([[0.0], [1.0]], [[1.0], [2.0]])
    np.testing.assert_allclose(sure.score_samples([[0.0], [2.0]]), [np.log(1e-20), -np.log(1e-20)])


class InFloat32(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X).astype(np.float32)


def test_weights_of_a_classifier_in_float32_are_float64():
    source, target, _ = gaussians(n=50, m=40)
    fitted = DomainClassifierWeights(InFloat32()).fit(source, target)
    assert fitted.weights_.dtype == fitted.predict(source).dtype == np.float64
    plain = DomainClassifierWeights(LogisticRegression()).fit(source, target)
    np.testing.assert_allclose(fitted.weights_, plain.weights_, rtol=1e-5)


def test_scikit_learn_manners():
    source, target, _ = gaussians(n=60, m=50)
    columns = ["age", "size", "dose"]
    frame = pd.DataFrame(source, columns=columns)
    fitted = DomainClassifierWeights().fit(frame, pd.DataFrame(target, columns=columns))
    assert list(fitted.feature_names_in_) == columns
    assert fitted.n_features_in_ == 3
    np.testing.assert_allclose(fitted.predict(frame), fitted.weights_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(frame), fitted.predict(frame))
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(clone(fitted).fit(source[order], target).weights_, fitted.weights_[order], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classifier": LinearSVC()}, TypeError, "classifier must have predict_proba, got LinearSVC; wrap it"),
        ({"clip": 0.5}, ValueError, "clip must lie between 0 and 0.5, got 0.5"),
        ({"clip": 0}, ValueError, "clip must lie between 0 and 0.5, got 0"),
        ({"calibration": "beta"}, ValueError, "calibration must be None, 'sigmoid' or 'isotonic', got 'beta'"),
    ],
)
def test_bad_options(options, error, message):
    source, target, _ = gaussians(n=20, m=20)
    with pytest.raises(error, match=message):
        DomainClassifierWeights(**options).fit(source, target)


def test_bad_domains():
    with pytest.raises(ValueError, match="same number of features, got 2 and 3"):
        DomainClassifierWeights().fit(np.ones((4, 2)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="target must be finite"):
        DomainClassifierWeights().fit(np.ones((4, 1)), [[np.nan]])


def test_disjoint_supports_warn_with_the_remedy():
    rng = np.random.default_rng(0)
    source = np.concatenate([rng.normal(size=(200, 1)), [[30.0]]])
    with pytest.warns(CollapsedWeightsWarning, match="effective sample size is .* of 201; regularise the classifier"):
        DomainClassifierWeights(LogisticRegression(C=1e6)).fit(source, rng.normal(size=(200, 1)) + 30)


def test_effective_sample_size():
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7.0)
    assert effective_sample_size([0.0, 1e-300]) == 1.0
    assert effective_sample_size([1e300, 1e300]) == 2.0
    for weights, message in [
        ([], "shape"),
        ([[1.0]], "shape"),
        ([0.0], "all zero"),
        ([-1.0], "negative"),
        ([np.nan], "finite"),
    ]:
        with pytest.raises(ValueError, match=f"weights must .*{message}"):
            effective_sample_size(weights)
