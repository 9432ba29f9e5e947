"""Regularised learning under label shift: black-box estimation that is pulled towards no shift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import lsq_linear
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from dalib.weights import _arrays, _importance, _label_shift

Array = NDArray[np.float64]

_REMEDY = "raise regularization, use a better classifier, or fewer classes"


class RLLS(BaseEstimator):  # type: ignore[misc]
    r"""Label-shift weights by regularised learning [1]_.

    .. math::
        \theta = \arg\min_{\theta \ge -1} \|C\theta - (\mu_t - \mu_s)\|_2 + \Delta \|\theta\|_2, \qquad
        w = 1 + \gamma\theta, \qquad
        \Delta = 3 \rho \Bigl(\frac{2\log(2K/\delta)}{3n} + \sqrt{\frac{2\log(2K/\delta)}{n}}\Bigr)

    with :math:`C_{ij} = \hat P_s(\hat y = i, y = j)`, the mean predictions :math:`\mu` of both domains and ``K`` classes.
    A large :math:`\Delta` gives equal weights; :math:`\Delta = 0` gives those of :class:`BBSE`, where these are
    positive. The labelled rows must be held out from the classifier's training.

    The norms are not squared. The minimum is found as the limit of ridge regressions: wherever the two norms are not
    zero it solves a ridge problem whose penalty is :math:`\Delta` times their ratio.

    Args:
        regularization: The factor :math:`\rho \ge 0`. Default 0.01.
        confidence: The level :math:`\delta`. Default 0.05.
        trust: The factor :math:`\gamma`, in ``[0, 1]``. Default 1.
        soft: Average predicted probabilities. ``False``: count the most probable class. Default ``True``.
        classes: The class of each column. Default: the sorted labels.

    Attributes:
        class_weights_: Weight of each class, shape ``(classes,)``; weighted by the source prior they average to one.
        weights_: Weights of the source rows by their labels, shape ``(n,)``, mean one.
        source_prior_: Share of each class among the source labels.
        target_prior_: Estimated share of each class in the target.
        theta_: The vector theta.
        delta_: The penalty Delta.
        classes_: The class of each column.

    Raises:
        ValueError: If the rows are not probabilities, the labels do not fit them, a class has no labelled row, or an
            option is out of range.

    References:
        .. [1] Azizzadenesheli, Liu, Yang, Anandkumar. Regularized Learning for Domain Adaptation under Label Shifts.
            ICLR 2019.

    Example:
        A perfect classifier and no penalty: weights are the ratio of the shares, 1/4 : 1/2 and 3/4 : 1/2.

        >>> cat, dog = [1.0, 0.0], [0.0, 1.0]
        >>> RLLS(regularization=0.0).fit([cat, dog], ["cat", "dog"], [cat, dog, dog, dog]).class_weights_.round(6)
        array([0.5, 1.5])
    """

    def __init__(
        self,
        *,
        regularization: float = 0.01,
        confidence: float = 0.05,
        trust: float = 1.0,
        soft: bool = True,
        classes: Sequence[Any] | None = None,
    ) -> None:
        self.regularization = regularization
        self.confidence = confidence
        self.trust = trust
        self.soft = soft
        self.classes = classes

    def fit(self, source_probabilities: ArrayLike, source_labels: ArrayLike, target_probabilities: ArrayLike) -> Self:
        """Learn ``class_weights_`` from held-out source rows with labels and from target rows without."""
        if not 0.0 <= _arrays.number(self.regularization, "regularization") < math.inf:
            raise ValueError(f"regularization must be at least 0 and finite, got {self.regularization}")
        if not 0.0 < _arrays.number(self.confidence, "confidence") < 1.0:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")
        if not 0.0 <= _arrays.number(self.trust, "trust") <= 1.0:
            raise ValueError(f"trust must lie in [0, 1], got {self.trust}")
        data = _label_shift.checked(source_probabilities, source_labels, target_probabilities, self.classes)
        _label_shift.present(data)
        n, count = data.source.shape
        source, target = data.source, data.target
        if not self.soft:
            source, target = (np.eye(count)[P.argmax(axis=1)] for P in (source, target))
        confusion = source.T @ np.eye(count)[data.labels] / n
        term = math.log(2 * count / self.confidence) / n
        self.delta_ = 3 * self.regularization * (2 * term / 3 + math.sqrt(2 * term))
        self.theta_ = penalised_norm(confusion, target.mean(axis=0) - source.mean(axis=0), self.delta_)
        raw = np.maximum(1.0 + self.trust * self.theta_, 0.0)
        self.classes_, self.source_prior_ = data.classes, data.prior
        self.weights_, scale = _importance.mean_one(raw[data.labels], remedy=_REMEDY)
        self.class_weights_ = raw / scale
        self.target_prior_ = self.class_weights_ * data.prior
        return self

    def predict(self, labels: ArrayLike) -> Array:
        """Weights of rows by their labels, shape ``(rows,)``."""
        check_is_fitted(self)
        return _label_shift.weights_of(labels, self.classes_, self.class_weights_)


def penalised_norm(matrix: Array, right: Array, delta: float) -> Array:
    """The ``theta >= -1`` of the smallest ``norm(matrix @ theta - right) + delta * norm(theta)``.

    Along the path of ridge penalties the sum of the norms has one minimum: the ridge solutions trace the lower left
    edge of all pairs of norms, which is convex. A grid over the logarithm of the penalty and a golden-section search around its
    best point find it.

    Args:
        matrix: Shape ``(k, k)``.
        right: Shape ``(k,)``.
        delta: Penalty, not negative.

    Returns:
        Shape ``(k,)``.

    Example:
        >>> penalised_norm(np.eye(2), np.array([3.0, 4.0]), 2.0)  # a penalty above one leaves nothing
        array([0., 0.])
    """
    width = matrix.shape[1]

    def ridge(log_penalty: float) -> Array:
        stacked = np.vstack([matrix, math.exp(log_penalty / 2) * np.eye(width)])
        found = lsq_linear(stacked, np.r_[right, np.zeros(width)], bounds=(-1.0, np.inf), method="bvls", tol=1e-14)
        return np.asarray(found.x)

    def objective(theta: Array) -> float:
        return float(np.linalg.norm(matrix @ theta - right) + delta * np.linalg.norm(theta))

    top = math.log(float(np.linalg.norm(matrix, 2)) ** 2 or 1.0)
    grid = np.linspace(top - 34.0, top + 34.0, 69)  # bounds that hold make the path, and so the sum, flat in parts
    middle = int(np.argmin([objective(ridge(each)) for each in grid]))
    low, high = float(grid[max(middle - 1, 0)]), float(grid[min(middle + 1, len(grid) - 1)])
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    left, right_end = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = objective(ridge(left)), objective(ridge(right_end))
    for _ in range(40):
        if at_left < at_right:
            high, right_end, at_right = right_end, left, at_left
            left = high - golden * (high - low)
            at_left = objective(ridge(left))
        else:
            low, left, at_left = left, right_end, at_right
            right_end = low + golden * (high - low)
            at_right = objective(ridge(right_end))
    found = [ridge((low + high) / 2), ridge(float(grid[middle])), np.zeros(width)]
    plain = lsq_linear(matrix, right, bounds=(-1.0, np.inf), method="bvls", tol=1e-14).x
    return min([*found, np.asarray(plain)], key=objective)
