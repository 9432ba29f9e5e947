"""Any scikit-learn estimator, fitted on the source as it would be on the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted, has_fit_parameter

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]


def _inner_has(method: str) -> Callable[[Any], bool]:
    def check(self: Any) -> bool:
        getattr(self.estimator_ if hasattr(self, "estimator_") else self.estimator, method)
        return True

    return check


class ImportanceWeighted(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Importance-weighted empirical risk minimisation [1]_.

    .. math:: \min_f \frac1n \sum_i \bar w_i\, \ell(f(x_i), y_i), \qquad
              \bar w_i = w_i^\lambda \Big/ \frac1n \sum_j w_j^\lambda

    ``fit(X, y)`` takes the labelled source; the unlabelled target is a parameter of the constructor. So cross-validation
    slices the source and leaves the target whole, and ``clone`` and grid searches work as ever. A pipeline is the
    ``estimator``: as the last step of one it would be given transformed source rows, and a target that is not.

    The exponent trades bias for variance: 0 is plain training, 1 is fully weighted. Choose between with
    ``GridSearchCV(..., {"flattening": [0, 0.5, 1]}, scoring=importance_weighted_scorer(...))``.

    Args:
        estimator: Any estimator whose ``fit`` takes ``sample_weight``, or a pipeline that ends in one; it is cloned.
        weights: An estimator of importance weights, for example ``DomainClassifierWeights()``; it is cloned.
        target: Unlabelled rows of the target, shape ``(m, d)``. Default: none, which is plain training.
        preprocess: A transformer for the weights alone, cloned and fitted on the rows of both domains: imputation and
            standardisation belong here. Default: none.
        flattening: The exponent :math:`\lambda`, not negative. Default 1.

    Attributes:
        estimator_: The fitted estimator.
        weights_estimator_: The fitted estimator of weights, where there is a target.
        weights_: The weights used, shape ``(n,)``, mean one.
        classes_: Classes of a classifier.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where X is a DataFrame.

    Raises:
        TypeError: If the estimator takes no ``sample_weight``, or there is a target but no estimator of weights.
        ValueError: If ``flattening`` is negative, or the two domains do not fit.

    References:
        .. [1] Shimodaira. Improving Predictive Inference under Covariate Shift by Weighting the Log-Likelihood
            Function. Journal of Statistical Planning and Inference 90, 2000.

    Example:
        The mean of y = x under weights 0.5, 0.5, 1.5 and 1.5:

        >>> from sklearn.dummy import DummyRegressor
        >>> from dalib.weights import NearestNeighbourWeights
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0]
        >>> target = [[0.0], [1.0], [2.0], [2.0], [2.0], [3.0], [3.0], [3.0]]
        >>> model = ImportanceWeighted(DummyRegressor(), weights=NearestNeighbourWeights(), target=target)
        >>> model.fit(X, y).predict([[9.0]])  # (0.5 * 0 + 0.5 * 1 + 1.5 * 2 + 1.5 * 3) / 4
        array([2.])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        weights: Any = None,
        target: ArrayLike | None = None,
        preprocess: Any = None,
        flattening: float = 1.0,
    ) -> None:
        self.estimator = estimator
        self.weights = weights
        self.target = target
        self.preprocess = preprocess
        self.flattening = flattening

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on the labelled source rows, shapes ``(n, d)`` and ``(n,)``."""
        if not 0.0 <= _arrays.number(self.flattening, "flattening") < math.inf:
            raise ValueError(f"flattening must be at least 0 and finite, got {self.flattening}")
        inner = clone(self.estimator)
        if self.target is None:
            self.estimator_ = inner.fit(X, y)
            self.weights_ = np.ones(_num_samples(X))
        else:
            self.weights_ = self._weights(X)
            self.estimator_ = inner.fit(X, y, **{_weight_parameter(inner): self.weights_})
        for name in ("n_features_in_", "feature_names_in_", "classes_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def _weights(self, X: ArrayLike) -> Array:
        if not hasattr(self.weights, "fit"):
            raise TypeError(
                "weights must be an estimator of importance weights where there is a target, got "
                f"{type(self.weights).__name__}; pass for example DomainClassifierWeights()"
            )
        source, target = X, self.target
        if self.preprocess is not None:
            if not hasattr(self.preprocess, "transform"):
                raise TypeError(f"preprocess must be a transformer, got {type(self.preprocess).__name__}")
            both = clone(self.preprocess).fit(_stacked(X, self.target))
            source, target = both.transform(X), both.transform(self.target)
        self.weights_estimator_ = clone(self.weights).fit(source, target)
        raw: Any = getattr(self.weights_estimator_, "weights_", None)  # it has warned where they collapse
        shares = _importance.row_weights(raw, "weights_ of the estimator of weights", _num_samples(X))
        flat = np.asarray((shares / shares.max()) ** self.flattening)  # no power of a share overflows
        return np.asarray(flat / flat.mean())

    def predict(self, X: ArrayLike) -> Any:
        """Predictions of the fitted estimator."""
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_inner_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> Any:
        """Class probabilities of the fitted estimator."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_inner_has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ArrayLike) -> Any:
        """Logarithms of the class probabilities of the fitted estimator."""
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_inner_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: ArrayLike) -> Any:
        """Decision values of the fitted estimator."""
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_inner_has("score"))  # type: ignore[untyped-decorator]
    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The fitted estimator's own score on the rows, unweighted unless ``sample_weight`` is given."""
        check_is_fitted(self)
        options = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self.estimator_.score(X, y, **options))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(inner, name))
        return tags


def _weight_parameter(estimator: Any) -> str:
    """The name under which ``fit`` takes row weights; in a pipeline they go to the last step."""
    last, prefix = estimator, ""
    while isinstance(last, Pipeline):
        name, last = last.steps[-1]
        prefix += f"{name}__"
    if not has_fit_parameter(last, "sample_weight"):
        raise TypeError(
            f"estimator must take sample_weight in fit, got {type(last).__name__}; "
            "choose one that does, or resample the rows by their weights"
        )
    return prefix + "sample_weight"


def _stacked(X: Any, target: Any) -> Any:
    """The rows of both domains, a DataFrame or sparse where both are; raise unless the columns fit."""
    if hasattr(X, "tocsr") and hasattr(target, "tocsr"):
        from scipy.sparse import vstack

        return vstack([X, target]).tocsr()
    shapes = [np.shape(_domains.readable(rows, name)) for rows, name in ((X, "X"), (target, "target"))]
    if [len(shape) for shape in shapes] != [2, 2] or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"X and target must be matrices with the same number of features, got shapes {shapes[0]} and {shapes[1]}"
        )
    if hasattr(X, "iloc") and hasattr(target, "iloc"):
        import pandas as pd

        if list(X.columns) != list(target.columns):
            raise ValueError("X and target must have the same columns in the same order; pass target=target[X.columns]")
        return pd.concat([X, target], ignore_index=True)
    return np.concatenate([np.asarray(X), np.asarray(target)])
