import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from dalib.weights import DomainClassifierWeights, ImportanceWeighted, WeightedKFold, importance_weighted_scorer


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 8))
def test_every_row_once_equal_sizes_and_nearly_equal_weight(seed, rows, splits):
    rng = np.random.default_rng(seed)
    splits = min(splits, rows)
    weights = np.where(rng.uniform(size=rows) < 0.3, 0.0, rng.lognormal(sigma=2.0, size=rows))
    weights[0] = 1.0
    folds = list(WeightedKFold(weights, splits, random_state=seed).split(np.zeros(rows)))
    assert len(folds) == splits
    assert sorted(row for _, test in folds for row in test) == list(range(rows))
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(rows))
    sizes, totals = [len(test) for _, test in folds], [weights[test].sum() for _, test in folds]
    assert max(sizes) - min(sizes) <= 1
    assert max(totals) - min(totals) <= weights.max() * (1 + 1e-9)


def test_equal_weights_are_dealt_at_random_and_the_same_each_time():
    folds = WeightedKFold(np.ones(40), 4)
    first, again = ([test.tolist() for _, test in folds.split(np.zeros(40))] for _ in range(2))
    assert first == again
    assert first[0] != list(range(10))
    other = WeightedKFold(np.ones(40), 4, random_state=1)
    assert first != [test.tolist() for _, test in other.split(np.zeros(40))]


class Threshold(ClassifierMixin, BaseEstimator):
    """A classifier that learns nothing, so that only the folds matter."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (X[:, 0] > 0).astype(int)


def problem(n=120):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(n, 2)), rng.normal(1.0, 1.0, size=(n, 2))
    return source, (source.sum(axis=1) > 0).astype(int), target


def test_the_mean_over_folds_is_the_weighted_score_of_all_rows():
    X, y, target = problem(400)
    ratio = DomainClassifierWeights().fit(X, target)
    scorer = importance_weighted_scorer(accuracy_score, ratio)
    found = cross_val_score(Threshold(), X, y, cv=WeightedKFold(ratio.weights_, 4), scoring=scorer).mean()
    assert found == pytest.approx(scorer(Threshold().fit(X, y), X, y), abs=5e-3)


def test_it_serves_searches_and_predictions():
    X, y, target = problem()
    ratio = DomainClassifierWeights().fit(X, target)
    folds, scorer = WeightedKFold(ratio.weights_, 3), importance_weighted_scorer(accuracy_score, ratio)
    model = ImportanceWeighted(LogisticRegression(), weights=DomainClassifierWeights(), target=target)
    search = GridSearchCV(model, {"flattening": [0.0, 1.0]}, cv=folds, scoring=scorer, error_score="raise").fit(X, y)
    assert search.n_splits_ == 3
    assert 0.5 < search.best_score_ <= 1.0
    assert cross_val_predict(model, X, y, cv=folds).shape == y.shape
    assert "120 weights, n_splits=3" in repr(folds)


def test_a_heavy_row_does_not_leave_folds_without_weight():
    weights = np.r_[np.zeros(20), np.ones(5)]
    for _, test in WeightedKFold(weights, 5).split(np.zeros(25)):
        assert weights[test].sum() == 1.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: WeightedKFold([0.0, 0.0]), ValueError, "weights must not be all zero"),
        (lambda: WeightedKFold([1.0, -1.0]), ValueError, "weights must not be negative"),
        (lambda: WeightedKFold([1.0, np.nan]), ValueError, "weights must be finite"),
        (lambda: WeightedKFold([1.0, 1.0], 3), ValueError, "n_splits must lie between 2 and the 2 rows, got 3"),
        (lambda: WeightedKFold([1.0, 1.0], 1), ValueError, "n_splits must lie between 2"),
        (lambda: WeightedKFold([1.0, 1.0], 2.0), TypeError, "n_splits must be an integer, got float"),
        (
            lambda: list(WeightedKFold([1.0, 1.0], 2).split(np.zeros((3, 1)))),
            ValueError,
            "X must have 2 rows, one a weight, got 3",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
