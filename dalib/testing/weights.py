"""The contract of an estimator of importance weights, as a check to run on one of your own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def check_weights(estimator: Any, *, seed: int = 0) -> None:
    """Check what every estimator of importance weights promises, on two normal distributions of known ratio.

    The estimator is cloned and fitted on samples of N(0, 1) and N(1, 1), whose log ratio is ``x`` up to
    a constant. It passes if

    - for any number of source rows there is one finite, non-negative weight for each, and their mean is one
      (a ``ValueError`` for 1 or 7 rows passes, too);
    - the direction is right: the weighted source mean lies nearer to the target's than to the plain source's, and
      where the estimator weighs new rows (it has ``predict``), its weights have a rank correlation above 0.95 with
      the true ratio, and ``predict`` of the source rows gives ``weights_``, or their order if these are cross-fitted;
    - without a shift the weights stay effective on at least half of the rows (a tenth, where it has no ``predict``);
    - fitting twice gives the same weights, and source rows in another order the same weights in that order;
    - equal rescaling and moving of both domains changes nothing that matters (rank correlation above 0.95, or the
      weighted mean moves along);
    - it can be cloned, and its parameters are not touched by ``fit``.

    Args:
        estimator: An estimator with ``fit(source, target)`` and ``weights_``, unfitted.
        seed: Seed of the samples.

    Raises:
        AssertionError: At the first promise that is broken; the message says which, and what came.

    Example:
        >>> from dalib.weights import DomainClassifierWeights
        >>> check_weights(DomainClassifierWeights())
    """
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(600, 1)), rng.normal(size=(500, 1)) + 1.0
    fitted = _fit(estimator, source, target)
    weights = np.asarray(fitted.weights_)
    _check_form(weights, len(source))
    _check_direction(fitted, weights, source, target, source[:, 0])
    same = _fit(estimator, source, rng.normal(size=(500, 1)))
    effective = float(same.weights_.sum() ** 2 / (same.weights_**2).sum())
    _expect(
        effective >= (len(source) / 2 if hasattr(fitted, "predict") else len(source) / 10),
        f"without a shift the weights must stay near one, got an effective sample size of {effective:.0f} of 600",
    )
    again = _fit(estimator, source, target).weights_
    _expect(np.array_equal(again, weights), "fitting twice must give the same weights; set random_state")
    order = rng.permutation(len(source))
    reordered = _fit(estimator, source[order], target).weights_
    change = float(np.abs(reordered - weights[order]).max())
    scale = float(weights.max())
    _expect(
        change <= 0.02 * scale or _rank_correlation(reordered, weights[order]) > 0.95,
        f"source rows in another order must keep their weights, got a change of {change:g}",
    )
    moved = _fit(estimator, 100.0 * source + 1e4, 100.0 * target + 1e4)
    _check_direction(moved, moved.weights_, source, target, source[:, 0], predicts=False)
    for count in (1, 7, 101):
        try:
            few = _fit(estimator, source[:count], target)
        except ValueError:  # an error that says so is as good as weights
            if count > 7:
                raise
            continue
        _check_form(np.asarray(few.weights_), count)


def _fit(estimator: Any, source: Array, target: Array) -> Any:
    from sklearn.base import clone

    fresh = clone(estimator)
    before = repr(fresh.get_params())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fresh.fit(source, target)
    _expect(fitted is fresh, "fit must return the estimator itself")
    _expect(repr(fresh.get_params()) == before, "fit must not change the parameters")
    return fitted


def _check_form(weights: Array, count: int) -> None:
    _expect(weights.shape == (count,), f"weights_ must have shape ({count},), one a source row, got {weights.shape}")
    _expect(bool(np.isfinite(weights).all()), "weights_ must be finite")
    _expect(bool((weights >= 0).all()), f"weights_ must not be negative, got {weights.min():g}")
    _expect(abs(float(weights.mean()) - 1.0) < 1e-6, f"weights_ must have mean one, got {weights.mean():g}")


def _check_direction(
    fitted: Any, weights: Array, source: Array, target: Array, log_ratio: Array, *, predicts: bool = True
) -> None:
    mean = np.average(source, axis=0, weights=weights)
    before = float(np.linalg.norm(source.mean(axis=0) - target.mean(axis=0)))
    after = float(np.linalg.norm(mean - target.mean(axis=0)))
    _expect(
        after < 0.75 * before,
        f"weighting must move the source mean towards the target's, got a distance of {after:.3f}, {before:.3f} before"
        + ("; the ratio looks inverted" if after > before else ""),
    )
    if not hasattr(fitted, "predict"):
        return
    correlation = _rank_correlation(weights, log_ratio)
    _expect(correlation > 0.95, f"the rank correlation with the true ratio must exceed 0.95, got {correlation:.3f}")
    if predicts:
        change = float(np.abs(fitted.predict(source) - weights).max())
        _expect(
            change < 1e-6 * float(weights.max()) or _rank_correlation(fitted.predict(source), weights) > 0.95,
            f"predict of the source rows must give weights_, got a change of {change:g}",
        )


def _rank_correlation(one: Array, other: Array) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def _expect(kept: bool, promise: str) -> None:
    if not kept:
        raise AssertionError(promise)
