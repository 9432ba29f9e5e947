"""The ratio of two fitted normal distributions."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular
from sklearn.base import BaseEstimator

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]

_REMEDY = "raise ridge, set shared_covariance=True, or reduce the number of features first"


class GaussianDensityWeights(BaseEstimator):  # type: ignore[misc]
    r"""The ratio of two normal densities with the means and covariances of the domains.

    .. math:: \log w(x) = \tfrac12 (x-\mu_s)^\top C_s^{-1} (x-\mu_s) - \tfrac12 (x-\mu_t)^\top C_t^{-1} (x-\mu_t)
              + \tfrac12 \log\det C_s - \tfrac12 \log\det C_t

    with :math:`C` the covariance with divisor ``n`` plus a ridge, which is in units of each feature: their scales do not
    matter. Where the target is wider than the source in some direction the ratio grows without bound there.

    Args:
        ridge: What is added to the diagonal of both covariances, as a share of the feature's variance within the
            domains, or of the mean of these variances where a feature has none. Default 1e-6.
        shared_covariance: Use one covariance, the average within the domains weighted by their rows: the log ratio
            is then linear in x. Default: one a domain.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        scale_: Mean of the estimated ratio over the source rows, by which the weights were divided.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, or ``ridge`` is not positive.

    Example:
        Both have variance 1 and the means are 0 and 1, so log w(x) = x - 1/2.

        >>> ratio = GaussianDensityWeights(ridge=1e-12).fit([[-1.0], [1.0]], [[0.0], [2.0]])
        >>> ratio.score_samples([[0.0], [1.0], [3.0]]).round(6)
        array([-0.5,  0.5,  2.5])
    """

    def __init__(self, *, ridge: float = 1e-6, shared_covariance: bool = False) -> None:
        self.ridge = ridge
        self.shared_covariance = shared_covariance

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        _arrays.positive(self.ridge, "ridge")
        of_source, of_target = (np.atleast_2d(np.cov(rows, rowvar=False, bias=True)) for rows in (X, Z))
        within = (len(X) * of_source + len(Z) * of_target) / (len(X) + len(Z))
        if self.shared_covariance:
            of_source = of_target = within
        own = (len(X) * _arrays.variances(X) + len(Z) * _arrays.variances(Z)) / (len(X) + len(Z))
        addition = self.ridge * np.diag(np.where(own > 0, own, own.mean() or 1.0))
        self._normals = [
            (rows.mean(axis=0), cholesky(covariance + addition, lower=True))
            for rows, covariance in ((X, of_source), (Z, of_target))
        ]
        log_ratios = self._log_ratios(X)
        largest = float(log_ratios.max())  # taken out, so that exp neither overflows nor underflows everywhere
        self.weights_, scale = _importance.mean_one(np.exp(log_ratios - largest), remedy=_REMEDY)
        self._log_scale = float(np.log(scale)) + largest
        with np.errstate(over="ignore"):
            self.scale_ = float(np.exp(self._log_scale))
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Weights of new rows on the scale of ``weights_``, shape ``(rows,)``; infinite beyond the largest float."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self.score_samples(X) - self._log_scale))

    def score_samples(self, X: ArrayLike) -> Array:
        """Logarithm of the estimated ratio of the densities of new rows, shape ``(rows,)``."""
        return self._log_ratios(_domains.rows(self, X))

    def _log_ratios(self, X: Array) -> Array:
        of_source, of_target = (_log_normal(X, mean, factor) for mean, factor in self._normals)
        return of_target - of_source


def _log_normal(X: Array, mean: Array, factor: Array) -> Array:
    """The log density of a normal distribution up to the constant that all share."""
    whitened = solve_triangular(factor, (X - mean).T, lower=True)
    return np.asarray(-0.5 * np.einsum("ij,ij->j", whitened, whitened) - np.log(factor.diagonal()).sum())
