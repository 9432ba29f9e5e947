"""Maximum-likelihood label shift: the expectation-maximisation of the target's class shares."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from dalib.weights import _arrays, _importance, _label_shift

Array = NDArray[np.float64]

_REMEDY = "use a better classifier, or fewer classes"


class MaximumLikelihoodLabelShift(BaseEstimator):  # type: ignore[misc]
    r"""Label-shift weights by maximum likelihood of the target (MLLS), by expectation-maximisation [1]_ [2]_.

    .. math:: q_k \leftarrow \frac1m \sum_j \frac{q_k\, p_k(t_j)/\pi_k}{\sum_l q_l\, p_l(t_j)/\pi_l}, \qquad
              w_k = q_k / \pi_k

    from :math:`q = \pi`, the source prior: the mean prediction of the source rows, which for a calibrated classifier
    is the share of the labels. The likelihood is concave and rises with every step; the gap to its maximum is at most
    the logarithm of the largest entry of its gradient, and the iteration stops by that bound.

    It is as good as the probabilities are calibrated: pass a calibrator, for example
    :class:`BiasCorrectedTemperature`. The labelled rows must be held out from the classifier's training.

    Args:
        calibrator: An object with ``fit(probabilities, labels)`` and ``transform(probabilities)``; it is cloned,
            fitted on the source rows and applied to both domains. Default: probabilities as they come.
        tolerance: Gap of the mean log-likelihood at which to stop. Default 1e-8.
        max_iter: Most steps, after which a ``ConvergenceWarning`` names the gap. Default 10000.
        classes: The class of each column. Default: the sorted labels.

    Attributes:
        class_weights_: Weight of each class, shape ``(classes,)``; weighted by the source prior they average to one.
        weights_: Weights of the source rows by their labels, shape ``(n,)``, mean one.
        source_prior_: Share of each class among the source labels.
        target_prior_: Estimated share q of each class in the target.
        calibrator_: The fitted calibrator, where there is one.
        gap_: Upper bound of the distance to the largest mean log-likelihood.
        n_iter_: Steps taken.
        classes_: The class of each column.

    Raises:
        TypeError: If ``calibrator`` cannot fit and transform, or an option is of the wrong kind.
        ValueError: If the rows are not probabilities, the labels do not fit them, a class has no labelled row, or an
            option is out of range.

    References:
        .. [1] Saerens, Latinne, Decaestecker. Adjusting the Outputs of a Classifier to New a Priori Probabilities.
            Neural Computation 14, 2002.
        .. [2] Alexandari, Kundaje, Shrikumar. Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at
            Label Shift Adaptation. ICML 2020.

    Example:
        A perfect classifier: weights are the ratio of the shares, 1/4 : 1/2 and 3/4 : 1/2.

        >>> cat, dog = [1.0, 0.0], [0.0, 1.0]
        >>> MaximumLikelihoodLabelShift().fit([cat, dog], ["cat", "dog"], [cat, dog, dog, dog]).class_weights_
        array([0.5, 1.5])
    """

    def __init__(
        self,
        *,
        calibrator: Any = None,
        tolerance: float = 1e-8,
        max_iter: int = 10000,
        classes: Sequence[Any] | None = None,
    ) -> None:
        self.calibrator = calibrator
        self.tolerance = tolerance
        self.max_iter = max_iter
        self.classes = classes

    def fit(self, source_probabilities: ArrayLike, source_labels: ArrayLike, target_probabilities: ArrayLike) -> Self:
        """Learn ``class_weights_`` from held-out source rows with labels and from target rows without."""
        _arrays.positive(self.tolerance, "tolerance")
        _arrays.whole(self.max_iter, "max_iter", least=1)
        if self.calibrator is not None and not (
            hasattr(self.calibrator, "fit") and hasattr(self.calibrator, "transform")
        ):
            raise TypeError(f"calibrator must have fit and transform, got {type(self.calibrator).__name__}")
        data = _label_shift.checked(source_probabilities, source_labels, target_probabilities, self.classes)
        _label_shift.present(data)
        source, target = data.source, data.target
        if self.calibrator is not None:
            self.calibrator_ = clone(self.calibrator).fit(source, data.classes[data.labels])
            source, target = self.calibrator_.transform(source), self.calibrator_.transform(target)
        expected = source.mean(axis=0)
        if not (expected > 0).all():
            raise ValueError(
                f"every class must have a probability above 0 in some source row, got none for "
                f"{data.classes[expected == 0].tolist()}; pass calibrator=BiasCorrectedTemperature(), or merge classes"
            )
        shares, self.gap_, self.n_iter_ = _most_likely_shares(
            target / expected, expected, self.tolerance, self.max_iter
        )
        if self.gap_ > self.tolerance:
            warnings.warn(
                f"expectation-maximisation stopped after {self.n_iter_} steps at a gap of {self.gap_:.1e} instead of "
                f"{self.tolerance:.1e}; raise max_iter or tolerance",
                ConvergenceWarning,
                stacklevel=2,
            )
        raw = shares / expected
        self.classes_, self.source_prior_, self.target_prior_ = data.classes, data.prior, shares
        self.weights_, scale = _importance.mean_one(raw[data.labels], remedy=_REMEDY)
        self.class_weights_ = raw / scale
        return self

    def predict(self, labels: ArrayLike) -> Array:
        """Weights of rows by their labels, shape ``(rows,)``."""
        check_is_fitted(self)
        return _label_shift.weights_of(labels, self.classes_, self.class_weights_)

    def adjust(self, probabilities: ArrayLike) -> Array:
        """Class probabilities of target rows under the target's shares, shape ``(rows, classes)``.

        A row whose classes all have the share 0 keeps its probabilities.
        """
        check_is_fitted(self)
        P = _label_shift.probabilities(probabilities, "probabilities")
        if P.shape[1] != len(self.class_weights_):
            raise ValueError(f"probabilities must have {len(self.class_weights_)} classes, got {P.shape[1]}")
        if self.calibrator is not None:
            P = self.calibrator_.transform(P)
        adjusted = P * self.class_weights_
        total = adjusted.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(adjusted, total, out=P.copy(), where=total > 0))


def _most_likely_shares(ratios: Array, start: Array, tolerance: float, max_iter: int) -> tuple[Array, float, int]:
    """Expectation-maximisation of ``mean(log(ratios @ shares))`` over the simplex, with its certified gap."""
    shares = start / start.sum()
    for steps in range(max_iter + 1):
        mixed = ratios @ shares
        gradient = (ratios / mixed[:, None]).mean(axis=0)
        gap = float(np.log(gradient.max()))
        if gap <= tolerance or steps == max_iter:
            break
        shares = shares * gradient
        shares /= shares.sum()
    return shares, max(gap, 0.0), steps
