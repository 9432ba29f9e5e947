"""Argument checks: every message names the argument, says what was expected and what came.

Shapes, dtypes and devices are always checked. Values (NaN, negative weights) are checked where reading them does not
make the host wait for a device: on CPU, in eager mode. On CUDA, under ``torch.compile`` and inside ``torch.func``
transforms NaN propagates unmasked, unless :func:`value_checks` turns the checks on.
"""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Iterator

import torch
from torch import Tensor, nn

_always_check_values = False

# The plain types first: an abstract one takes ten times as long to ask.
_NUMBERS = (float, int, numbers.Real)
_INTEGERS = (int, numbers.Integral)

_FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class NotFiniteError(ValueError, FloatingPointError):
    """Values are NaN, infinite or too large: of a call the argument is wrong, of a training it has diverged."""


@contextlib.contextmanager
def value_checks() -> Iterator[None]:
    """Check values on every device inside this context, at the price of one synchronisation a check.

    Example:
        >>> with value_checks():
        ...     finite(torch.ones(2), "source")
    """
    global _always_check_values
    before, _always_check_values = _always_check_values, True
    try:
        yield
    finally:
        _always_check_values = before


def values_are_checked(x: Tensor) -> bool:
    """Whether the values of ``x`` may be read here: eager CPU tensors, or anything inside :func:`value_checks`."""
    functorch = torch._C._functorch
    if (
        torch.compiler.is_compiling()
        or functorch.is_functorch_wrapped_tensor(x)
        or functorch.is_legacy_batchedtensor(x)
    ):
        return False
    return x.device.type == "cpu" or (_always_check_values and not x.is_meta)


