"""What scikit-learn's own estimator checks need to run on estimators of two domains."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted, validate_data


class OneDomain(BaseEstimator):
    """Fits a weight estimator on ``X`` as the source and a shifted, thinned copy of ``X`` as the target."""

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any = None) -> OneDomain:
        X = validate_data(self, X, dtype=np.float64)
        target = X[: max(1, (2 * len(X)) // 3)] * 0.9 + 0.1
        self.estimator_ = clone(self.estimator).fit(X, target)
        self.weights_ = self.estimator_.weights_
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")


class OneDomainPredictor(OneDomain):
    """The same for estimators that weigh new rows."""

    def predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return self.estimator_.predict(X)

    def score_samples(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return self.estimator_.score_samples(X)
