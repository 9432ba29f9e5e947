import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dalib.weights import (
    DomainClassifierWeights,
    GaussianDensityWeights,
    ImportanceWeighted,
    KernelMeanMatching,
    NearestNeighbourWeights,
    importance_weighted_scorer,
)

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")


def toy(n=300, m=300, seed=0):
    """Shimodaira's kind of problem: a straight line for a curve, and a target that sees another part of it."""
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(1.0, 0.5, size=(n, 1)), rng.normal(2.0, 0.25, size=(m, 1))
    return X, np.sinc(X[:, 0]) + 0.02 * rng.normal(size=n), Z, np.sinc(Z[:, 0])


class Fixed(BaseEstimator):
    """Weights that are given."""

    def __init__(self, values):
        self.values = values

    def fit(self, source, target):
        self.weights_ = np.asarray(self.values, dtype=float)
        return self


def test_weighted_least_squares_in_closed_form():
    X, y, Z, _ = toy(n=50)
    weights = np.random.default_rng(1).uniform(0, 4, size=50)
    for power in (0.0, 0.5, 1.0, 2.0):
        model = ImportanceWeighted(LinearRegression(), weights=Fixed(weights), target=Z, flattening=power).fit(X, y)
        w = weights**power
        A = np.column_stack([np.ones(50), X])
        expected = np.linalg.solve(A.T @ (w[:, None] * A), A.T @ (w * y))
        np.testing.assert_allclose([model.estimator_.intercept_, model.estimator_.coef_[0]], expected, rtol=1e-9)
        np.testing.assert_allclose(model.weights_, w / w.mean())


def test_a_zero_weight_at_exponent_zero_counts_again():
    X, y, Z, _ = toy(n=4)
    model = ImportanceWeighted(LinearRegression(), weights=Fixed([0, 0, 1, 3]), target=Z, flattening=0.0).fit(X, y)
    np.testing.assert_array_equal(model.weights_, 1.0)


def test_weighting_helps_where_the_model_is_wrong():
    X, y, Z, z = toy()
    plain = LinearRegression().fit(X, y)
    weighted = ImportanceWeighted(LinearRegression(), weights=GaussianDensityWeights(), target=Z).fit(X, y)
    assert mean_squared_error(z, weighted.predict(Z)) < 0.3 * mean_squared_error(z, plain.predict(Z))


def test_without_a_target_it_is_the_estimator_itself():
    X, y, _, _ = toy()
    model = ImportanceWeighted(LinearRegression()).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), LinearRegression().fit(X, y).predict(X))
    np.testing.assert_array_equal(model.weights_, 1.0)


def test_cross_validation_leaves_a_target_of_as_many_rows_as_x_whole():
    X, y, Z, _ = toy(n=60, m=60)
    seen = []

    class Spy(Fixed):
        def fit(self, source, target):
            seen.append((len(source), len(target)))
            self.weights_ = np.ones(len(source))
            return self

    cross_val_score(ImportanceWeighted(LinearRegression(), weights=Spy(None), target=Z), X, y, cv=3)
    assert seen == [(40, 60)] * 3


def test_grid_search_pipelines_clones_and_pickles():
    X, y, Z, _ = toy()
    labels = np.where(y > np.median(y), "high", "low")
    inner = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()))
    model = ImportanceWeighted(inner, weights=DomainClassifierWeights(), target=Z)
    search = GridSearchCV(
        model, {"flattening": [0.0, 0.5, 1.0], "estimator__pipeline__logisticregression__C": [0.1, 1.0]}, cv=3
    ).fit(X, labels)
    best = search.best_estimator_
    assert is_classifier(best)
    assert best.classes_.tolist() == ["high", "low"]
    assert best.predict_proba(Z).shape == (300, 2)
    np.testing.assert_allclose(np.exp(best.predict_log_proba(Z)), best.predict_proba(Z))
    assert best.decision_function(Z).shape == (300,)
    assert 0.5 < best.score(X, labels) == accuracy_score(labels, best.predict(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(Z), best.predict(Z))
    direct = clone(inner)
    direct.fit(X, labels, pipeline__logisticregression__sample_weight=DomainClassifierWeights().fit(X, Z).weights_)
    mine = clone(model).fit(X, labels)
    np.testing.assert_allclose(mine.predict_proba(Z), direct.predict_proba(Z), rtol=1e-6)
    assert cross_val_predict(model, X, labels, cv=3).shape == (300,)
    assert not hasattr(ImportanceWeighted(LinearRegression()), "predict_proba")


def test_preprocessing_is_for_the_weights_and_takes_missing_values_and_frames():
    X, y, Z, _ = toy(n=80, m=70)
    frame, other = pd.DataFrame({"a": X[:, 0], "b": 1e6}), pd.DataFrame({"a": Z[:, 0], "b": 1e6})
    frame.iloc[0, 1] = other.iloc[3, 1] = np.nan
    inner = make_pipeline(SimpleImputer(), LinearRegression())
    model = ImportanceWeighted(
        inner,
        weights=KernelMeanMatching(),
        target=other,
        preprocess=make_pipeline(SimpleImputer(), StandardScaler()),
    ).fit(frame, y)
    both = StandardScaler().fit(np.vstack([X, Z]))
    expected = KernelMeanMatching().fit(both.transform(X), both.transform(Z)).weights_
    assert np.corrcoef(model.weights_, expected)[0, 1] > 0.999
    assert list(model.feature_names_in_) == ["a", "b"]
    arrays = clone(model).set_params(target=other.to_numpy()).fit(frame.to_numpy(), y)
    np.testing.assert_allclose(arrays.weights_, model.weights_, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            lambda Z: ImportanceWeighted(LinearRegression(), target=Z),
            TypeError,
            "weights must be an estimator .* NoneType",
        ),
        (
            lambda Z: ImportanceWeighted(KNeighborsClassifier(), weights=NearestNeighbourWeights(), target=Z),
            TypeError,
            "must take sample_weight in fit, got KNeighborsClassifier; .* resample",
        ),
        (lambda Z: ImportanceWeighted(LinearRegression(), flattening=-1), ValueError, "flattening must be at least 0"),
        (
            lambda Z: ImportanceWeighted(LinearRegression(), weights=NearestNeighbourWeights(), target=np.ones((3, 2))),
            ValueError,
            "same number of features, got 1 and 2",
        ),
    ],
)
def test_errors(model, error, message):
    X, y, Z, _ = toy(n=20)
    with pytest.raises(error, match=message):
        model(Z).fit(X, y)


