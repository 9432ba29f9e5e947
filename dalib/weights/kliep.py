"""KLIEP: the density ratio that makes the target most likely."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]

_REMEDY = "pass wider bandwidths, or use RuLSIF, whose ratio is bounded"


class KLIEP(BaseEstimator):  # type: ignore[misc]
    r"""The density ratio by Kullback-Leibler importance estimation [1]_.

    .. math::
        \max_{a \ge 0} \frac1m \sum_j \log w(t_j) \quad\text{s.t.}\quad \frac1n \sum_i w(s_i) = 1, \qquad
        w(x) = \sum_l a_l \exp(-\|x - c_l\|^2 / 2\sigma^2)

    with target rows as centres. With :math:`\pi_l = a_l \cdot \frac1n\sum_i k(s_i, c_l)` this is the likelihood of a
    mixture of known components; a primal-dual interior point method finds its maximum. At any mixture the optimum
    is at most :math:`\log \max_l g_l` higher, with :math:`g` the gradient: that bound is ``gap_``.

    The bandwidth is the one whose ratio, fitted without a fold of the target, gives that fold the highest mean log
    ratio; centres in the fold are left out with it. Where that leaves no centre, or none that is near, at any bandwidth, the
    widest is taken.

    Distances are taken as they are: standardise features of different scales first.

    Args:
        bandwidths: Candidates for :math:`\sigma`. Default: the root of the mean squared distance of the pooled
            sample times 1/4, 1/2, 1, 2 and 4.
        centres: Most centres, drawn from the target rows without replacement. Default 100.
        folds: Folds of the target in the choice of the bandwidth; fewer where the target has fewer rows. Default 5.
        tolerance: Gap at which the optimiser stops. Default 1e-7.
        max_iter: Most steps of the optimiser, after which a ``ConvergenceWarning`` names the gap. Default 100.
        random_state: Seed of the centres and folds. Default 0.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        bandwidth_: The bandwidth chosen.
        scores_: Mean held-out log ratio of each bandwidth; NaN where there was nothing to choose.
        objective_: Mean log ratio of the target rows, at least that of any other mixture minus ``gap_``.
        gap_: Upper bound of the optimum minus ``objective_``.
        centres_: The centres, shape ``(centres, d)``.
        coefficients_: Their coefficients :math:`a`.
        n_iter_: Steps of the optimiser in the final fit.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, an option is out of range, or no bandwidth
            lets the source reach the target.

    References:
        .. [1] Sugiyama, Suzuki, Nakajima, Kashima, von Buenau, Kawanabe. Direct Importance Estimation for Covariate
            Shift Adaptation. Annals of the Institute of Statistical Mathematics 60, 2008.

    Example:
        One centre leaves one free number, which the constraint fixes: 1 : e^-0.5 with mean one.

        >>> KLIEP(bandwidths=[1.0]).fit([[0.0], [1.0]], [[0.0]]).weights_.round(4)
        array([1.2449, 0.7551])

    Note:
        ADAPT and skada keep the held-out rows as centres, which favours narrow bandwidths.
        skada's step size is the machine epsilon, so that its starting value comes out; ADAPT always takes all of its
        iterations.
    """

    def __init__(
        self,
        *,
        bandwidths: Sequence[float] | None = None,
        centres: int = 100,
        folds: int = 5,
        tolerance: float = 1e-7,
        max_iter: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.bandwidths = bandwidths
        self.centres = centres
        self.folds = folds
        self.tolerance = tolerance
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        _arrays.positive(self.tolerance, "tolerance")
        for name, least in (("centres", 1), ("max_iter", 1), ("folds", 2)):
            _arrays.whole(getattr(self, name), name, least=least)
        middle = _arrays.mean_distance_bandwidth(X, Z)
        bandwidths = _arrays.candidates(self.bandwidths, "bandwidths", middle * np.array([0.25, 0.5, 1.0, 2.0, 4.0]))
        rng = check_random_state(self.random_state)
        chosen_rows = rng.permutation(len(Z))[: self.centres]
        self.centres_ = Z[chosen_rows]
        fold = rng.permutation(np.arange(len(Z)) % min(self.folds, len(Z)))
        self.scores_ = np.full(len(bandwidths), np.nan)
        chosen = (len(bandwidths) - 1) // 2
        if len(bandwidths) > 1 and len(Z) > 1:
            self.scores_ = np.array(
                [self._held_out_score(X, Z, fold, fold[chosen_rows], bandwidth) for bandwidth in bandwidths]
            )
            scored = np.isfinite(self.scores_).any()
            chosen = int(np.argmax(self.scores_ if scored else bandwidths))
        self.bandwidth_ = float(bandwidths[chosen])
        components, masses = self._components(X, Z, self.bandwidth_)
        if not components.any(axis=1).all():
            raise ValueError(
                f"source and target must overlap at a bandwidth of {self.bandwidth_:g}, got target rows that the "
                "source does not reach; pass wider bandwidths"
            )
        mixture, self.gap_, self.n_iter_ = most_likely_mixture(
            components, tolerance=self.tolerance, max_iter=self.max_iter
        )
        if self.gap_ > self.tolerance:
            warnings.warn(
                f"KLIEP stopped after {self.n_iter_} steps at a gap of {self.gap_:.1e} instead of "
                f"{self.tolerance:.1e}; raise max_iter or tolerance, or pass wider bandwidths",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.objective_ = float(np.log(components @ mixture).mean())
        self.coefficients_ = np.divide(mixture, masses, out=np.zeros_like(mixture), where=masses > 0)
        at_source = _arrays.gaussian_kernel(X, self.centres_, self.bandwidth_)
        self.weights_, self._scale = _importance.mean_one(at_source @ self.coefficients_, remedy=_REMEDY)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Weights of new rows on the scale of ``weights_``, shape ``(rows,)``."""
        return self._ratios(X) / self._scale

    def score_samples(self, X: ArrayLike) -> Array:
        """Logarithm of the estimated ratio of new rows, shape ``(rows,)``; minus infinity far from every centre."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self._ratios(X)))

    def _ratios(self, X: ArrayLike) -> Array:
        new = _domains.rows(self, X)
        return np.asarray(_arrays.gaussian_kernel(new, self.centres_, self.bandwidth_) @ self.coefficients_)

    def _components(self, X: Array, Z: Array, bandwidth: float) -> tuple[Array, Array]:
        """Kernel of each centre at the target rows, divided by its mean over the source; and those means."""
        masses = np.zeros(len(self.centres_))
        for part in _arrays.blocks(len(X), len(masses)):
            masses += _arrays.gaussian_kernel(X[part], self.centres_, bandwidth).sum(axis=0)
        masses /= len(X)
        at_target = _arrays.gaussian_kernel(Z, self.centres_, bandwidth)
        reached = masses > 1e-200  # a centre that no source row is near cannot be weighed
        return np.divide(at_target, masses, out=np.zeros_like(at_target), where=reached), masses * reached

    def _held_out_score(
        self, X: Array, Z: Array, fold: NDArray[np.int64], fold_of_centre: NDArray[np.int64], bandwidth: float
    ) -> float:
        components, _ = self._components(X, Z, bandwidth)
        scores = np.full(len(Z), -np.inf)
        for one in range(fold.max() + 1):
            kept, held_out = components[:, fold_of_centre != one], fold == one
            if kept.shape[1] == 0 or not kept[~held_out].any(axis=1).all():
                return -np.inf
            mixture, _, _ = most_likely_mixture(kept[~held_out], tolerance=self.tolerance, max_iter=self.max_iter)
            with np.errstate(divide="ignore"):
                scores[held_out] = np.log(kept[held_out] @ mixture)
        return float(scores.mean())


def most_likely_mixture(components: Array, *, tolerance: float, max_iter: int) -> tuple[Array, float, int]:
    r"""The mixing proportions that make a sample most likely under known components.

    Maximises :math:`\frac1m\sum_j\log(\sum_l \pi_l q_{jl}) - \sum_l \pi_l` over :math:`\pi \ge 0`, whose optimum sums
    to one by itself, with a primal-dual interior point method.

    Args:
        components: Densities :math:`q` of the components at the rows, shape ``(m, b)``; no row is all zero.
        tolerance: Gap at which to stop.
        max_iter: Most steps.

    Returns:
        The proportions, which sum to one; the certified gap of the mean log-likelihood; the steps taken.

    Example:
        Components that do not overlap get the shares of the rows.

        >>> most_likely_mixture(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), tolerance=1e-9, max_iter=50)[0].round(6)
        array([0.666667, 0.333333])
    """
    m, b = components.shape
    proportions = np.full(b, 1.0 / b)
    duals = np.ones(b)
    best, gap = proportions, math.inf
    for steps in range(max_iter + 1):
        share = components / (components @ proportions)[:, None]
        gradient = share.mean(axis=0)
        total = proportions.sum()
        bound = math.log(max(float(gradient.max()) * total, 1.0))  # of the same mixture, scaled to sum to one
        if bound < gap:
            best, gap = proportions / total, bound
        if gap <= tolerance or steps == max_iter:
            break
        system = share.T @ share / m
        system[np.diag_indices(b)] += duals / proportions
        try:
            factor = cho_factor(system, overwrite_a=True, check_finite=False)
        except LinAlgError:
            break
        centre = 0.1 * float(proportions @ duals) / b
        step = cho_solve(factor, gradient - 1.0 + centre / proportions, check_finite=False)
        dual_step = centre / proportions - duals - duals / proportions * step
        proportions = proportions + _inside(proportions, step) * step
        duals = duals + _inside(duals, dual_step) * dual_step
    return best, gap, steps


def _inside(values: Array, step: Array) -> float:
    """The longest step up to one that keeps ``values`` positive, less a hair."""
    falling = step < 0
    return min(1.0, 0.99 * float((-values[falling] / step[falling]).min())) if falling.any() else 1.0
