"""float32 islands: losses compute in float32 or better, whatever autocast or the dtype of the features asks for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")

_HALF = (torch.float16, torch.bfloat16)


def float32_island(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
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
    def island(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        tensors = _tensors([*args, *kwargs.values()])
        device = tensors[0].device.type if tensors else "cpu"
        # Leaving autocast costs as much as some losses of a small batch, so it is done only where autocast is on.
        leave = torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()
        with leave:
            if all(x.dtype not in _HALF for x in tensors) or _two_kinds(args[:2]):
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


def _two_kinds(samples: Sequence[Any]) -> bool:
    """Whether the samples differ in their dtype, which the function refuses by the arguments' names."""
    return len({x.dtype for x in samples if isinstance(x, Tensor) and x.is_floating_point()}) > 1


def _promote(x: Any) -> Any:
    if isinstance(x, Tensor) and x.dtype in _HALF:
        return x.float()
    if isinstance(x, tuple | list) and not hasattr(x, "_fields"):
        return type(x)(_promote(part) for part in x)
    return x
