"""Are the weights fit for use: their spread, what clipping costs, and whether they balance the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]


class ClippingCurve(NamedTuple):
    """What is left of weights that are clipped, one entry a cap."""

    caps: Array
    """Largest weight allowed, as a multiple of the mean, ascending."""
    effective_sample_sizes: Array
    """Effective number of rows after clipping."""
    mass_kept: Array
    """Share of the total weight that clipping leaves."""


class Balance(NamedTuple):
    """How far the source is from the target, feature by feature and as a whole, before and after weighting."""

    names: list[str]
    """Names of the features."""
    before: Array
    """Standardised mean differences of the plain source, shape ``(d,)``."""
    after: Array
    """Those of the weighted source, shape ``(d,)``."""
    mmd_before: float
    """Squared MMD of the plain source and the target."""
    mmd_after: float
    """Squared MMD of the weighted source and the target."""

    def __str__(self) -> str:
        width = max([len(name) for name in self.names] + [7])
        lines = [f"{'feature':<{width}}  before   after"]
        lines += [
            f"{name:<{width}}  {before:+.3f}  {after:+.3f}"
            for name, before, after in zip(self.names, self.before, self.after, strict=True)
        ]
        return "\n".join([*lines, f"{'MMD^2':<{width}}  {self.mmd_before:.4f}  {self.mmd_after:.4f}"])


def clipping_curve(weights: ArrayLike, *, caps: ArrayLike | None = None) -> ClippingCurve:
    """How clipping trades effective rows for weight that is lost.

    Args:
        weights: One weight a row, shape ``(n,)``.
        caps: Caps as multiples of the mean weight. Default: 30 in geometric steps from 1 to the largest weight.

    Returns:
        The curve. Without clipping the mass kept is 1.

    Raises:
        ValueError: If the weights are no non-negative vector with a positive sum, or a cap is not positive.

    Example:
        >>> curve = clipping_curve([0.0, 1.0, 3.0, 0.0], caps=[1.0, 3.0])  # clipped to (0, 1, 1, 0) first
        >>> curve.effective_sample_sizes, curve.mass_kept
        (array([2. , 1.6]), array([0.5, 1. ]))
    """
    w = _importance.row_weights(weights, "weights")
    w = _importance.scaled_to_mean_one(w)
    levels = np.sort(_arrays.candidates(caps, "caps", np.geomspace(1.0, max(w.max(), 1.0), 30)))
    clipped = [np.minimum(w, cap) for cap in levels]
    sizes = np.array([_importance.effective_sample_size(one) for one in clipped])
    return ClippingCurve(levels, sizes, np.array([one.sum() for one in clipped]) / w.sum())


def balance_table(
    source: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    bandwidth: float | None = None,
) -> Balance:
    r"""Standardised mean differences and MMD of source and target, before and after weighting.

    .. math:: d_j = \frac{\sum_i \bar w_i s_{ij} - \frac1m\sum_i t_{ij}}{\sqrt{(v_{s,j} + v_{t,j}) / 2}}

    with the variances (divisor ``n``) of the plain rows in both columns, so that they can be compared; values within
    0.1 are usually called balanced. The MMD is the biased estimate with a Gaussian kernel.

    Args:
        source: Source rows, shape ``(n, d)``.
        target: Target rows, shape ``(m, d)``.
        weights: One weight a source row, shape ``(n,)``.
        names: Names of the features. Default: the columns of a DataFrame, or ``x0``, ``x1``, ...
        bandwidth: Kernel width. Default: the root of the mean squared distance of the pooled sample.

    Returns:
        The table; printed, it has one line a feature.

    Raises:
        ValueError: If the domains are not finite matrices of one width, or the weights or names do not fit.

    Example:
        >>> table = balance_table([[0.0], [2.0]], [[1.0], [3.0]], [1.0, 3.0])  # 1 - 2 and 1.5 - 2, deviation 1
        >>> table.before, table.after
        (array([-1.]), array([-0.5]))
    """
    checker = _Columns()
    X, Z = _domains.two_domains(checker, source, target)
    w = _importance.row_weights(weights, "weights", len(X))
    columns = getattr(checker, "feature_names_in_", [f"x{j}" for j in range(X.shape[1])])
    labels = [str(name) for name in (columns if names is None else names)]
    if len(labels) != X.shape[1]:
        raise ValueError(f"names must have {X.shape[1]} entries, one a feature, got {len(labels)}")
    deviation = np.sqrt((_arrays.variances(X) + _arrays.variances(Z)) / 2)
    deviation[deviation == 0] = 1.0
    width = _arrays.mean_distance_bandwidth(X, Z) if bandwidth is None else bandwidth
    _arrays.positive(width, "bandwidth")
    plain = np.full(len(X), 1.0 / len(X))
    rows = np.concatenate([X, Z])
    shares = np.stack([np.r_[a, np.full(len(Z), -1.0 / len(Z))] for a in (plain, w / w.sum())], axis=1)
    mmd = np.zeros(2)
    for part in _arrays.blocks(len(rows), len(rows)):
        mmd += (shares[part] * (_arrays.gaussian_kernel(rows[part], rows, width) @ shares)).sum(axis=0)
    before, after = ((share @ X - Z.mean(axis=0)) / deviation for share in (plain, w / w.sum()))
    return Balance(labels, before, after, *(max(float(value), 0.0) for value in mmd))


class _Columns(BaseEstimator):  # type: ignore[misc]
    """Takes the place of an estimator in the check of two domains, which notes the names of columns on it."""


def plot_weights(weights: ArrayLike, *, ax: Any = None) -> Any:
    """Histogram of the weights with their effective sample size; returns the matplotlib axes.

    Args:
        weights: One weight a row, shape ``(n,)``.
        ax: Axes to draw on. Default: new ones.

    Example:
        >>> from matplotlib.figure import Figure
        >>> plot_weights([1.0, 1.0, 2.0], ax=Figure().subplots()).get_title()  # 16 / 6
        'effective sample size 3 of 3'
    """
    w = _importance.row_weights(weights, "weights")
    w = _importance.scaled_to_mean_one(w)
    ax = _axes(ax)
    ax.hist(w, bins=min(50, max(10, len(w) // 10)))
    ax.axvline(1.0, color="black", linewidth=0.8)
    ax.set(xlabel="weight (mean 1)", ylabel="rows", yscale="log")
    ax.set_title(f"effective sample size {_importance.effective_sample_size(w):.0f} of {len(w)}")
    return ax


def plot_clipping_curve(curve: ClippingCurve, *, ax: Any = None) -> Any:
    """Effective sample size and mass kept over the cap; returns the matplotlib axes.

    Args:
        curve: From :func:`clipping_curve`.
        ax: Axes to draw on. Default: new ones.

    Example:
        >>> from matplotlib.figure import Figure
        >>> plot_clipping_curve(clipping_curve([0.0, 1.0, 3.0]), ax=Figure().subplots()).get_ylabel()
        'effective sample size'
    """
    ax = _axes(ax)
    ax.plot(curve.caps, curve.effective_sample_sizes, color="C0")
    ax.set(xlabel="cap (multiple of the mean weight)", ylabel="effective sample size", xscale="log")
    other = ax.twinx()
    other.plot(curve.caps, curve.mass_kept, color="C1", linestyle="--")
    other.set(ylabel="share of the weight kept (dashed)", ylim=(0.0, 1.05))
    return ax


def plot_balance(balance: Balance, *, ax: Any = None) -> Any:
    """Standardised mean differences before and after weighting (a love plot); returns the matplotlib axes.

    Args:
        balance: From :func:`balance_table`.
        ax: Axes to draw on. Default: new ones.

    Example:
        >>> from matplotlib.figure import Figure
        >>> table = balance_table([[0.0], [2.0]], [[1.0], [3.0]], [1.0, 3.0])
        >>> plot_balance(table, ax=Figure().subplots()).get_xlabel()
        'standardised mean difference'
    """
    ax = _axes(ax)
    order = np.argsort(np.abs(balance.before))
    places = np.arange(len(order))
    ax.axvspan(-0.1, 0.1, color="0.9", zorder=0)
    ax.scatter(balance.before[order], places, facecolors="none", edgecolors="C0", label="before")
    ax.scatter(balance.after[order], places, color="C0", label="after")
    ax.set_yticks(places, [balance.names[j] for j in order])
    ax.set(xlabel="standardised mean difference")
    ax.set_title(f"squared MMD {balance.mmd_before:.4f} before, {balance.mmd_after:.4f} after")
    ax.legend()
    return ax


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
