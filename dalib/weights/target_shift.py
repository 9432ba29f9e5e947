"""Class weights by matching the kernel means of the classes with that of the target."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from dalib.weights import _arrays, _box_slab, _domains, _importance, _label_shift
from dalib.weights._box_slab_solver import solve

Array = NDArray[np.float64]

_REMEDY = "pass another bandwidth, use features that tell the classes apart, or fewer classes"


class TargetShiftWeights(BaseEstimator):  # type: ignore[misc]
    r"""Label-shift weights by kernel mean matching of class conditionals [1]_.

    .. math::
        \min_{q \ge 0,\ \sum_c q_c = 1} \Bigl\| \sum_c q_c\, \hat\mu_{s|c} - \hat\mu_t \Bigr\|^2, \qquad w_c = q_c / \pi_c

    where :math:`\hat\mu_{s|c}` is the mean of :math:`k(\cdot, x)` over the source rows of class ``c`` and the kernel is
    Gaussian. It needs features rather than a classifier; where two classes have the same mean in feature space their
    shares cannot be told apart. The optimum is certified: ``gap_`` bounds its distance to the minimum.

    Distances are taken as they are: standardise features of different scales first.

    Args:
        bandwidth: Kernel width. Default: the root of the mean squared distance of the pooled sample.

    Attributes:
        class_weights_: Weight of each class, shape ``(classes,)``; weighted by the source prior they average to one.
        weights_: Weights of the source rows by their labels, shape ``(n,)``, mean one.
        source_prior_: Share of each class among the source labels.
        target_prior_: Estimated share q of each class in the target.
        gap_: Upper bound of the objective minus its minimum.
        bandwidth_: The kernel width used.
        classes_: The sorted labels.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, the labels do not fit, or there is one class.

    References:
        .. [1] Zhang, Schoelkopf, Muandet, Wang. Domain Adaptation under Target and Conditional Shift. ICML 2013.

    Example:
        Each class is a point, so the target's shares are counts: 1/4 and 3/4 against 1/2 and 1/2.

        >>> shift = TargetShiftWeights(bandwidth=1.0)
        >>> shift.fit([[0.0], [9.0]], ["cat", "dog"], [[0.0], [9.0], [9.0], [9.0]]).class_weights_.round(4)
        array([0.5, 1.5])
    """

    def __init__(self, *, bandwidth: float | None = None) -> None:
        self.bandwidth = bandwidth

    def fit(self, source: ArrayLike, source_labels: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``class_weights_`` from source rows with labels and target rows without."""
        X, Z = _domains.two_domains(self, source, target)
        if self.bandwidth is not None:
            _arrays.positive(self.bandwidth, "bandwidth")
        count = len(_label_shift.distinct(np.asarray(source_labels)))
        codes, self.classes_ = _label_shift.encoded(source_labels, len(X), count, None)
        if count < 2:
            raise ValueError(f"source_labels must hold at least two classes, got {self.classes_.tolist()}")
        self.bandwidth_ = _arrays.mean_distance_bandwidth(X, Z) if self.bandwidth is None else float(self.bandwidth)
        self.source_prior_ = np.bincount(codes) / len(codes)
        member = np.eye(count)[codes] / np.bincount(codes)
        gram, linear = np.zeros((count, count)), np.zeros(count)
        for part in _arrays.blocks(len(X), max(len(X), len(Z))):
            gram += member[part].T @ (_arrays.gaussian_kernel(X[part], X, self.bandwidth_) @ member)
            linear += member[part].T @ _arrays.gaussian_kernel(X[part], Z, self.bandwidth_).mean(axis=1)
        program = _box_slab.Program(linear, _box_slab.BoxSlab(1.0, 1.0, 1.0), gram)
        solution = solve(program, tolerance=1e-12, max_iterations=5000)
        self.gap_ = 2.0 * max(solution.gap, 0.0)
        self.target_prior_ = solution.point
        raw = self.target_prior_ / self.source_prior_
        self.weights_, scale = _importance.mean_one(raw[codes], remedy=_REMEDY)
        self.class_weights_ = raw / scale
        return self

    def predict(self, labels: ArrayLike) -> Array:
        """Weights of rows by their labels, shape ``(rows,)``."""
        check_is_fitted(self)
        return _label_shift.weights_of(labels, self.classes_, self.class_weights_)
