"""Folds that carry equal weight, so that importance-weighted cross-validation has no empty ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples

from dalib.weights import _importance

Rows = NDArray[np.int64]


class WeightedKFold:
    r"""A scikit-learn splitter whose folds have equal numbers of rows and nearly equal total weight.

    Where a few rows carry much of the weight, random folds differ widely in it: a fold's weighted score rests on one
    row, or there is no weight at all. Here rows are dealt in rounds, from the heaviest down, one to each fold, the
    heavier ones of a round to the folds that have least; so totals differ by at most the largest weight. With equal
    totals the mean of :func:`importance_weighted_scorer` over the folds is the weighted score of all rows. Rows of
    equal weight are dealt at random; with equal weights it is a shuffled ``KFold``.

    Args:
        weights: One weight a row, shape ``(n,)``, such as ``ratio.weights_``: not negative, not all zero.
        n_splits: Number of folds, at least 2. Default 5.
        random_state: Seed of the order of equal rows. Default 0: each call gives the same folds.

    Raises:
        TypeError: If ``n_splits`` is no integer.
        ValueError: If the weights are not a vector of non-negative finite numbers with a positive sum, or there are fewer
            rows than folds; in ``split``, if X does not have one row a weight.

    Example:
        >>> folds = WeightedKFold([4.0, 3.0, 1.0, 0.0], n_splits=2)
        >>> [test.tolist() for train, test in folds.split(np.zeros((4, 1)))]  # 4 + 0 and 3 + 1
        [[0, 3], [1, 2]]
    """

    def __init__(
        self, weights: ArrayLike, n_splits: int = 5, *, random_state: int | np.random.RandomState | None = 0
    ) -> None:
        self.weights = _importance.scaled_to_mean_one(_importance.row_weights(weights, "weights"))
        if isinstance(n_splits, bool) or not isinstance(n_splits, int | np.integer):
            raise TypeError(f"n_splits must be an integer, got {type(n_splits).__name__}")
        if not 2 <= n_splits <= len(self.weights):
            raise ValueError(f"n_splits must lie between 2 and the {len(self.weights)} rows, got {n_splits}")
        self.n_splits, self.random_state = int(n_splits), random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:
        """Pairs of the rows to train on and the rows to score, both in ascending order."""
        rows = _num_samples(X)
        if rows != len(self.weights):
            raise ValueError(f"X must have {len(self.weights)} rows, one a weight, got {rows}")
        fold = self._folds()
        for one in range(self.n_splits):
            yield np.flatnonzero(fold != one), np.flatnonzero(fold == one)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def _folds(self) -> Rows:
        rng = check_random_state(self.random_state)
        shuffled = rng.permutation(len(self.weights))
        heaviest = shuffled[np.argsort(-self.weights[shuffled], kind="stable")]
        totals, fold = np.zeros(self.n_splits), np.empty(len(self.weights), dtype=np.int64)
        for start in range(0, len(heaviest), self.n_splits):
            rows = heaviest[start : start + self.n_splits]
            lightest = np.argsort(totals, kind="stable")[: len(rows)]
            fold[rows] = lightest
            totals[lightest] += self.weights[rows]
        return fold

    def __repr__(self) -> str:
        return f"WeightedKFold({len(self.weights)} weights, n_splits={self.n_splits})"
