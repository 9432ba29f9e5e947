"""Black-box shift estimation: class weights from a confusion matrix."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from dalib.weights import _importance, _label_shift

Array = NDArray[np.float64]

_REMEDY = "use RLLS, a better classifier, or fewer classes"


class BBSE(BaseEstimator):  # type: ignore[misc]
    r"""Label-shift weights by black-box shift estimation [1]_.

    .. math:: w = \max(0, C^{-1} \mu), \qquad C_{ij} = \hat P_s(\hat y = i, y = j), \quad \mu_i = \hat P_t(\hat y = i)

    Under label shift, where the classes look the same in both domains and only their shares differ,
    :math:`w_j = p_t(y=j)/p_s(y=j)`, whatever the classifier, as long as :math:`C` can be inverted. A singular
    :math:`C` is solved by least squares and a warning says so. The labelled rows must be held out: rows the
    classifier was trained on make it look better than it is.

    Args:
        soft: Average predicted probabilities. ``False``: count the most probable class. Default ``True``.
        classes: The class of each column. Default: the sorted labels.

    Attributes:
        class_weights_: Weight of each class, shape ``(classes,)``; weighted by the source prior they average to one.
        weights_: Weights of the source rows by their labels, shape ``(n,)``, mean one.
        source_prior_: Share of each class among the source labels.
        target_prior_: Estimated share of each class in the target.
        confusion_: The matrix C.
        classes_: The class of each column.

    Raises:
        ValueError: If the rows are not probabilities, the labels do not fit them, or a class has no labelled row.

    References:
        .. [1] Lipton, Wang, Smola. Detecting and Correcting for Label Shift with Black Box Predictors. ICML 2018.

    Example:
        A perfect classifier: weights are the ratio of the shares, 1/4 : 1/2 and 3/4 : 1/2.

        >>> cat, dog = [1.0, 0.0], [0.0, 1.0]
        >>> BBSE().fit([cat, dog], ["cat", "dog"], [cat, dog, dog, dog]).class_weights_
        array([0.5, 1.5])
    """

    def __init__(self, *, soft: bool = True, classes: Sequence[Any] | None = None) -> None:
        self.soft = soft
        self.classes = classes

    def fit(self, source_probabilities: ArrayLike, source_labels: ArrayLike, target_probabilities: ArrayLike) -> Self:
        """Learn ``class_weights_`` from held-out source rows with labels and from target rows without."""
        data = _label_shift.checked(source_probabilities, source_labels, target_probabilities, self.classes)
        _label_shift.present(data)
        count = len(data.prior)
        source, target = data.source, data.target
        if not self.soft:
            source, target = (np.eye(count)[P.argmax(axis=1)] for P in (source, target))
        self.confusion_ = source.T @ np.eye(count)[data.labels] / len(source)
        weights, _, rank, _ = np.linalg.lstsq(self.confusion_, target.mean(axis=0), rcond=1e-10)
        if rank < count:
            warnings.warn(
                f"the confusion matrix has rank {rank} of {count}: some classes are predicted alike, and the weights "
                f"are the smallest that fit; {_REMEDY}",
                UserWarning,
                stacklevel=2,
            )
        raw = np.maximum(weights, 0.0)
        self.classes_, self.source_prior_ = data.classes, data.prior
        self.weights_, scale = _importance.mean_one(raw[data.labels], remedy=_REMEDY)
        self.class_weights_ = raw / scale
        self.target_prior_ = self.class_weights_ * data.prior
        return self

    def predict(self, labels: ArrayLike) -> Array:
        """Weights of rows by their labels, shape ``(rows,)``."""
        check_is_fitted(self)
        return _label_shift.weights_of(labels, self.classes_, self.class_weights_)
