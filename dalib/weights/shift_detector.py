"""Is there a shift, and would another mix of the classes explain it?"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from dalib.weights import _arrays, _box_slab, _domains, _label_shift
from dalib.weights._box_slab_solver import solve

Array = NDArray[np.float64]

_MOST_ROWS = 30_000  # a kernel matrix of 7 GB
_SAME = (
    1e-8  # statistics of a kernel of at most 1 that differ by less are equal: rounding and the solver tell them apart
)


class ShiftDetector(BaseEstimator):  # type: ignore[misc]
    r"""Two tests on labelled source rows and unlabelled target rows: any shift, and more than label shift.

    Label shift says that the target is a mixture of the source's classes, :math:`p_t(x) = \sum_c q_c\, p_s(x|c)`.
    That can be refuted without target labels. Covariate shift (the labels depend on x as before) cannot: any
    :math:`p_t(x)` agrees with it. So the verdict goes by the simplest explanation that is not refuted:

    - ``"none"``: the plain test finds no difference between the domains;
    - ``"label"``: there is a difference, and reweighting the classes explains it;
    - ``"covariate"``: reweighting the classes does not explain it; the features of some class have changed.

    **Plain test**: the squared MMD of the domains against permutations of the pooled rows. **Label-shift test**: the
    source is halved within each class. The statistic is the least squared MMD between a mixture of the classes of the
    first half and the target; under the hypothesis it is that of a target drawn from the second half with the
    estimated shares, refitted each time (a bootstrap with estimated parameters). The kernel is Gaussian.

    Args:
        level: A p-value at or below it refutes. Default 0.05.
        resamples: Permutations, and bootstrap targets; at least ``1 / level - 1``. Default 200.
        bandwidth: Kernel width. Default: half the root of the mean squared distance of the pooled sample.
        random_state: Seed. Default 0.

    Attributes:
        verdict_: ``"none"``, ``"label"`` or ``"covariate"``.
        shift_p_value_: p-value of "both domains have one distribution", at least ``1 / (resamples + 1)``.
        label_shift_p_value_: p-value of "the target is a mixture of the source's classes".
        target_prior_: Shares of the classes in the target if there is label shift alone.
        classes_: The sorted labels.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, a class has fewer than two rows, or an option
            is out of range.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> labels = np.repeat([0, 1], 100)
        >>> source = rng.normal(size=(200, 1)) + 4 * labels[:, None]
        >>> detector = ShiftDetector().fit(source, labels, rng.normal(size=(100, 1)))  # class 0 alone
        >>> detector.verdict_, detector.target_prior_.round(1)
        ('label', array([1., 0.]))
    """

    def __init__(
        self,
        *,
        level: float = 0.05,
        resamples: int = 200,
        bandwidth: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.level = level
        self.resamples = resamples
        self.bandwidth = bandwidth
        self.random_state = random_state

    def fit(self, source: ArrayLike, source_labels: ArrayLike, target: ArrayLike) -> Self:
        """Run both tests on source rows with labels and target rows without."""
        X, Z = _domains.two_domains(self, source, target)
        if not 0.0 < _arrays.number(self.level, "level") < 1.0:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}")
        _arrays.whole(self.resamples, "resamples", least=1)
        if 1.0 / (self.resamples + 1) > self.level:
            raise ValueError(
                f"resamples must be at least 1 / level - 1, or no p-value is as low as the level of {self.level:g}, "
                f"got {self.resamples}"
            )
        if self.bandwidth is not None:
            _arrays.positive(self.bandwidth, "bandwidth")
        count = len(_label_shift.distinct(np.asarray(source_labels)))
        codes, self.classes_ = _label_shift.encoded(source_labels, len(X), count, None)
        rows_of_class = np.bincount(codes)
        if rows_of_class.min() < 2:
            fewest = self.classes_.tolist()[rows_of_class.argmin()]
            raise ValueError(f"every class must have at least two source rows, got 1 of {fewest!r}")
        if len(X) + len(Z) > _MOST_ROWS:
            raise ValueError(
                f"source and target must have at most {_MOST_ROWS} rows together, as their kernel matrix is held whole, "
                f"got {len(X) + len(Z)}; test a random sample of both"
            )
        half = 0.5 * _arrays.mean_distance_bandwidth(X, Z)
        pooled = np.concatenate([X, Z])
        kernel = _arrays.gaussian_kernel(pooled, pooled, half if self.bandwidth is None else self.bandwidth)
        rng = check_random_state(self.random_state)
        self.shift_p_value_ = self._plain_test(kernel, len(X), rng)
        self.label_shift_p_value_, self.target_prior_ = self._label_shift_test(kernel, codes, rng)
        explained = "label" if self.label_shift_p_value_ > self.level else "covariate"
        self.verdict_ = "none" if self.shift_p_value_ > self.level else explained
        return self

    def _plain_test(self, kernel: Array, n: int, rng: Any) -> float:
        signs = np.r_[np.full(n, 1.0 / n), np.full(len(kernel) - n, -1.0 / (len(kernel) - n))]
        shuffled = np.stack([signs] + [rng.permutation(signs) for _ in range(self.resamples)], axis=1)
        statistics = np.einsum("ij,ij->j", shuffled, kernel @ shuffled)
        return _p_value(statistics[0], statistics[1:])

    def _label_shift_test(self, kernel: Array, codes: NDArray[np.int64], rng: Any) -> tuple[float, Array]:
        n, count = len(codes), int(codes.max()) + 1
        shuffled = [rng.permutation(np.flatnonzero(codes == one)) for one in range(count)]
        reference = [rows[: len(rows) // 2] for rows in shuffled]
        pool = [rows[len(rows) // 2 :] for rows in shuffled]
        mixing = np.zeros((n, count))
        for one, rows in enumerate(reference):
            mixing[rows, one] = 1.0 / len(rows)
        gram = mixing.T @ kernel[:n, :n] @ mixing
        at_target = np.arange(n, len(kernel))
        observed, shares = _mixture_distance(kernel, gram, mixing, at_target)
        bootstrap = np.empty(self.resamples)
        for one in range(self.resamples):
            counts = rng.multinomial(len(at_target), shares / shares.sum())
            drawn = np.concatenate([rows[rng.randint(len(rows), size=k)] for rows, k in zip(pool, counts, strict=True)])
            bootstrap[one] = _mixture_distance(kernel, gram, mixing, drawn)[0]
        return _p_value(observed, bootstrap), shares


def _mixture_distance(kernel: Array, gram: Array, mixing: Array, rows: NDArray[np.int64]) -> tuple[float, Array]:
    """The least squared MMD between a mixture of classes and ``rows``, and the shares of the classes."""
    linear = mixing.T @ kernel[: len(mixing), rows].mean(axis=1)
    program = _box_slab.Program(linear, _box_slab.BoxSlab(1.0, 1.0, 1.0), gram)
    solution = solve(program, tolerance=1e-9, max_iterations=1000)
    return 2.0 * solution.value + float(kernel[np.ix_(rows, rows)].mean()), solution.point


def _p_value(observed: float, under_hypothesis: Array) -> float:
    """Share of the statistics, the observed one among them, that are as large as it or equal to it but for rounding."""
    return float((1 + (under_hypothesis >= observed - _SAME).sum()) / (1 + len(under_hypothesis)))
