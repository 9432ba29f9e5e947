"""Kernel mean matching: weights that carry the source's mean in feature space onto the target's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from dalib.weights import _arrays, _box_slab, _domains, _importance
from dalib.weights._box_slab_solver import solve

Array = NDArray[np.float64]
Kernel = Callable[[Array, Array], Array]

_REMEDY = "lower max_weight, widen bandwidth, or reduce the number of features first"


class KernelMeanMatching(BaseEstimator):  # type: ignore[misc]
    r"""Importance weights by kernel mean matching [1]_.

    .. math::
        \min_b \tfrac12 b^\top K b - \kappa^\top b, \qquad
        K_{ij} = k(s_i, s_j), \quad \kappa_i = \frac nm \sum_j k(s_i, t_j)

    subject to :math:`0 \le b_i \le B` and :math:`|\sum_i b_i - n| \le n\epsilon`, with the Gaussian kernel
    :math:`k(x, y) = \exp(-\|x-y\|^2 / 2\sigma^2)`. Up to a constant the objective is :math:`n^2/2` times the squared
    MMD between the weighted source and the target.

    The optimum is certified: ``gap_`` bounds how far ``objective_`` can lie above the optimum of the problem above,
    also where the kernel was approximated. ``weights_`` is the optimum divided by its mean.
    Weights exist for the source rows only; there is no ``predict``.

    Distances are taken as they are: standardise features of different scales first.

    Args:
        bandwidth: Kernel width :math:`\sigma`. Default: the root of the mean squared distance of the pooled sample.
        max_weight: The bound :math:`B`, at least :math:`1-\epsilon`. Default 1000.
        slack: The slab's :math:`\epsilon \ge 0`. Default :math:`(\sqrt n - 1)/\sqrt n`.
        kernel: A positive semidefinite kernel ``(X, Y) -> (rows of X, rows of Y)`` in place of the Gaussian.
        tolerance: Gap of the objective over :math:`n^2` at which the optimiser stops. Default 1e-6.
        max_iter: Most gradient steps, after which a ``ConvergenceWarning`` names the gap that is left. Default 3000.
        exact_rows: Up to this many source rows the kernel matrix is held whole (``8 n^2`` bytes). Default 5000.
        landmarks: For more rows, number of random source rows that the Nystrom approximation of :math:`K` rests on;
            memory is then about ``16 n landmarks`` bytes. That problem is solved to a hundred times the tolerance: closer
            to its optimum is not closer to the exact one. Default 500.
        random_state: Seed of the choice of landmarks. Default 0.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        optimum_: The optimal :math:`b` before the division, shape ``(n,)``.
        objective_: Its objective divided by :math:`n^2`, with the exact kernel.
        gap_: Upper bound of ``objective_`` minus the optimum's, with the exact kernel.
        bandwidth_: The kernel width used.
        n_iter_: Gradient steps taken.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, or an option is out of range.

    References:
        .. [1] Huang, Smola, Gretton, Borgwardt, Schoelkopf. Correcting Sample Selection Bias by Unlabeled Data.
            NeurIPS 2006.

    Example:
        The target is the first source row: all weight goes there, as much as the other row lets it.

        >>> matching = KernelMeanMatching(bandwidth=1.0, slack=0.0).fit([[0.0], [9.0]], [[0.0]])
        >>> matching.weights_.round(3) + 0.0
        array([2., 0.])

    Note:
        ADAPT and skada use the same bound and slack; their bandwidth is 1/sqrt(2) and the median distance.
        ADAPT splits more than 1000 rows into parts that are solved apart, and gives the rows left over weight 0.
    """

    def __init__(
        self,
        *,
        bandwidth: float | None = None,
        max_weight: float = 1000.0,
        slack: float | None = None,
        kernel: Kernel | None = None,
        tolerance: float = 1e-6,
        max_iter: int = 3000,
        exact_rows: int = 5000,
        landmarks: int = 500,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.bandwidth = bandwidth
        self.max_weight = max_weight
        self.slack = slack
        self.kernel = kernel
        self.tolerance = tolerance
        self.max_iter = max_iter
        self.exact_rows = exact_rows
        self.landmarks = landmarks
        self.random_state = random_state

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        count = len(X)
        feasible = self._feasible(count)
        _arrays.positive(self.tolerance, "tolerance")
        for name in ("max_iter", "exact_rows", "landmarks"):
            _arrays.whole(getattr(self, name), name, least=1)
        if self.bandwidth is not None:
            _arrays.positive(self.bandwidth, "bandwidth")
        self.bandwidth_ = _arrays.mean_distance_bandwidth(X, Z) if self.bandwidth is None else float(self.bandwidth)
        kernel = self._kernel()
        linear = np.concatenate([kernel(X[part], Z).mean(axis=1) for part in _arrays.blocks(count, len(Z))]) * count
        whole = kernel(X, X) if count <= self.exact_rows else None
        program = _box_slab.Program(linear, feasible, whole, self._nystrom_factor(kernel, X) if whole is None else None)
        enough = self.tolerance * count**2 * (1 if whole is not None else 100)
        solution = solve(program, tolerance=enough, max_iterations=self.max_iter)
        self.optimum_, self.n_iter_ = solution.point, solution.iterations
        if solution.gap > enough:
            warnings.warn(
                f"kernel mean matching stopped after {self.max_iter} steps at a gap of {solution.gap / count**2:.1e} "
                f"instead of {enough / count**2:.1e}; raise max_iter or tolerance, or take a smaller bandwidth",
                ConvergenceWarning,
                stacklevel=2,
            )
        if whole is None:  # judge what the approximation found by the exact kernel
            solution = _box_slab.Solution(self.optimum_)
            solution.offer(program, self.optimum_, _product(kernel, X, self.optimum_))
        self.objective_, self.gap_ = solution.value / count**2, max(solution.gap, 0.0) / count**2
        self.weights_, _ = _importance.mean_one(self.optimum_, remedy=_REMEDY)
        return self

    def _feasible(self, count: int) -> _box_slab.BoxSlab:
        slack = (math.sqrt(count) - 1.0) / math.sqrt(count) if self.slack is None else self.slack
        if not 0.0 <= _arrays.number(slack, "slack") < math.inf:
            raise ValueError(f"slack must be at least 0 and finite, got {slack}")
        _arrays.positive(self.max_weight, "max_weight")
        if self.max_weight < 1.0 - slack:
            raise ValueError(
                f"max_weight must be at least 1 - slack = {1.0 - slack:g}, or no weights sum to enough rows, "
                f"got {self.max_weight:g}"
            )
        return _box_slab.BoxSlab(float(self.max_weight), count * max(1.0 - slack, 0.0), count * (1.0 + slack))

    def _kernel(self) -> Kernel:
        if self.kernel is not None:
            return partial(_checked_kernel, self.kernel)
        bandwidth = self.bandwidth_
        return lambda X, Y: _arrays.gaussian_kernel(X, Y, bandwidth)

    def _nystrom_factor(self, kernel: Kernel, X: Array) -> Array:
        """A thin matrix whose product with its transpose approximates the kernel matrix from below."""
        chosen = check_random_state(self.random_state).choice(len(X), min(self.landmarks, len(X)), replace=False)
        marks = X[np.sort(chosen)]
        values, vectors = eigh(kernel(marks, marks))
        keep = values > values[-1] * 1e-10
        root = vectors[:, keep] / np.sqrt(values[keep])
        factor = np.empty((len(X), int(keep.sum())))
        for part in _arrays.blocks(len(X), len(marks)):
            factor[part] = kernel(X[part], marks) @ root
        return factor


def _checked_kernel(kernel: Kernel, X: Array, Y: Array) -> Array:
    if not callable(kernel):
        raise TypeError(
            f"kernel must be a function (X, Y) -> matrix, got {type(kernel).__name__}; leave it out for Gaussian"
        )
    values = _domains.numbers(kernel(X, Y), "what kernel returns")
    if values.shape != (len(X), len(Y)) or not np.isfinite(values).all():
        raise ValueError(
            f"what kernel returns must be finite, of shape ({len(X)}, {len(Y)}), got shape {values.shape} "
            f"with {int((~np.isfinite(values)).sum())} entries that are not finite"
        )
    return values


def _product(kernel: Kernel, X: Array, b: Array) -> Array:
    """The exact kernel matrix times ``b``, a tile at a time; a tile and its mirror image are computed once."""
    product = np.zeros_like(b)
    tiles = list(_arrays.blocks(len(X), 2048))
    for at, rows in enumerate(tiles):
        for columns in tiles[at:]:
            tile = kernel(X[rows], X[columns])
            product[rows] += tile @ b[columns]
            if columns != rows:
                product[columns] += b[rows] @ tile
    return product
