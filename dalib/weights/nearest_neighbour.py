"""Nearest-neighbour weights: how many target rows each source row stands for."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

from dalib.weights import _arrays, _domains, _importance

_REMEDY = "raise smoothing, or use an estimator that shares a target row among its neighbours"


class NearestNeighbourWeights(BaseEstimator):  # type: ignore[misc]
    r"""The number of target rows in the Voronoi cell of each source row [1]_.

    .. math:: w_i \propto \lambda + \#\{j : s_i \text{ is the source row nearest to } t_j\}

    Equal source rows share their cell. There is no kernel and nothing to tune; rows of empty cells get weight 0 by
    default. Weights exist for the source rows only.

    Distances are taken as they are: standardise features of different scales first.

    Args:
        smoothing: The count :math:`\lambda \ge 0` that every row starts with; 1 is Laplace's. Default 0.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        counts_: Target rows in the cell of each source row, shape ``(n,)``; they sum to the number of target rows.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or lies on a device other than the CPU.
        ValueError: If a domain is not a finite matrix, the widths differ, or ``smoothing`` is negative.

    References:
        .. [1] Loog. Nearest Neighbor-Based Importance Weighting. IEEE Workshop on Machine Learning for Signal
            Processing, 2012.

    Example:
        >>> NearestNeighbourWeights().fit([[0.0], [1.0]], [[0.1], [0.8], [0.9], [3.0]]).weights_  # 1 and 3 of 4
        array([0.5, 1.5])

    Note:
        skada adds 1 to every count by default, ADAPT nothing.
    """

    def __init__(self, *, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        if not 0.0 <= _arrays.number(self.smoothing, "smoothing") < math.inf:
            raise ValueError(f"smoothing must be at least 0 and finite, got {self.smoothing}")
        places, place_of_row, sharing = np.unique(X, axis=0, return_inverse=True, return_counts=True)
        middle = np.median(places, axis=0)  # far from the data scikit-learn's products of rows lose the distances
        neighbours = NearestNeighbors(n_neighbors=1).fit(places - middle)
        nearest = neighbours.kneighbors(Z - middle, return_distance=False)[:, 0]
        cells = np.bincount(nearest, minlength=len(places)) / sharing
        self.counts_ = cells[place_of_row.ravel()]
        self.weights_, _ = _importance.mean_one(self.counts_ + self.smoothing, remedy=_REMEDY)
        return self
