"""What a loss must keep in other dtypes, modes, transforms and copies."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dalib.testing._loss_case import Case, close, each, expect, largest, parts, to

_DIGITS = {torch.float16: 5e-3, torch.bfloat16: 2e-2, torch.float32: 1e-3}
"""How far gradients may be from those in float64, in units of the largest: their own rounding, a few times."""


def dtypes(case: Case) -> None:
    reference = {dtype: case.batches(dtype=dtype) for dtype in (torch.float16, torch.bfloat16, torch.float32)}
    for dtype, (source, target) in reference.items():
        loss = _in(case.loss, dtype)
        value, gradients = case.value_and_gradients(source, target, loss)
        expected = torch.promote_types(dtype, torch.float32)
        expect(value.dtype == expected, f"{dtype} must be computed in {expected}, got {value.dtype}")
        kinds = {g.dtype for g in gradients}
        expect(kinds <= {dtype}, f"the gradient of {dtype} rows must be {dtype}, got {kinds}")
        if loss is case.loss:
            exact, wanted = case.value_and_gradients(
                each(source, lambda x: to(x, torch.float64)), each(target, lambda x: to(x, torch.float64))
            )
            case.close(value, exact, f"{dtype} must give the value of the same numbers in float64", 1e-4)
            promise, tolerance = f"{dtype} must give the gradient of the same numbers in float64", _DIGITS[dtype]
            numbers = torch.finfo(dtype)
            if numbers.tiny < largest(wanted) < numbers.max:  # beyond, the gradient cannot be told in this dtype
                for got, want in zip(gradients, wanted, strict=True):
                    close(got, want, promise, tolerance, largest(wanted))
    expect(case(*case.batches()).dtype == torch.float64 or _has_parameters(case.loss), "float64 must stay float64")


def _has_parameters(loss: Any) -> bool:
    return isinstance(loss, nn.Module) and any(True for _ in loss.parameters())


def autocast(case: Case) -> None:
    source, target = case.batches(dtype=torch.float32)
    plain, expected = case.value_and_gradients(source, target, _single(case.loss))
    within = torch.autocast("cpu", dtype=torch.bfloat16)
    value, gradients = case.value_and_gradients(source, target, _single(case.loss), within=within)
    tolerance = 0.05 if _has_parameters(case.loss) else 0.0
    case.close(value, plain, "autocast must change nothing", tolerance)
    for got, want in zip(gradients, expected, strict=True):
        close(got, want, "autocast must change no gradient", max(tolerance, 1e-6), largest(expected))


def _single(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return _in(loss, torch.float32)


def _in(loss: Callable[..., Tensor], dtype: torch.dtype) -> Callable[..., Tensor]:
    """The loss, its parameters in this dtype if it has any."""
    return copy.deepcopy(loss).to(dtype) if isinstance(loss, nn.Module) and _has_parameters(loss) else loss


def compile(case: Case) -> None:
    source, target = case.batches()
    loss = copy.deepcopy(case.loss) if isinstance(case.loss, nn.Module) else case.loss
    torch.compiler.reset()
    compiled = torch.compile(loss, backend="aot_eager")
    value, gradients = case.value_and_gradients(source, target, compiled)
    expected, wanted = case.value_and_gradients(source, target)
    case.close(value, expected, "torch.compile must give the same value", 1e-5)
    for got, want in zip(gradients, wanted, strict=True):
        close(got, want, "torch.compile must give the same gradient", 1e-5, largest(wanted))
    torch.compiler.reset()


def vmap(case: Case) -> None:
    batches = [case.inputs(5, 6, torch.Generator().manual_seed(case.seed + i)) for i in range(3)]
    stacks = tuple(_stacked([batch[side] for batch in batches]) for side in range(2))
    torch.manual_seed(case.seed)
    values = torch.func.vmap(lambda s, t: case.call(case.loss, s, t), randomness="same")(*stacks)
    case.close(values, torch.stack([case(*batch) for batch in batches]), "vmap must agree with a loop", 1e-5)
    source, target = batches[0]
    first = parts(source)[0]

    def of_first(x: Tensor) -> Tensor:
        return case((x, *source[1:]) if isinstance(source, tuple) else x, target)

    gradients = case.value_and_gradients(source, target)[1]
    got = torch.func.grad(of_first)(first)
    close(got, gradients[0], "torch.func.grad must agree with autograd", 1e-5, largest(gradients))


def _stacked(samples: list[Any]) -> Any:
    if isinstance(samples[0], tuple | list):
        return tuple(torch.stack(parts) for parts in zip(*samples, strict=True))
    return torch.stack(samples)


def device(case: Case) -> None:
    if not torch.cuda.is_available():
        return
    source, target = case.batches(dtype=torch.float32)
    loss = _single(case.loss)
    expected = case(source, target, loss)
    on_device = copy.deepcopy(loss).cuda() if isinstance(loss, nn.Module) else loss
    value = case(each(source, Tensor.cuda), each(target, Tensor.cuda), on_device)
    expect(value.device.type == "cuda", f"the value must be on the device of the rows, got {value.device}")
    if _draws(case, loss, source, target):  # a device draws other numbers from the same seed
        expect(bool(torch.isfinite(value)), f"the value on CUDA must be finite, got {value}")
    else:
        case.close(value.cpu(), expected, "CUDA must give the same value", 1e-4)


def _draws(case: Case, loss: Callable[..., Tensor], source: Any, target: Any) -> bool:
    """Whether the value depends on the seed."""
    first = case(source, target, loss)
    other = dataclasses.replace(case, seed=case.seed + 1)(source, target, loss)
    return not bool(torch.equal(first, other))


def copies(case: Case) -> None:
    if not isinstance(case.loss, nn.Module):
        return
    source, target = case.batches()
    expected = case(source, target)
    twins = {"a deep copy": copy.deepcopy(case.loss), "a pickle": pickle.loads(pickle.dumps(case.loss))}
    buffer = io.BytesIO()
    torch.save(case.loss.state_dict(), buffer)
    buffer.seek(0)
    loaded = copy.deepcopy(case.loss)
    for parameter in loaded.parameters():
        nn.init.zeros_(parameter)
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    for name, twin in {**twins, "a loaded state_dict": loaded}.items():
        case.close(case(source, target, twin), expected, f"{name} must give the same value", 0.0)
    if case.twin is not None:
        other = copy.deepcopy(case.twin)
        dataclasses.replace(case, seed=case.seed + 1)(source, target, other)  # what it draws when first called differs
        other.load_state_dict(case.loss.state_dict())
        case.close(
            case(source, target, other), expected, "the state_dict, loaded by the twin, must give the same value", 0.0
        )
