"""The ratio of two kernel density estimates."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]

_REMEDY = "raise bandwidth, or reduce the number of features first"


class KernelDensityWeights(BaseEstimator):  # type: ignore[misc]
    r"""The ratio of the Gaussian kernel density estimates of the domains.

    .. math::
        w(x) = \frac{\hat p_t(x)}{\hat p_s(x)}, \qquad
        \hat p(x) = \frac1n \sum_i \prod_j \frac{1}{\sqrt{2\pi}\,h_j} \exp\Bigl(-\frac{(x_j-x_{ij})^2}{2h_j^2}\Bigr)

    Each domain has its own widths, :math:`h_j` = the bandwidth times the standard deviation of feature ``j``; a
    constant feature takes the deviation of the pooled sample, or 1. A row's own kernel counts in its density.
    Beyond a handful of features density estimates mean little: prefer an estimator of the ratio itself.

    Args:
        bandwidth: The factor of the standard deviations. Default: Scott's rule [1]_, ``rows ** (-1 / (d + 4))``.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, or ``bandwidth`` is not positive.

    References:
        .. [1] Scott. Multivariate Density Estimation. Wiley, 1992.

    Example:
        Both have deviation 1, so h = 1: at 0 the source has e^-0.5, the target (1 + e^-2) / 2.

        >>> ratio = KernelDensityWeights(bandwidth=1.0).fit([[-1.0], [1.0]], [[0.0], [2.0]])
        >>> np.exp(ratio.score_samples([[0.0]])).round(4)  # 0.5677 / 0.6065
        array([0.9359])
    """

    def __init__(self, *, bandwidth: float | None = None) -> None:
        self.bandwidth = bandwidth

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        if self.bandwidth is not None:
            _arrays.positive(self.bandwidth, "bandwidth")
        spread = np.sqrt(_arrays.variances(np.concatenate([X, Z])))
        spread[spread == 0] = 1.0
        self._samples = [(rows, self._widths(rows, spread)) for rows in (X, Z)]
        log_ratios = self._log_ratios(X)
        largest = float(log_ratios.max())
        self.weights_, scale = _importance.mean_one(np.exp(log_ratios - largest), remedy=_REMEDY)
        self._log_scale = float(np.log(scale)) + largest
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Weights of new rows on the scale of ``weights_``, shape ``(rows,)``; infinite beyond the largest float."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self.score_samples(X) - self._log_scale))

    def score_samples(self, X: ArrayLike) -> Array:
        """Logarithm of the estimated ratio of the densities of new rows, shape ``(rows,)``."""
        return self._log_ratios(_domains.rows(self, X))

    def _widths(self, rows: Array, spread: Array) -> Array:
        count, features = rows.shape
        factor = count ** (-1.0 / (features + 4)) if self.bandwidth is None else self.bandwidth
        deviation = np.sqrt(_arrays.variances(rows))
        return np.asarray(factor * np.where(deviation > 0, deviation, spread))

    def _log_ratios(self, X: Array) -> Array:
        of_source, of_target = (_log_density(X, rows, widths) for rows, widths in self._samples)
        return of_target - of_source


def _log_density(X: Array, rows: Array, widths: Array) -> Array:
    """The log of a kernel density estimate up to the constant that all share, a block of rows at a time."""
    logs = []
    for part in _arrays.blocks(len(X), len(rows)):
        distances = _arrays.squared_distances(X[part] / widths, rows / widths)
        nearest = distances.min(axis=1)  # taken out, so that no sum underflows
        distances -= nearest[:, None]
        logs.append(np.log(_arrays.gaussian(distances, 1.0, out=distances).sum(axis=1)) - 0.5 * nearest)
    return np.asarray(np.concatenate(logs) - np.log(len(rows)) - np.log(widths).sum())
