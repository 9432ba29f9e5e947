"""Least-squares density ratios: uLSIF and its relative form RuLSIF, with the exact leave-one-out score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]

_REMEDY = "pass wider bandwidths or larger ridges, or use RuLSIF, whose ratio is bounded"


class RuLSIF(BaseEstimator):  # type: ignore[misc]
    r"""The relative density ratio by least squares [1]_.

    .. math::
        r_\alpha(x) = \frac{p_t(x)}{\alpha p_t(x) + (1-\alpha) p_s(x)} \approx \sum_l \theta_l k(x, c_l), \qquad
        \theta = \max\bigl(0, (H + \lambda I)^{-1} h\bigr)

    with :math:`H = \frac\alpha m \Phi_t^\top\Phi_t + \frac{1-\alpha}n \Phi_s^\top\Phi_s`, :math:`h` the mean row of
    :math:`\Phi_t`, the Gaussian kernel :math:`k(x, c) = \exp(-\|x-c\|^2/2\sigma^2)` and target rows as centres.
    :math:`r_\alpha \le 1/\alpha`: no row can take all the weight. Estimates of small samples exceed that bound by their noise.

    Bandwidth and ridge are those of the smallest leave-one-out error. One source and one target row are left out
    together, ``min(n, m)`` times; the error is exact, also for :math:`\alpha > 0`, from one factorisation a bandwidth.

    Distances are taken as they are: standardise features of different scales first.

    Args:
        alpha: Share of the target in the denominator, in ``[0, 1]``. Default 0.1.
        bandwidths: Candidates for :math:`\sigma`. Default: the root of the mean squared distance of the pooled
            sample times 1/4, 1/2, 1, 2 and 4.
        ridges: Candidates for :math:`\lambda`. Default 0.001, 0.01, 0.1, 1 and 10.
        centres: Most centres, drawn from the target rows without replacement. Default 100.
        random_state: Seed of the centres and of the pairs that are left out. Default 0.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        bandwidth_: The bandwidth chosen.
        ridge_: The ridge chosen.
        errors_: Leave-one-out errors, shape ``(bandwidths, ridges)``; NaN where there was nothing to choose.
        centres_: The centres, shape ``(centres, d)``.
        coefficients_: Their coefficients :math:`\theta`, not negative.
        scale_: Mean of the estimated ratio over the source rows, by which the weights were divided.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, or an option is out of range.

    References:
        .. [1] Yamada, Suzuki, Kanamori, Hachiya, Sugiyama. Relative Density-Ratio Estimation for Robust Distribution
            Comparison. Neural Computation 25, 2013.

    Example:
        One centre, at 0: H = (1 + e^-1)/2 by alpha = 0, h = 1, and the weights are in the ratio of 1 to e^-0.5.

        >>> ratio = RuLSIF(alpha=0.0, bandwidths=[1.0], ridges=[1.0]).fit([[0.0], [1.0]], [[0.0]])
        >>> ratio.coefficients_.round(4)  # 1 / (1 + 0.6839)
        array([0.5938])
        >>> ratio.weights_.round(4)
        array([1.2449, 0.7551])

    Note:
        ADAPT's leave-one-out score swaps source and target in one product and leaves out a denominator.
        The ratio of a finite sample need not average to one; it is ``scale_`` that says by how much it does not.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        bandwidths: Sequence[float] | None = None,
        ridges: Sequence[float] | None = None,
        centres: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.alpha = alpha
        self.bandwidths = bandwidths
        self.ridges = ridges
        self.centres = centres
        self.random_state = random_state

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        if not 0.0 <= _arrays.number(self.alpha, "alpha") <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], got {self.alpha}")
        _arrays.whole(self.centres, "centres", least=1)
        middle = _arrays.mean_distance_bandwidth(X, Z)
        bandwidths = _arrays.candidates(self.bandwidths, "bandwidths", middle * np.array([0.25, 0.5, 1.0, 2.0, 4.0]))
        ridges = _arrays.candidates(self.ridges, "ridges", np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0]))
        rng = check_random_state(self.random_state)
        self.centres_ = Z[rng.permutation(len(Z))[: self.centres]]
        pairs = min(len(X), len(Z))
        left_out = rng.permutation(len(X))[:pairs], rng.permutation(len(Z))[:pairs]
        self.errors_ = np.full((len(bandwidths), len(ridges)), np.nan)
        distances = [_arrays.squared_distances(rows, self.centres_) for rows in (X, Z)]
        if pairs > 1 and self.errors_.size > 1:
            for at, bandwidth in enumerate(bandwidths):
                at_source, at_target = (_arrays.gaussian(squared, bandwidth) for squared in distances)
                with np.errstate(all="ignore"):  # of ridges so small that nothing is left of the numbers
                    self.errors_[at] = leave_one_out_errors(at_source, at_target, ridges, self.alpha, left_out)
            self.errors_[np.isnan(self.errors_)] = np.inf
            row, column = divmod(int(np.argmin(self.errors_)), len(ridges))
        else:
            row, column = (len(bandwidths) - 1) // 2, (len(ridges) - 1) // 2
        self.bandwidth_, self.ridge_ = float(bandwidths[row]), float(ridges[column])
        at_source, at_target = (_arrays.gaussian(squared, self.bandwidth_) for squared in distances)
        H = _gram(at_source, (1.0 - self.alpha) / len(X)) + _gram(at_target, self.alpha / len(Z))
        H[np.diag_indices(len(H))] += self.ridge_
        lowest, highest = np.linalg.eigvalsh(H)[[0, -1]]
        if not lowest > len(H) * np.finfo(H.dtype).eps * highest:  # the solution would be rounding
            raise ValueError(
                f"ridges must be large enough for a system that can be solved, got {self.ridge_:g}; pass larger ones"
            )
        self.coefficients_ = np.maximum(np.linalg.solve(H, at_target.mean(axis=0)), 0.0)
        self.weights_, self.scale_ = _importance.mean_one(at_source @ self.coefficients_, remedy=_REMEDY)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Weights of new rows on the scale of ``weights_``, shape ``(rows,)``."""
        return self._ratios(X) / self.scale_

    def score_samples(self, X: ArrayLike) -> Array:
        """Logarithm of the estimated ratio of new rows, shape ``(rows,)``; minus infinity far from every centre."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self._ratios(X)))

    def _ratios(self, X: ArrayLike) -> Array:
        new = _domains.rows(self, X)
        return np.asarray(_arrays.gaussian_kernel(new, self.centres_, self.bandwidth_) @ self.coefficients_)


