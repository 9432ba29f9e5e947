"""Bias-corrected temperature scaling: calibrated class probabilities for label-shift estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from dalib.weights import _label_shift

Array = NDArray[np.float64]


class BiasCorrectedTemperature(BaseEstimator):  # type: ignore[misc]
    r"""Calibration by one temperature and one bias a class [1]_.

    .. math:: q_k(x) = \frac{\exp(a \log p_k(x) + b_k)}{\sum_l \exp(a \log p_l(x) + b_l)}, \qquad a = 1/T \ge 0

    with :math:`a` and :math:`b` of the largest likelihood of held-out labels, a convex problem. Afterwards the mean
    probability of every class equals its share of the labels, which is what label-shift estimators rely on.

    Args:
        bias: Fit the biases. ``False`` is plain temperature scaling. Default ``True``.
        classes: The class of each column. Default: the sorted labels.

    Attributes:
        temperature_: The temperature T.
        bias_: The biases, shape ``(classes,)``; their mean is zero.
        classes_: The class of each column.

    Raises:
        ValueError: If the rows are not probabilities, or the labels do not fit them.

    References:
        .. [1] Alexandari, Kundaje, Shrikumar. Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at
            Label Shift Adaptation. ICML 2020.

    Example:
        A classifier says 0.9 and is right in three of four rows: T brings 0.9 down to 0.75.

        >>> says = [[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 4
        >>> calibration = BiasCorrectedTemperature().fit(says, [0, 0, 0, 1, 1, 1, 1, 0])
        >>> calibration.transform([[0.9, 0.1]]).round(4)
        array([[0.75, 0.25]])
        >>> round(calibration.temperature_, 3)  # log 9 / log 3
        2.0
    """

    def __init__(self, *, bias: bool = True, classes: Sequence[Any] | None = None) -> None:
        self.bias = bias
        self.classes = classes

    def fit(self, probabilities: ArrayLike, labels: ArrayLike) -> Self:
        """Learn temperature and biases from held-out rows, shapes ``(n, classes)`` and ``(n,)``."""
        P = _label_shift.probabilities(probabilities, "probabilities")
        codes, self.classes_ = _label_shift.encoded(labels, len(P), P.shape[1], self.classes, "labels")
        logs = _logs(P)
        own = logs[np.arange(len(P)), codes].mean()
        shares = np.bincount(codes, minlength=P.shape[1]) / len(P)
        ridge = 1e-9  # makes the biases of a shift of all, or of an absent class, definite

        def loss(parameters: Array) -> tuple[float, Array]:
            slope, bias = parameters[0], parameters[1:] * self.bias
            scores = slope * logs + bias
            norm = logsumexp(scores, axis=1)
            q = np.exp(scores - norm[:, None])
            value = norm.mean() - slope * own - shares @ bias + ridge * float(bias @ bias)
            by_slope = (q * logs).sum(axis=1).mean() - own
            return float(value), np.r_[by_slope, (q.mean(axis=0) - shares + 2 * ridge * bias) * self.bias]

        found = minimize(
            loss,
            np.r_[1.0, np.zeros(P.shape[1])],
            jac=True,
            method="L-BFGS-B",
            bounds=[(1e-6, 1e6)] + [(-50.0, 50.0)] * P.shape[1],
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
        )
        self.temperature_ = float(1.0 / found.x[0])
        self.bias_ = (found.x[1:] - found.x[1:].mean()) * self.bias
        return self

    def transform(self, probabilities: ArrayLike) -> Array:
        """Calibrated probabilities of new rows, shape ``(rows, classes)``."""
        check_is_fitted(self)
        P = _label_shift.probabilities(probabilities, "probabilities")
        if P.shape[1] != len(self.bias_):
            raise ValueError(f"probabilities must have {len(self.bias_)} classes, got {P.shape[1]}")
        return np.asarray(softmax(_logs(P) / self.temperature_ + self.bias_, axis=1))


def _logs(P: Array) -> Array:
    return np.log(np.maximum(P, 1e-12))