def tensor(x: object, name: str) -> None:
    """Raise ``TypeError`` unless ``x`` is a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")


def floating(x: object, name: str) -> None:
    """Raise unless ``x`` is a dense tensor of float16, bfloat16, float32 or float64."""
    tensor(x, name)
    assert isinstance(x, Tensor)
    if x.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {x.layout}; convert it with {name}.to_dense()")
    if x.dtype not in _FLOATING:
        wanted = "dtype float16, bfloat16, float32 or float64" if x.is_floating_point() else "a floating-point dtype"
        raise TypeError(f"{name} must have {wanted}, got {x.dtype}; convert it with {name}.float()")


def finite(x: Tensor, name: str) -> None:
    """Raise unless every entry of ``x`` is finite, where values are checked."""
    if not values_are_checked(x) or math.isfinite(x.detach().sum()):  # a finite sum has finite parts, and is cheaper
        return
    if not bool(torch.isfinite(x).all()):
        raise NotFiniteError(f"{name} must be finite, got NaN or infinity in {int((~torch.isfinite(x)).sum())} entries")


def finite_loss(value: Tensor, source: Tensor, target: Tensor) -> None:
    """Raise unless a loss is finite, where values are checked: its samples are only looked at when it is not.

    For losses that are finite of no sample with NaN or infinity; then this spares a pass over the rows.
    """
    if not values_are_checked(value) or math.isfinite(value.detach()):
        return
    finite(source, "source")
    finite(target, "target")
    largest = max(float(rows.detach().abs().max()) for rows in (source, target))
    raise NotFiniteError(
        f"source and target must be small enough for the loss to be a {value.dtype}, got entries up to {largest:.1e}; "
        f"scale the features down or use float64"
    )


def matrix(x: object, name: str, *, min_rows: int = 1, values: bool = True) -> None:
    """Raise unless ``x`` is a floating-point matrix with at least ``min_rows`` rows, and finite where ``values``."""
    floating(x, name)
    assert isinstance(x, Tensor)
    if x.ndim != 2:
        raise ValueError(f"{name} must have shape (rows, features), got {tuple(x.shape)}; flatten it first")
    if x.shape[0] < min_rows:
        raise ValueError(f"{name} must have at least {min_rows} row{'s' * (min_rows > 1)}, got {x.shape[0]}")
    if x.shape[1] == 0:
        raise ValueError(f"{name} must have at least one feature, got shape {tuple(x.shape)}")
    if values:
        finite(x, name)


def layers(source: object, target: object) -> None:
    """Raise unless both are tuples of as many floating-point matrices, those of a domain with one number of rows."""
    for found, name in ((source, "source"), (target, "target")):
        if not isinstance(found, tuple | list):
            raise TypeError(f"{name} must be a tuple of matrices, one a layer, got {type(found).__name__}")
        if len(found) == 0:
            raise ValueError(f"{name} must have at least one layer, got none")
        for layer in found:
            matrix(layer, name, values=False)
        if len({len(layer) for layer in found}) > 1:
            raise ValueError(f"{name} must have one number of rows in all layers, got {[len(x) for x in found]}")
        if len({layer.dtype for layer in found}) > 1:
            raise TypeError(f"{name} must have one dtype in all layers, got {[str(layer.dtype) for layer in found]}")
    assert isinstance(source, tuple | list)
    assert isinstance(target, tuple | list)
    if len(source) != len(target):
        raise ValueError(f"source and target must have one number of layers, got {len(source)} and {len(target)}")


def refuse_overflow(rows: Tensor) -> None:
    """Raise: the squared distances of these finite rows are beyond their dtype."""
    raise NotFiniteError(
        f"source and target must have squared distances below {torch.finfo(rows.dtype).max:.1g}, the largest "
        f"{rows.dtype}, got entries up to {float(rows.detach().abs().max()):.1e}; scale the features down or use float64"
    )


def same_kind(source: Tensor, target: Tensor, names: tuple[str, str] = ("source", "target")) -> None:
    """Raise unless both tensors share dtype and device."""
    if source.device != target.device:
        raise ValueError(f"{names[0]} and {names[1]} must be on one device, got {source.device} and {target.device}")
    if source.dtype != target.dtype:
        raise TypeError(f"{names[0]} and {names[1]} must have one dtype, got {source.dtype} and {target.dtype}")


def two_samples(source: object, target: object, *, min_rows: int = 1, values: bool = True) -> None:
    """Raise unless both are matrices of one width, dtype and device, each with at least ``min_rows`` rows."""
    matrix(source, "source", min_rows=min_rows, values=values)
    matrix(target, "target", min_rows=min_rows, values=values)
    assert isinstance(source, Tensor)
    assert isinstance(target, Tensor)
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source and target must have the same number of features, got {source.shape[1]} and {target.shape[1]}"
        )
    same_kind(source, target)


def row_weights(weights: object, rows: Tensor, name: str, *, all_zero: bool = False) -> None:
    """Raise unless ``weights`` is one non-negative finite number a row of ``rows``, not all zero unless that may be."""
    floating(weights, name)
    assert isinstance(weights, Tensor)
    if weights.shape != rows.shape[:1]:
        raise ValueError(f"{name} must have shape ({rows.shape[0]},), one weight a row, got {tuple(weights.shape)}")
    if weights.device != rows.device:
        raise ValueError(f"{name} must be on {rows.device} like its rows, got {weights.device}")
    finite(weights, name)
    if values_are_checked(weights):
        if bool((weights < 0).any()):
            raise ValueError(f"{name} must not be negative, got a smallest weight of {float(weights.min()):g}")
        if not all_zero and bool((weights == 0).all()):
            raise ValueError(f"{name} must not be all zero, got a sum of 0")


def labels(labels: object, classes: int, rows: Tensor, name: str) -> None:
    """Raise unless ``labels`` is one integer in ``[0, classes)`` a row of ``rows``."""
    tensor(labels, name)
    assert isinstance(labels, Tensor)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name} must have an integer dtype, got {labels.dtype}")
    if labels.shape != rows.shape[:1]:
        raise ValueError(f"{name} must have shape ({rows.shape[0]},), one label a row, got {tuple(labels.shape)}")
    if labels.device != rows.device:
        raise ValueError(f"{name} must be on {rows.device} like its rows, got {labels.device}")
    if values_are_checked(labels) and labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise ValueError(f"{name} must lie in 0..{classes - 1}, got values in {int(labels.min())}..{int(labels.max())}")


def takes(module: nn.Module, width: int, name: str) -> None:
    """Raise if a plain stack of layers takes another number of features; of other modules torch's own error has to do."""
    first = next(iter(module), None) if isinstance(module, nn.Sequential) else module
    if isinstance(first, nn.Linear) and not isinstance(first, nn.LazyLinear) and first.in_features != width:
        raise ValueError(
            f"{name} must take the {width} features that it is given, got {first.in_features} inputs; "
            f"build it for the width of the features"
        )


def one_a_row(made: object, rows: int, name: str) -> Tensor:
    """What a network made of some rows, as shape ``(rows,)``; raise unless it is one number for each."""
    if not isinstance(made, Tensor) or made.shape not in ((rows,), (rows, 1)):
        got = f"shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise ValueError(f"{name} must return one number for each of {rows} rows, got {got}")
    return made.reshape(rows)


def number(value: object, name: str) -> None:
    """Raise unless ``value`` is a real number, of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")


def positive(value: float, name: str) -> None:
    """Raise unless ``value`` is a positive finite number."""
    number(value, name)
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value:g}")


def not_negative(value: float, name: str) -> None:
    """Raise unless ``value`` is a finite number that is not negative."""
    number(value, name)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be finite and not negative, got {value:g}")


def generator(value: object) -> None:
    """Raise unless ``value`` is a generator of random numbers, or ``None``."""
    if not (value is None or isinstance(value, torch.Generator)):
        raise TypeError(f"generator must be a torch.Generator, got {type(value).__name__}; seed one with manual_seed")


def dropout(value: float) -> None:
    """Raise unless ``value`` is a number in ``[0, 1)``."""
    number(value, "dropout")
    if not 0 <= value < 1:
        raise ValueError(f"dropout must be in [0, 1), got {value:g}")


def at_least(value: int, least: int, name: str) -> None:
    """Raise unless ``value`` is an integer of at least ``least``, of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, _INTEGERS):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
