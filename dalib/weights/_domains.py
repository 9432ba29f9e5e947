"""The door of every scikit-learn style estimator: two domains as finite matrices, or an error that names the mend."""

from __future__ import annotations

import warnings
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LARGEST, SMALLEST = 1e140, 1e-140  # beyond them sums of squares overflow or vanish


def two_domains(estimator: Any, source: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """Both domains as finite float64 matrices of one width; the estimator learns its number and names of features.

    Lists, arrays, DataFrames and CPU tensors are taken; the columns of two DataFrames must bear the same names in
    the same order. A feature whose values leave a wide gap between the domains is warned of.
    """
    source, target = _dense(source, "source"), _dense(target, "target")
    widths = np.shape(source)[1], np.shape(target)[1]
    if widths[0] != widths[1]:
        raise ValueError(f"source and target must have the same number of features, got {widths[0]} and {widths[1]}")
    same_columns(target, getattr(source, "columns", None), "target", "source")
    X = _matrix(estimator, source, "source", reset=True)
    Z = _matrix(estimator, target, "target", reset=False)
    low, high = np.minimum(X.min(axis=0), Z.min(axis=0)), np.maximum(X.max(axis=0), Z.max(axis=0))
    spread = float((high - low).max())
    if 0 < spread < SMALLEST:
        raise ValueError(
            f"source and target must vary by at least {SMALLEST:g} in some feature, got {spread:.1e}; scale them up"
        )
    if min(len(X), len(Z)) > 1:
        _warn_of_a_gap(estimator, X, Z, high - low)
    return X, Z


def _warn_of_a_gap(estimator: Any, X: Array, Z: Array, spread: Array) -> None:
    """Warn where the domains lie so far apart in a feature that the gap is wider than both of them together."""
    apart = np.flatnonzero(spread > 2.0 * (np.ptp(X, axis=0) + np.ptp(Z, axis=0)))
    if len(apart):
        at = int(apart[0])
        name = getattr(estimator, "feature_names_in_", np.arange(X.shape[1]))[at]
        warnings.warn(
            f"source and target do not overlap in {len(apart)} of {X.shape[1]} features, got from {X[:, at].min():g} to "
            f"{X[:, at].max():g} and from {Z[:, at].min():g} to {Z[:, at].max():g} in feature {name}: no weights make up "
            "for inputs that the source lacks; drop features that tell the domain, or standardise each domain",
            UserWarning,
            stacklevel=4,
        )


def rows(estimator: Any, X: ArrayLike) -> Array:
    """New rows as a finite float64 matrix of the width that the estimator was fitted on."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    return _matrix(estimator, _dense(X, "X"), "X", reset=False)


def _matrix(estimator: Any, values: Any, name: str, *, reset: bool) -> Array:
    from sklearn.utils.validation import validate_data

    if not reset:
        same_columns(values, getattr(estimator, "feature_names_in_", None), name, "source")
    try:
        matrix: Array = validate_data(estimator, X=values, reset=reset, dtype=np.float64, ensure_all_finite=False)
    except (TypeError, ValueError) as problem:
        if "features" in str(problem):  # scikit-learn's words on their number and their names are clear
            raise
        reason = str(problem).splitlines()[0]
        raise type(problem)(
            f"{name} must hold real numbers, got other values ({reason}); encode text and categories first, for example "
            "with sklearn.preprocessing.OneHotEncoder"
        ) from problem
    finite = np.isfinite(matrix)
    if not finite.all():
        raise ValueError(
            f"{name} must be finite, got NaN or infinity (inf) in {int((~finite).sum())} entries; "
            "impute them first, for example with sklearn.impute.SimpleImputer"
        )
    largest = max(float(matrix.max()), -float(matrix.min()))
    if largest > LARGEST:
        raise ValueError(f"{name} must have entries up to {LARGEST:g}, got {largest:.1e}; scale the features down")
    return matrix


def same_columns(values: Any, names: Any, name: str, owner: str) -> None:
    """Raise where ``values`` is a frame, and its columns are not ``names``, those of the owner, in the same order."""
    if names is None or not hasattr(values, "columns"):
        return
    for got, wanted in zip_longest(values.columns, names):
        if got != wanted:
            raise ValueError(
                f"{name} must have the columns of {owner} in the same order, got {got!r} where it has {wanted!r}; "
                f"pass {name}[{owner}.columns]"
            )


def _dense(values: Any, name: str) -> Any:
    """What scikit-learn can read as a matrix with rows and features; raise otherwise."""
    values = readable(values, name)
    shape = np.shape(values)
    if shape == ():
        raise TypeError(f"{name} must be an array of shape (rows, features), got {type(values).__name__}")
    if len(shape) != 2:
        raise ValueError(
            f"{name} must have shape (rows, features), got {tuple(shape)}. Reshape your data: "
            f"{name}.reshape(-1, 1) makes one column, {name}.reshape(len({name}), -1) flattens the rest"
        )
    if 0 in shape:
        raise ValueError(f"{name} must have at least one row and one feature, got shape {tuple(shape)}")
    return values


def readable(values: Any, name: str) -> Any:
    """The values where NumPy can read them, whatever their shape; tensors as arrays, masked entries as NaN."""
    if hasattr(values, "toarray"):
        raise TypeError(f"{name} must be dense, got a sparse {type(values).__name__}; pass {name}.toarray()")
    try:
        np.shape(values)
    except ValueError as problem:
        raise ValueError(f"{name} must have rows of one length, got rows of different lengths") from problem
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    if not (hasattr(values, "requires_grad") and hasattr(values, "device")):
        return values
    if values.device.type != "cpu" or values.requires_grad:
        raise TypeError(
            f"{name} must be an array or a detached CPU tensor, got a tensor on {values.device}"
            f"{' that requires grad' if values.requires_grad else ''}; pass {name}.detach().cpu().numpy()"
        )
    return values.double().numpy()


def numbers(values: Any, name: str) -> Array:
    """The values as a float64 array of any shape; raise unless they are real numbers."""
    values = readable(values, name)
    try:
        if np.iscomplexobj(values):
            raise TypeError("complex ones")
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"{name} must hold real numbers, got other values ({problem})") from problem
