"""The contract check passes what is right and catches each kind of wrong."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from dalib.testing import check_weights


class Exact(BaseEstimator):
    """Knows that the shift is from N(0, 1) to N(1, 1), whatever it is given; ``wrong`` breaks one promise."""

    def __init__(self, wrong=""):
        self.wrong = wrong

    def fit(self, source, target):
        source, target = np.asarray(source), np.asarray(target)
        unit = source.std() or 1.0
        exponent = (source[:, 0] - source.mean()) / unit * (target.mean() - source.mean()) / unit
        if self.wrong == "inverted":
            exponent = -exponent
        if self.wrong == "noise":
            exponent = exponent + 0.5 * np.random.default_rng(99).normal(size=len(source))
        if self.wrong == "random":
            exponent = exponent + np.random.default_rng().normal(size=len(source)) * 1e-3
        if self.wrong == "by position":
            exponent = exponent * np.where(np.arange(len(source)) < len(source) / 2, 1.5, 0.3)
        if self.wrong == "sharp":
            exponent = 9 * (source[:, 0] - source.mean()) / unit * 1.0
        weights = np.exp(exponent)
        weights /= weights.mean()
        if self.wrong == "sum":
            weights = weights / len(weights)
        if self.wrong == "short":
            weights = weights[:-1]
        if self.wrong == "negative":
            weights = weights - 0.5 * weights.max()
        if self.wrong == "nan":
            weights[0] = np.nan
        if self.wrong == "params":
            self.wrong = "params, touched"
        self.weights_ = weights
        return None if self.wrong == "return" else self


class WithPredict(Exact):
    def predict(self, X):
        return np.ones(len(X)) if self.wrong == "predict" else self.weights_


def test_a_right_estimator_passes():
    check_weights(Exact())
    check_weights(WithPredict(), seed=3)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Exact("inverted"), "towards the target's.*the ratio looks inverted"),
        (WithPredict("noise"), "rank correlation with the true ratio must exceed 0.95"),
        (Exact("random"), "fitting twice must give the same weights"),
        (Exact("by position"), "another order must keep their weights"),
        (Exact("sharp"), "move the source mean|without a shift the weights must stay near one"),
        (Exact("sum"), "must have mean one, got 0.00"),
        (Exact("short"), r"must have shape \(600,\), one a source row, got \(599,\)"),
        (Exact("negative"), "must not be negative"),
        (Exact("nan"), "must be finite"),
        (Exact("params"), "fit must not change the parameters"),
        (Exact("return"), "fit must return the estimator itself"),
        (WithPredict("predict"), "predict of the source rows must give weights_"),
    ],
)
def test_each_broken_promise_is_named(estimator, message):
    with pytest.raises(AssertionError, match=message):
        check_weights(estimator)
