"""float32 islands: losses compute in float32 or better, whatever autocast or the dtype of the features asks for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_HALF = (torch.float16, torch.bfloat16)


def float32_island(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` with autocast off and with float16 and bfloat16 arguments promoted to float32.

    Sums of thousands of products overflow in float16 and lose all digits in bfloat16, so a discrepancy of
    half-precision features is computed, and returned, in float32. The gradient comes back in the features' dtype.

    Example:
        >>> @float32_island
        ... def total(x: Tensor) -> Tensor:
        ...     return x.sum()
        >>> total(torch.ones(3, dtype=torch.float16)).dtype
        torch.float32
    """

    @functools.wraps(function)
    def island(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = _tensors([*args, *kwargs.values()])
        device = tensors[0].device.type if tensors else "cpu"
        # Leaving autocast costs as much as some losses of a small batch, so it is done only where autocast is on.
        leave = torch.autocast(device, enabled=False) if _autocast(device) else contextlib.nullcontext()
        with leave:
            if all(x.dtype not in _HALF for x in tensors) or _two_kinds(*_samples(args, kwargs)):
                return function(*args, **kwargs)
            return function(*map(_promote, args), **{name: _promote(x) for name, x in kwargs.items()})

    return island


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among the values, and in the tuples and lists among them."""
    found: list[Tensor] = []
    for x in values:
        if isinstance(x, Tensor):
            found.append(x)
        elif isinstance(x, tuple | list):
            found += _tensors(x)
    return found


def _autocast(device: str) -> bool:
    """Whether autocast is on for a type of device; some types, such as meta, have none."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _samples(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The first two arguments, or those that are called source and target."""
    first, second, *_ = *args[:2], None, None
    return kwargs.get("source", first), kwargs.get("target", second)


def _two_kinds(first: Any, second: Any) -> bool:
    """Whether two samples, or any layer of them, differ in dtype, which the function refuses by the arguments' names."""
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return any(map(_two_kinds, first, second))
    both = isinstance(first, Tensor) and isinstance(second, Tensor)
    return both and first.dtype != second.dtype and first.is_floating_point() and second.is_floating_point()


def _promote(x: Any) -> Any:
    if isinstance(x, Tensor) and x.dtype in _HALF:
        return x.float()
    if isinstance(x, tuple | list):
        parts = [_promote(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)  # a named tuple takes its fields
    return x
