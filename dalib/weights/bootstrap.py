"""Bootstrap confidence intervals of class weights."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from dalib.weights import _arrays

Array = NDArray[np.float64]


class Intervals(NamedTuple):
    """Bounds of the class weights, each of shape ``(classes,)``."""

    low: Array
    high: Array


def class_weight_intervals(
    estimator: Any,
    source_probabilities: ArrayLike,
    source_labels: ArrayLike,
    target_probabilities: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 500,
    random_state: int | np.random.RandomState | None = 0,
) -> Intervals:
    """Percentile bootstrap intervals of the class weights of a label-shift estimator [1]_.

    Rows of both domains are drawn with replacement, the source's within each class, so that no class is lost; the
    estimator is fitted anew each time, its calibrator included. They tell of the sampling of the rows, not of a
    classifier that changes between the domains.

    Args:
        estimator: A label-shift estimator, for example :class:`BBSE`; it is cloned.
        source_probabilities: Class probabilities of held-out source rows, shape ``(n, classes)``.
        source_labels: Their labels, shape ``(n,)``.
        target_probabilities: Class probabilities of target rows, shape ``(m, classes)``.
        level: Share of the resamples inside each interval. Default 0.95.
        resamples: Number of resamples. Default 500.
        random_state: Seed. Default 0.

    Returns:
        ``low`` and ``high``, one number a class each.

    Raises:
        ValueError: If ``level`` is not between 0 and 1, ``resamples`` is below 2, or the estimator refuses the rows.

    References:
        .. [1] Efron, Tibshirani. An Introduction to the Bootstrap. Chapman & Hall, 1993.

    Example:
        A perfect classifier, half of the source and 3 of 4 target rows are dogs: the weight of a dog is near 1.5.

        >>> from dalib.weights import BBSE
        >>> cat, dog = [1.0, 0.0], [0.0, 1.0]
        >>> rows = [cat] * 50 + [dog] * 50
        >>> low, high = class_weight_intervals(BBSE(), rows, [0] * 50 + [1] * 50, [cat] * 25 + [dog] * 75)
        >>> bool(1.2 < low[1] < 1.5 < high[1] < 1.8)
        True
    """
    if not 0.0 < _arrays.number(level, "level") < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    _arrays.whole(resamples, "resamples", least=2)
    clone(estimator).fit(source_probabilities, source_labels, target_probabilities)  # refuses what it must
    source, target = np.asarray(source_probabilities), np.asarray(target_probabilities)
    labels = np.asarray(source_labels)
    rows_of_class = [np.flatnonzero(labels == one) for one in np.unique(labels)]
    rng = check_random_state(random_state)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single resample; the fit above has told of the whole
        for _ in range(resamples):
            drawn = np.concatenate([rows[rng.randint(len(rows), size=len(rows))] for rows in rows_of_class])
            again = target[rng.randint(len(target), size=len(target))]
            found.append(clone(estimator).fit(source[drawn], labels[drawn], again).class_weights_)
    low, high = np.quantile(found, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return Intervals(low, high)
