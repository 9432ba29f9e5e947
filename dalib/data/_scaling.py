"""The normalisations that published tables of features start from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def row_shares(x: NDArray[Any]) -> NDArray[np.float64]:
    """Every row divided by its sum: counts become shares. A row of zeros stays.

    Example:
        >>> row_shares(np.array([[1, 3], [0, 0]])).tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    x = np.asarray(x, dtype=np.float64)
    sums = x.sum(axis=1, keepdims=True)
    return x / np.where(sums == 0, 1, sums)


def unit_rows(x: NDArray[Any]) -> NDArray[np.float64]:
    """Every row divided by its Euclidean length. A row of zeros stays.

    Example:
        >>> unit_rows(np.array([[3, 4], [0, 0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    x = np.asarray(x, dtype=np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(lengths == 0, 1, lengths)


def z_scores(x: NDArray[Any]) -> NDArray[np.float64]:
    """Every column with mean 0 and standard deviation 1 (that of the population); a constant column becomes 0.

    Example:
        >>> z_scores(np.array([[0, 7], [2, 7]])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    x = np.asarray(x, dtype=np.float64)
    constant = x.max(axis=0) == x.min(axis=0)  # the computed deviation of a constant column may be rounding
    scores: NDArray[np.float64] = (x - x.mean(axis=0)) / np.where(constant, 1, x.std(axis=0))
    return np.where(constant, 0, scores)