# --- cross-validation


def test_the_scorer_is_the_weighted_mean_by_loops():
    X, y, Z, _ = toy(n=40)
    ratio = GaussianDensityWeights().fit(X, Z)
    model = LinearRegression().fit(X, y)
    score = importance_weighted_scorer(mean_squared_error, ratio, greater_is_better=False)
    w, off = ratio.predict(X[:10]), (model.predict(X[:10]) - y[:10]) ** 2
    assert score(model, X[:10], y[:10]) == pytest.approx(-sum(a * b for a, b in zip(w, off, strict=True)) / sum(w))
    labels = np.array(["a", "b"])[(y > 0).astype(int)]
    classifier = LogisticRegression().fit(X, labels)
    by_probability = importance_weighted_scorer(log_loss, ratio, probabilities=True, greater_is_better=False)
    assert by_probability(classifier, X, labels) == pytest.approx(
        -log_loss(labels, classifier.predict_proba(X), sample_weight=ratio.predict(X))
    )
    assert pickle.loads(pickle.dumps(score))(model, X, y) == score(model, X, y)


def test_it_estimates_the_error_on_the_target_and_picks_the_exponent():
    X, y, Z, z = toy(n=2000, m=2000)
    ratio = GaussianDensityWeights().fit(X, Z)
    plain = LinearRegression()
    weighted_cv = -cross_val_score(
        plain, X, y, cv=5, scoring=importance_weighted_scorer(mean_squared_error, ratio, greater_is_better=False)
    ).mean()
    plain_cv = -cross_val_score(plain, X, y, cv=5, scoring="neg_mean_squared_error").mean()
    truth = mean_squared_error(z, plain.fit(X, y).predict(Z))
    assert abs(weighted_cv - truth) < 0.3 * abs(plain_cv - truth)
    search = GridSearchCV(
        ImportanceWeighted(plain, weights=GaussianDensityWeights(), target=Z),
        {"flattening": [0.0, 0.5, 1.0]},
        scoring=importance_weighted_scorer(mean_squared_error, ratio, greater_is_better=False),
        cv=5,
    ).fit(X, y)
    assert search.best_params_["flattening"] > 0


def test_the_scorer_prepares_rows_for_the_ratio_alone():
    X, y, Z, _ = toy(n=40)
    gaps = X.copy()
    gaps[3] = np.nan
    both = make_pipeline(SimpleImputer(), StandardScaler()).fit(np.vstack([gaps, Z]))
    ratio = GaussianDensityWeights().fit(both.transform(gaps), both.transform(Z))
    model = make_pipeline(SimpleImputer(), LinearRegression()).fit(gaps, y)
    found = importance_weighted_scorer(mean_squared_error, ratio, preprocess=both)(model, gaps, y)
    weights = ratio.predict(both.transform(gaps))
    assert found == pytest.approx(mean_squared_error(y, model.predict(gaps), sample_weight=weights))
    with pytest.raises(TypeError, match="preprocess must be a fitted transformer, got str"):
        importance_weighted_scorer(mean_squared_error, ratio, preprocess="impute")


def test_a_ratio_without_predict_is_refused():
    X, _, Z, _ = toy(n=20)
    with pytest.raises(TypeError, match=r"ratio must have predict, .* got KernelMeanMatching; use Domain"):
        importance_weighted_scorer(accuracy_score, KernelMeanMatching().fit(X, Z))


def test_rows_without_weight_are_an_error():
    class Nothing:
        def predict(self, X):
            return np.zeros(len(X))

    with pytest.raises(ValueError, match="the weights of the held-out rows must not be all zero"):
        importance_weighted_scorer(accuracy_score, Nothing())(DummyClassifier().fit([[0]], [1]), [[0]], [1])
