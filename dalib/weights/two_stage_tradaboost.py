"""Two-stage TrAdaBoost.R2: first how much of the source, then the regression."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from dalib.weights import _arrays, _boosting

Array = NDArray[np.float64]


class TwoStageTrAdaBoostR2(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Boosting for regression transfer in two stages [1]_.

    The first stage takes weight from the source rows, :math:`w_i \leftarrow w_i \beta_t^{e_i}`, with :math:`\beta_t`
    such that the target's share of the weight grows in equal parts from :math:`m/(n+m)` to one over the stages. At
    each of them the second stage runs AdaBoost.R2 on the target's weights while the source's stay as they are. The
    stage with the smallest cross-validated error on the target is kept.

    ``fit(X, y)`` takes the labelled target.

    Args:
        estimator: A regressor whose ``fit`` takes ``sample_weight``; it is cloned. Default: a tree of depth 3.
        source: Source rows, shape ``(n, d)``. Default: none.
        source_labels: Their values, shape ``(n,)``.
        stages: Steps of the first stage. Default 10.
        rounds: Rounds of AdaBoost.R2 at each. Default 10.
        folds: Folds of the target; fewer where it has fewer rows. Default 5.
        random_state: Seed of folds and learners. Default 0.

    Attributes:
        stage_: The stage that was kept, counted from 0.
        errors_: Cross-validated mean squared error of each stage; NaN where there was nothing to choose.
        estimators_: The learners of that stage.
        estimator_weights_: Their weights in the median.
        source_weights_: Weights of the source rows in that stage, as shares of the whole weight.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where X is a DataFrame.

    Raises:
        TypeError: If only one of ``source`` and ``source_labels`` is given.
        ValueError: If the source does not fit the target, or a number is below its least value.

    References:
        .. [1] Pardoe, Stone. Boosting for Regression Transfer. ICML 2010.

    Example:
        The source is the target turned upside down, so the last stage wins, where it has no weight.

        >>> X = np.linspace(0, 1, 20)[:, None]
        >>> model = TwoStageTrAdaBoostR2(source=X, source_labels=-X[:, 0], stages=4).fit(X, X[:, 0])
        >>> model.stage_, round(float(model.source_weights_.sum()), 6)
        (3, 0.0)
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        source: ArrayLike | None = None,
        source_labels: ArrayLike | None = None,
        stages: int = 10,
        rounds: int = 10,
        folds: int = 5,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.estimator = estimator
        self.source = source
        self.source_labels = source_labels
        self.stages = stages
        self.rounds = rounds
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on the labelled target rows, shapes ``(m, d)`` and ``(m,)``."""
        target, own = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        for name, least in (("stages", 1), ("rounds", 1), ("folds", 2)):
            _arrays.whole(getattr(self, name), name, least=least)
        rows, marks = _boosting.source_rows(self.source, self.source_labels, X, target.shape[1])
        n, m = len(rows), len(target)
        stages = self.stages if n else 1
        rng = check_random_state(self.random_state)
        seed = rng.randint(2**31 - 1)
        every, values = np.concatenate([rows, target]), _boosting.both_values(marks, own)
        weights = np.full(n + m, 1.0 / (n + m))
        self.errors_, kept = np.full(stages, np.nan), []
        for stage in range(stages):
            if stages > 1 and m > 1:
                self.errors_[stage] = self._held_out_error(every, values, weights, n, seed)
            kept.append(weights)
            if stage + 1 < stages:
                off = _off(self._learner(seed).fit(every, values, sample_weight=weights), every, values)
                share = m / (n + m) + (stage + 1) / (stages - 1) * (1.0 - m / (n + m))
                weights = _with_target_share(weights, off, n, share)
        self.stage_ = stages - 1 if np.isnan(self.errors_).all() else int(np.nanargmin(self.errors_))
        chosen = kept[self.stage_]
        self.source_weights_ = chosen[:n]
        self.estimators_, self.estimator_weights_ = self._boost(every, values, chosen, n, seed)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """The value of each row, shape ``(rows,)``."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return _median(self.estimators_, self.estimator_weights_, rows)

    def _learner(self, seed: int) -> Any:
        learner = _boosting.weighted_learner(self.estimator, DecisionTreeRegressor(max_depth=3))
        if "random_state" in learner.get_params():
            learner.set_params(random_state=seed)
        return learner

    def _boost(self, every: Array, values: Array, weights: Array, n: int, seed: int) -> tuple[list[Any], Array]:
        """AdaBoost.R2 on the rows from ``n`` on; the share of the rows before them does not change."""
        learners: list[Any] = []
        votes: list[float] = []
        weights, share = weights.copy(), weights[n:].sum()
        for _ in range(self.rounds):
            learner = self._learner(seed).fit(every, values, sample_weight=weights)
            off = _off(learner, every, values)
            error = float(weights[n:] @ off[n:] / share)
            if error >= 0.5 and learners:
                break
            beta = max(error, 1e-10) / max(1.0 - error, 1e-10)
            learners.append(learner)
            votes.append(max(-np.log(beta), 1e-10))
            if error >= 0.5 or error <= 0:
                break
            weights[n:] *= beta ** (1.0 - off[n:])
            weights[n:] *= share / weights[n:].sum()
        return learners, np.array(votes)

    def _held_out_error(self, every: Array, values: Array, weights: Array, n: int, seed: int) -> float:
        own = np.arange(n, len(every))
        total = 0.0
        for train, test in KFold(min(self.folds, len(own)), shuffle=True, random_state=seed).split(own):
            kept = np.r_[np.arange(n), own[train]]
            part = weights[kept].copy()
            part[n:] *= weights[n:].sum() / part[n:].sum()  # the target keeps its share
            learners, votes = self._boost(every[kept], values[kept], part, n, seed)
            total += float(((_median(learners, votes, every[own[test]]) - values[own[test]]) ** 2).sum())
        return total / len(own)


def _off(learner: Any, every: Array, values: Array) -> Array:
    """Errors of all rows as a share of the largest."""
    off = np.abs(learner.predict(every) - values)
    return np.asarray(off / off.max() if off.any() else off)


def _median(learners: list[Any], votes: Array, rows: Array) -> Array:
    return _boosting.weighted_median(np.stack([learner.predict(rows) for learner in learners], axis=1), votes)


def _with_target_share(weights: Array, off: Array, n: int, share: float) -> Array:
    """Weights of sum one, the source's multiplied by ``beta ** off``, such that the target has ``share`` of them."""
    source, target = weights[:n], weights[n:]
    wanted = target.sum() * (1.0 - share) / share  # of the source, before everything is rescaled

    def remaining(exponent: float) -> float:
        return float((source * np.exp(-exponent * off[:n])).sum())

    low, high = 0.0, 1.0
    while remaining(high) > wanted and high < 1e6:
        high *= 2.0
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if remaining(middle) > wanted else (low, middle)
    lessened = source * np.exp(-high * off[:n])
    if lessened.sum() > wanted:  # rows without any error keep their weight: the share is reached by scaling
        lessened *= wanted / lessened.sum()
    new = np.concatenate([lessened, target])
    return np.asarray(new / new.sum())