class ULSIF(RuLSIF):
    r"""The density ratio by unconstrained least squares [1]_: :class:`RuLSIF` with :math:`\alpha = 0`.

    .. math:: \frac{p_t(x)}{p_s(x)} \approx \sum_l \theta_l k(x, c_l), \qquad
              \theta = \max\bigl(0, (\tfrac1n \Phi_s^\top\Phi_s + \lambda I)^{-1} h\bigr)

    Args:
        bandwidths: As in :class:`RuLSIF`.
        ridges: As in :class:`RuLSIF`.
        centres: As in :class:`RuLSIF`.
        random_state: As in :class:`RuLSIF`.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one; the other attributes are those of :class:`RuLSIF`.

    References:
        .. [1] Kanamori, Hido, Sugiyama. A Least-Squares Approach to Direct Importance Estimation. JMLR 10, 2009.

    Example:
        >>> ULSIF(bandwidths=[1.0], ridges=[1.0]).fit([[0.0], [1.0]], [[0.0]]).weights_.round(4)
        array([1.2449, 0.7551])
    """

    alpha = 0.0

    def __init__(
        self,
        *,
        bandwidths: Sequence[float] | None = None,
        ridges: Sequence[float] | None = None,
        centres: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.bandwidths = bandwidths
        self.ridges = ridges
        self.centres = centres
        self.random_state = random_state


def leave_one_out_errors(
    at_source: Array, at_target: Array, ridges: Array, alpha: float, left_out: tuple[Any, Any]
) -> Array:
    r"""Mean error of pairs that are left out, for every ridge.

    .. math:: \frac1p \sum_i \tfrac\alpha2 r_i(t_i)^2 + \tfrac{1-\alpha}2 r_i(s_i)^2 - r_i(t_i)

    where :math:`r_i` is fitted without :math:`s_i` and :math:`t_i`. Without them :math:`H` is a fixed matrix minus two
    outer products, which the Sherman-Morrison-Woodbury identity inverts for all pairs at once.

    Args:
        at_source: Kernel values of the source rows at the centres, shape ``(n, b)``.
        at_target: Those of the target rows, shape ``(m, b)``.
        ridges: Regularisers, shape ``(r,)``.
        alpha: Share of the target in the denominator.
        left_out: Positions of the source and of the target rows of the pairs.

    Returns:
        Shape ``(r,)``.
    """
    n, m = len(at_source), len(at_target)
    by_source, by_target, one_target = (1.0 - alpha) / max(n - 1, 1), alpha / max(m - 1, 1), 1.0 / max(m - 1, 1)
    values, vectors = eigh(_gram(at_source, by_source) + _gram(at_target, by_target), driver="evd", overwrite_a=True)
    inverses = 1.0 / (np.maximum(values, 0.0)[:, None] + ridges)  # a column a ridge
    h = at_target.sum(axis=0) @ vectors * one_target  # of all target rows; without row t it is h - one_target * t
    h_scaled = h[:, None] * inverses
    rotations = [(vectors * inverse).T for inverse in inverses.T]
    errors = np.zeros(len(ridges))
    for part in _arrays.blocks(len(left_out[0]), len(values), numbers=2**15):  # so small that they stay in the cache
        s, t = at_source[left_out[0][part]], at_target[left_out[1][part]]
        s_rotated, t_rotated = s @ vectors, t @ vectors
        ss, st, tt = s_rotated**2 @ inverses, (s_rotated * t_rotated) @ inverses, t_rotated**2 @ inverses
        sh, th = s_rotated @ h_scaled - one_target * st, t_rotated @ h_scaled - one_target * tt
        # (I - D U'QU) y = D U'Qh, two unknowns a pair, by Cramer's rule
        a, b, c, d = 1.0 - by_source * ss, -by_source * st, -by_target * st, 1.0 - by_target * tt
        determinant = a * d - b * c
        on_s = (d * by_source * sh - b * by_target * th) / determinant
        on_t = (a * by_target * th - c * by_source * sh) / determinant - one_target
        for column, rotation in enumerate(rotations):
            right = on_s[:, column, None] * s_rotated
            right += on_t[:, column, None] * t_rotated
            right += h
            theta = right @ rotation
            np.maximum(theta, 0.0, out=theta)
            r_source, r_target = np.einsum("ij,ij->i", theta, s), np.einsum("ij,ij->i", theta, t)
            errors[column] += np.sum(0.5 * alpha * r_target**2 + 0.5 * (1.0 - alpha) * r_source**2 - r_target)
    return errors / len(left_out[0])


def _gram(features: Array, factor: float) -> Array:
    """``factor * features.T @ features``, in this order a symmetric product, which takes half of the time."""
    return factor * (features.T @ features) if factor else np.zeros((features.shape[1],) * 2)
