"""A loss under check, its batches, and what the checks ask with."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from dalib.testing.loss_inputs import Call, Inputs, of_one


@dataclass
class Case:
    """A loss under check, and what it promises."""

    loss: Callable[..., Tensor]
    inputs: Inputs
    call: Call
    on_itself: float | None
    symmetric: bool
    repetition: bool
    min_rows: int
    sample_name: str
    seed: int
    twin: nn.Module | None = None

    @property
    def of_one(self) -> bool:
        """Whether the loss is of the source alone."""
        return self.call is of_one

    @property
    def weighted_sides(self) -> tuple[str, ...]:
        """The samples whose rows may be weighted: both, unless the loss names the weights of one alone."""
        if self.of_one:
            return ("source",)
        try:
            taken = inspect.signature(self.loss.forward if isinstance(self.loss, nn.Module) else self.loss).parameters
        except (TypeError, ValueError):  # what is not written in Python need not have a signature
            return ("source", "target")
        return tuple(side for side in ("source", "target") if f"{side}_weights" in taken) or ("source", "target")

    @cached_property
    def scale(self) -> float:
        """The largest size of the loss at a few pairs of samples: differences are measured by it.

        One pair alone would not do: an estimate that may be zero is rounded like its parts.
        """
        cases = [replace(self, seed=self.seed + i) for i in range(3)]
        sizes = [largest([case(*case.batches(n, m))]) for case in cases for n, m in ((6, 8), (6, 6))]
        return max((size for size in sizes if math.isfinite(size)), default=0.0)

    def batches(self, n: int = 6, m: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Any, Any]:
        made = self.inputs(n, m, torch.Generator().manual_seed(self.seed))
        return each(made[0], lambda x: to(x, dtype)), each(made[1], lambda x: to(x, dtype))

    def __call__(
        self, source: Any, target: Any, loss: Callable[..., Tensor] | None = None, **weights: Tensor
    ) -> Tensor:
        torch.manual_seed(self.seed)
        value = self.call(self.loss if loss is None else loss, source, target, **weights)
        expect(isinstance(value, Tensor), f"the loss must return a scalar tensor, got {type(value).__name__}")
        return value

    def value_and_gradients(
        self,
        source: Any,
        target: Any,
        loss: Callable[..., Tensor] | None = None,
        weights: Mapping[str, Tensor] | None = None,
        within: AbstractContextManager[Any] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """The value, made within a context, and the gradients by all leaves, made outside of it."""
        source, target = each(source, leaf), each(target, leaf)
        with within or nullcontext():
            value = self(source, target, loss, **(weights or {}))
        leaves = [x for x in (*parts(source), *parts(target)) if x.requires_grad]
        if not value.requires_grad:
            return value, [torch.zeros_like(x) for x in leaves]
        found = torch.autograd.grad(value, leaves, allow_unused=True)
        return value.detach(), [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]

    def close(self, got: Tensor, expected: Tensor, promise: str, tolerance: float = 1e-6) -> None:
        """Values of the loss are the same, up to a tolerance relative to its scale."""
        close(got, expected, promise, tolerance, self.scale)


def parts(sample: Any) -> tuple[Tensor, ...]:
    return tuple(sample) if isinstance(sample, tuple | list) else (sample,)


def each(sample: Any, change: Callable[[Tensor], Any]) -> Any:
    return tuple(change(part) for part in sample) if isinstance(sample, tuple | list) else change(sample)


def to(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


def leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_(x.is_floating_point())


def largest(tensors: Sequence[Tensor]) -> float:
    """The largest size of a number in them; zero if there is none."""
    return max((float(x.detach().double().abs().max()) for x in tensors if x.numel()), default=0.0)


def close(got: Tensor, expected: Tensor, promise: str, tolerance: float, scale: float) -> None:
    change = largest([got.detach().double() - expected.detach().double()])
    expect(change <= tolerance * scale, f"{promise}, got a difference of {change:g} at a size of {scale:g}")


def expect(kept: bool, promise: str) -> None:
    if not kept:
        raise AssertionError(promise)


def refused(call: Callable[[], Any], wrong: str, *names: str) -> None:
    try:
        call()
    except (TypeError, ValueError) as error:
        expect(any(name in str(error) for name in names), f"the error for {wrong} must name {names[0]}, got {error}")
    except Exception as error:
        raise AssertionError(f"{wrong} must raise a TypeError or ValueError, got {described(error)}") from error
    else:
        raise AssertionError(f"{wrong} must raise a TypeError or ValueError, got a value")


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
