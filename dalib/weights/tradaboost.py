"""TrAdaBoost: boosting on a labelled target that learns which source rows to trust."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from dalib.weights import _arrays, _boosting

Array = NDArray[np.float64]


class TrAdaBoost(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""Boosting for transfer [1]_: a few labelled target rows decide which of the source rows help.

    In each of N rounds a learner is fitted on the weighted rows of both domains. With :math:`\epsilon` the weighted
    error on the target rows alone,

    .. math::
        w_i \leftarrow w_i \cdot \beta^{[h(s_i) \ne y_i]}, \quad \beta = \frac1{1 + \sqrt{2 \ln n / N}}
        \qquad \text{and} \qquad
        w_j \leftarrow w_j \cdot \Bigl(\frac{(1-\epsilon)(K-1)}{\epsilon}\Bigr)^{[h(t_j) \ne y_j]}

    source rows that are wrong lose weight, target rows that are wrong gain weight. The learners of the second half
    vote with :math:`\log((1-\epsilon)(K-1)/\epsilon)`, K the number of classes.

    ``fit(X, y)`` takes the labelled target. Without a source this is AdaBoost (SAMME), but for who votes.

    Args:
        estimator: A classifier whose ``fit`` takes ``sample_weight``; it is cloned. Default: a decision stump.
        source: Source rows, shape ``(n, d)``. Default: none.
        source_labels: Their labels, shape ``(n,)``.
        rounds: Number of rounds N. Default 20.
        random_state: Seed, passed on to learners that have a ``random_state``. Default 0.

    Attributes:
        estimators_: The learners, one a round; fewer where a round made no error or was no better than chance.
        estimator_weights_: Their votes.
        errors_: Their weighted errors on the target.
        source_weights_: Final weights of the source rows, mean one where there are any.
        classes_: The classes.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where X is a DataFrame.

    Raises:
        TypeError: If only one of ``source`` and ``source_labels`` is given.
        ValueError: If the source does not fit the target, or ``rounds`` is below 1.

    References:
        .. [1] Dai, Yang, Xue, Yu. Boosting for Transfer Learning. ICML 2007.

    Example:
        Half of the source has its labels turned round; those rows end with less weight.

        >>> source = np.array([[-1.0], [-2.0], [1.0], [2.0]] * 2)
        >>> labels = [0, 0, 1, 1, 1, 1, 0, 0]
        >>> model = TrAdaBoost(source=source, source_labels=labels, rounds=4)
        >>> model = model.fit([[-1.5], [-0.5], [0.5], [1.5]], [0, 0, 1, 1])
        >>> bool(model.source_weights_[:4].min() > model.source_weights_[4:].max())
        True

    Note:
        Two classes give the paper's algorithm; the K - 1 is SAMME's. ADAPT divides the error by 2 minus the error;
        another implementation has the logarithm of n/N inside the root.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        source: ArrayLike | None = None,
        source_labels: ArrayLike | None = None,
        rounds: int = 20,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.estimator = estimator
        self.source = source
        self.source_labels = source_labels
        self.rounds = rounds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on the labelled target rows, shapes ``(m, d)`` and ``(m,)``."""
        target, own = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(own)
        _arrays.whole(self.rounds, "rounds", least=1)
        rows, marks = _boosting.source_rows(self.source, self.source_labels, X, target.shape[1])
        n = len(rows)
        every, labels = np.concatenate([rows, target]), _boosting.both_labels(marks, own) if n else own
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got 1 class: {self.classes_.tolist()}")
        factor, chances = _boosting.source_factor(n, self.rounds), len(self.classes_) - 1
        weights = np.full(len(every), 1.0 / len(every))
        rng = check_random_state(self.random_state)
        self.estimators_: list[Any] = []
        votes: list[float] = []
        errors: list[float] = []
        for _ in range(self.rounds):
            weights = weights / weights.sum()
            learner = _new(self.estimator, DecisionTreeClassifier(max_depth=1), rng)
            learner.fit(every, labels, sample_weight=weights)
            wrong = learner.predict(every) != labels
            error = float(weights[n:] @ wrong[n:] / weights[n:].sum())
            useless = error >= chances / (chances + 1.0)
            if useless and self.estimators_:
                break
            odds = math.inf if error <= 0 else (1.0 - error) * chances / error
            self.estimators_.append(learner)
            errors.append(error)
            votes.append(1.0 if useless else min(math.log(odds), math.log(1e10)))
            if (error <= 0 and not wrong.any()) or useless:
                break
            weights[:n] *= factor ** wrong[:n]
            weights[n:] *= min(odds, 1e10) ** wrong[n:]
        self.estimator_weights_, self.errors_ = np.array(votes), np.array(errors)
        self.source_weights_ = weights[:n] / weights[:n].mean() if n else weights[:0]
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Share of the votes for each class, shape ``(rows, classes)``; with two classes, of the second minus a half."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        first = _boosting.second_half(len(self.estimators_))
        shares = np.zeros((len(rows), len(self.classes_)))
        for learner, vote in zip(self.estimators_[first:], self.estimator_weights_[first:], strict=True):
            shares[np.arange(len(rows)), np.searchsorted(self.classes_, learner.predict(rows))] += vote
        shares /= shares.sum(axis=1, keepdims=True)
        return shares[:, 1] - 0.5 if shares.shape[1] == 2 else shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The class of each row, shape ``(rows,)``."""
        shares = self.decision_function(X)
        chosen = (shares > 0).astype(int) if shares.ndim == 1 else shares.argmax(axis=1)
        return np.asarray(self.classes_[chosen])


class TrAdaBoostR2(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Boosting for transfer, for regression [1]_.

    As :class:`TrAdaBoost`, with the error of a row :math:`e_i = |h(x_i) - y_i| / \max_k |h(x_k) - y_k|` in ``[0, 1]``
    in place of the indicator: :math:`w_i \leftarrow w_i \beta^{e_i}` for the source and
    :math:`w_j \leftarrow w_j ((1-\epsilon)/\epsilon)^{e_j}` for the target, with :math:`\epsilon` the weighted mean of
    the target's errors. The prediction is the weighted median of the learners of the second half.

    ``fit(X, y)`` takes the labelled target.

    Args:
        estimator: A regressor whose ``fit`` takes ``sample_weight``; it is cloned. Default: a tree of depth 3.
        source: Source rows, shape ``(n, d)``. Default: none.
        source_labels: Their values, shape ``(n,)``.
        rounds: Number of rounds N. Default 20.
        random_state: Seed, passed on to learners that have a ``random_state``. Default 0.

    Attributes:
        estimators_: The learners, one a round; fewer where a round made no error or one of a half.
        estimator_weights_: Their weights in the median, :math:`\log((1-\epsilon)/\epsilon)`.
        errors_: Their weighted errors on the target.
        source_weights_: Final weights of the source rows, mean one where there are any.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where X is a DataFrame.

    Raises:
        TypeError: If only one of ``source`` and ``source_labels`` is given.
        ValueError: If the source does not fit the target, or ``rounds`` is below 1.

    References:
        .. [1] Pardoe, Stone. Boosting for Regression Transfer. ICML 2010.

    Example:
        >>> X = np.linspace(0, 1, 8)[:, None]
        >>> model = TrAdaBoostR2(source=X, source_labels=X[:, 0], rounds=5).fit(X[:2], X[:2, 0])
        >>> model.predict([[1.0]])  # the target has no row there, the source has
        array([1.])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        source: ArrayLike | None = None,
        source_labels: ArrayLike | None = None,
        rounds: int = 20,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.estimator = estimator
        self.source = source
        self.source_labels = source_labels
        self.rounds = rounds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on the labelled target rows, shapes ``(m, d)`` and ``(m,)``."""
        target, own = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        _arrays.whole(self.rounds, "rounds", least=1)
        rows, marks = _boosting.source_rows(self.source, self.source_labels, X, target.shape[1])
        n = len(rows)
        every, values = np.concatenate([rows, target]), _boosting.both_values(marks, own)
        factor = _boosting.source_factor(n, self.rounds)
        weights = np.full(len(every), 1.0 / len(every))
        rng = check_random_state(self.random_state)
        self.estimators_: list[Any] = []
        votes: list[float] = []
        errors: list[float] = []
        for _ in range(self.rounds):
            weights = weights / weights.sum()
            learner = _new(self.estimator, DecisionTreeRegressor(max_depth=3), rng)
            learner.fit(every, values, sample_weight=weights)
            off = np.abs(learner.predict(every) - values)
            off = off / off.max() if off.any() else off
            error = float(weights[n:] @ off[n:] / weights[n:].sum())
            if error >= 0.5 and self.estimators_:
                break
            odds = min((1.0 - error) / max(error, 1e-10), 1e10)
            self.estimators_.append(learner)
            errors.append(error)
            votes.append(max(math.log(odds), 1e-10))
            if error >= 0.5 or not off.any():
                break
            weights[:n] *= factor ** off[:n]
            weights[n:] *= odds ** off[n:]
        self.estimator_weights_, self.errors_ = np.array(votes), np.array(errors)
        self.source_weights_ = weights[:n] / weights[:n].mean() if n else weights[:0]
        return self

    def predict(self, X: ArrayLike) -> Array:
        """The value of each row, shape ``(rows,)``."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        first = _boosting.second_half(len(self.estimators_))
        values = np.stack([learner.predict(rows) for learner in self.estimators_[first:]], axis=1)
        return _boosting.weighted_median(values, self.estimator_weights_[first:])


def _new(estimator: Any, default: Any, rng: Any) -> Any:
    learner = _boosting.weighted_learner(estimator, default)
    if "random_state" in learner.get_params():
        learner.set_params(random_state=rng.randint(2**31 - 1))
    return learner
