"""The contract of a loss between two domains, as a check to run on one of your own."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

Inputs = Callable[[int, int, torch.Generator], tuple[Any, Any]]
"""``inputs(n, m, generator) -> (source, target)``: each a tensor or a tuple of tensors with ``n`` or ``m`` rows."""


def two_matrices(n: int, m: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two matrices of four normal features, moved and stretched against each other.

    Example:
        >>> source, target = two_matrices(3, 2, torch.Generator())
        >>> source.shape, target.shape
        (torch.Size([3, 4]), torch.Size([2, 4]))
    """
    source = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    target = 1.5 * torch.randn(m, 4, generator=generator, dtype=torch.float64) + 0.5
    return source, target


def check_loss(
    loss: Callable[..., Tensor],
    *,
    inputs: Inputs = two_matrices,
    on_itself: float | None = 0.0,
    symmetric: bool = True,
    repetition: bool = True,
    min_rows: int = 1,
    skip: Collection[str] = (),
    seed: int = 0,
) -> None:
    """Check what every loss between two domains promises.

    The loss is called as ``loss(source, target)`` and, if it has these keywords, with ``source_weights=`` and
    ``target_weights=``; before each call torch's global seed is set, so it may draw. The checks, by name:

    - ``rows``: a finite scalar for ``n != m``; for fewer rows than ``min_rows`` a ``ValueError`` that names the sample.
    - ``itself``: ``on_itself`` for equal samples (``None``: nothing is promised).
    - ``symmetry``: the same with the domains exchanged, if ``symmetric``.
    - ``permutation``: the same for rows in another order.
    - ``equal rows``: a finite value and gradient where all rows are equal, and where all are zero.
    - ``weights``: equal weights change nothing; integer weights equal repeated rows if ``repetition``, else a row of
      weight zero equals no row; negative, all-zero and too few weights are refused by name.
    - ``dtypes``: half precision is computed in float32 or better, the gradient comes back in the dtype of the rows.
    - ``autocast``: the same inside ``torch.autocast``.
    - ``compile``: the same value and gradient under ``torch.compile``.
    - ``vmap``: ``torch.func.vmap`` and ``torch.func.grad`` agree with loops and with autograd.
    - ``gradcheck``: the gradient is the derivative (of a loss whose bandwidth comes from the data outside the graph it is
      not: fix the bandwidth and check that).
    - ``device``: the same on CUDA, where there is one.
    - ``copies``: copying, pickling and ``state_dict`` keep the value of a module.
    - ``errors``: NaN, another width, dtype or rank, integers and empty samples are refused by name (plain tensors only).

    Args:
        loss: The loss, a function or a module.
        inputs: What makes its batches, in float64.
        on_itself: The value for equal samples, or ``None``.
        symmetric: Whether exchanging the domains changes nothing.
        repetition: Whether integer weights equal repeated rows.
        min_rows: How many rows each domain needs.
        skip: Names of checks that do not apply; say why where you call it.
        seed: Seed of the inputs.

    Raises:
        AssertionError: At the first promise that is broken; the message says which, and what came.
        ValueError: If ``skip`` names no check.

    Example:
        >>> from dalib.losses import MMDLoss
        >>> check_loss(MMDLoss(bandwidths=[1.0]))
    """
    unknown = set(skip) - set(_CHECKS)
    if unknown:
        raise ValueError(f"skip must name checks out of {', '.join(_CHECKS)}, got {', '.join(sorted(unknown))}")
    case = _Case(loss, inputs, on_itself, symmetric, repetition, min_rows, seed)
    for name, check in _CHECKS.items():
        if name not in skip:
            try:
                check(case)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from None


@dataclass
class _Case:
    loss: Callable[..., Tensor]
    inputs: Inputs
    on_itself: float | None
    symmetric: bool
    repetition: bool
    min_rows: int
    seed: int

    def batches(self, n: int = 6, m: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Any, Any]:
        made = self.inputs(n, m, torch.Generator().manual_seed(self.seed))
        return _each(made[0], lambda x: _to(x, dtype)), _each(made[1], lambda x: _to(x, dtype))

    def __call__(
        self, source: Any, target: Any, loss: Callable[..., Tensor] | None = None, **weights: Tensor
    ) -> Tensor:
        torch.manual_seed(self.seed)
        return (self.loss if loss is None else loss)(source, target, **weights)

    def value_and_gradients(
        self, source: Any, target: Any, loss: Callable[..., Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        source, target = _each(source, _leaf), _each(target, _leaf)
        value = self(source, target, loss)
        leaves = [x for x in (*_parts(source), *_parts(target)) if x.requires_grad]
        if not value.requires_grad:
            return value, [torch.zeros_like(x) for x in leaves]
        found = torch.autograd.grad(value, leaves, allow_unused=True)
        return value.detach(), [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]


def _parts(sample: Any) -> tuple[Tensor, ...]:
    return tuple(sample) if isinstance(sample, tuple | list) else (sample,)


def _each(sample: Any, change: Callable[[Tensor], Any]) -> Any:
    return tuple(change(part) for part in sample) if isinstance(sample, tuple | list) else change(sample)


def _to(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_(x.is_floating_point())


def _close(got: Tensor, expected: Tensor, promise: str, tolerance: float = 1e-6) -> None:
    scale = max(1.0, float(expected.detach().double().abs().max()) if expected.numel() else 1.0)
    change = float((got.detach().double() - expected.detach().double()).abs().max()) if expected.numel() else 0.0
    _expect(change <= tolerance * scale, f"{promise}, got a difference of {change:g} at a size of {scale:g}")


def _expect(kept: bool, promise: str) -> None:
    if not kept:
        raise AssertionError(promise)


def _refused(call: Callable[[], Any], wrong: str, *names: str) -> None:
    try:
        call()
    except (TypeError, ValueError) as error:
        _expect(any(name in str(error) for name in names), f"the error for {wrong} must name {names[0]}, got {error}")
    else:
        raise AssertionError(f"{wrong} must raise a TypeError or ValueError, got a value")


def _rows(case: _Case) -> None:
    for n, m in ((6, 6), (5, 8), (case.min_rows, 7), (case.min_rows, case.min_rows)):
        value, gradients = case.value_and_gradients(*case.batches(n, m))
        _expect(value.shape == (), f"the value must be a scalar, got shape {tuple(value.shape)}")
        _expect(bool(torch.isfinite(value)), f"the value of {n} and {m} rows must be finite, got {value}")
        finite = all(bool(torch.isfinite(g).all()) for g in gradients)
        _expect(finite, f"the gradient of {n} and {m} rows must be finite")
    if case.min_rows > 1:
        _refused(lambda: case(*case.batches(case.min_rows - 1, 6)), "too few source rows", "source")
        _refused(lambda: case(*case.batches(6, case.min_rows - 1)), "too few target rows", "target")


def _itself(case: _Case) -> None:
    if case.on_itself is not None:
        source, _ = case.batches(6, 6)
        expected = torch.tensor(case.on_itself, dtype=torch.float64)
        _close(case(source, _each(source, Tensor.clone)), expected, f"equal samples must give {case.on_itself:g}")


def _symmetry(case: _Case) -> None:
    if case.symmetric:
        source, target = case.batches()
        _close(case(target, source), case(source, target), "the domains must be interchangeable")


def _permutation(case: _Case) -> None:
    source, target = case.batches()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(case.seed))
    _close(case(_each(source, lambda x: x[order]), target), case(source, target), "the order of rows must not matter")
    turned = case(source, _each(target, lambda x: x.flip(0)))
    _close(turned, case(source, target), "the order of rows must not matter")


def _equal_rows(case: _Case) -> None:
    source, target = case.batches(6, 6)

    def same(value: float | None) -> Callable[[Tensor], Tensor]:
        def change(x: Tensor) -> Tensor:
            if not x.is_floating_point():
                return x
            return x[:1].expand_as(x).clone() if value is None else torch.full_like(x, value)

        return change

    for value, what in ((None, "equal rows"), (0.0, "rows of zeros")):
        loss, gradients = case.value_and_gradients(_each(source, same(value)), _each(target, same(value)))
        _expect(bool(torch.isfinite(loss)), f"{what} must give a finite value, got {loss}")
        _expect(all(bool(torch.isfinite(g).all()) for g in gradients), f"{what} must give a finite gradient")


def _weights(case: _Case) -> None:
    source, target = case.batches()
    n, m = len(_parts(source)[0]), len(_parts(target)[0])
    ones, others = torch.ones(n, dtype=torch.float64), torch.ones(m, dtype=torch.float64)
    plain = case(source, target)
    equal = case(source, target, source_weights=3 * ones, target_weights=3 * others)
    _close(equal, plain, "equal weights must change nothing")
    counts = torch.tensor([1, 2, 3, 1, 1, 2][:n])
    if case.repetition:
        weighted = case(source, target, source_weights=counts.double(), target_weights=others)
        repeated = case(_each(source, lambda x: x.repeat_interleave(counts, dim=0)), target)
        _close(weighted, repeated, "integer weights must equal repeated rows")
    else:
        kept = ones.clone()
        kept[-1] = 0
        weighted = case(source, target, source_weights=kept, target_weights=others)
        _close(weighted, case(_each(source, lambda x: x[:-1]), target), "a row of weight zero must equal no row")
    names = ("source_weights",)
    for wrong, what in (
        (-ones, "negative weights"),
        (0 * ones, "weights that are all zero"),
        (ones[:-1], "few weights"),
    ):
        _refused(lambda wrong=wrong: case(source, target, source_weights=wrong), what, *names)  # type: ignore[misc]


def _dtypes(case: _Case) -> None:
    reference = {dtype: case.batches(dtype=dtype) for dtype in (torch.float16, torch.bfloat16, torch.float32)}
    for dtype, (source, target) in reference.items():
        loss = _in(case.loss, dtype)
        value, gradients = case.value_and_gradients(source, target, loss)
        expected = torch.promote_types(dtype, torch.float32)
        _expect(value.dtype == expected, f"{dtype} must be computed in {expected}, got {value.dtype}")
        kinds = {g.dtype for g in gradients}
        _expect(kinds <= {dtype}, f"the gradient of {dtype} rows must be {dtype}, got {kinds}")
        if loss is case.loss:
            single = case(
                _each(source, lambda x: _to(x, torch.float64)), _each(target, lambda x: _to(x, torch.float64))
            )
            _close(value, single, f"{dtype} must give the value of the same numbers in float64", 1e-4)
    _expect(case(*case.batches()).dtype == torch.float64 or _has_parameters(case.loss), "float64 must stay float64")


def _has_parameters(loss: Any) -> bool:
    return isinstance(loss, nn.Module) and any(True for _ in loss.parameters())


def _autocast(case: _Case) -> None:
    source, target = case.batches(dtype=torch.float32)
    plain = case(source, target, _single(case.loss))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = case(source, target, _single(case.loss))
    _close(value, plain, "autocast must change nothing", 0.05 if _has_parameters(case.loss) else 0.0)


def _single(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return _in(loss, torch.float32)


def _in(loss: Callable[..., Tensor], dtype: torch.dtype) -> Callable[..., Tensor]:
    """The loss, its parameters in this dtype if it has any."""
    return copy.deepcopy(loss).to(dtype) if isinstance(loss, nn.Module) and _has_parameters(loss) else loss


def _compile(case: _Case) -> None:
    source, target = case.batches()
    loss = copy.deepcopy(case.loss) if isinstance(case.loss, nn.Module) else case.loss
    torch.compiler.reset()
    compiled = torch.compile(loss, backend="aot_eager")
    value, gradients = case.value_and_gradients(source, target, compiled)
    expected, wanted = case.value_and_gradients(source, target)
    _close(value, expected, "torch.compile must give the same value", 1e-5)
    for got, want in zip(gradients, wanted, strict=True):
        _close(got, want, "torch.compile must give the same gradient", 1e-5)
    torch.compiler.reset()


def _vmap(case: _Case) -> None:
    batches = [case.inputs(5, 6, torch.Generator().manual_seed(case.seed + i)) for i in range(3)]
    stacks = tuple(_stacked([batch[side] for batch in batches]) for side in range(2))
    torch.manual_seed(case.seed)
    values = torch.func.vmap(case.loss, randomness="same")(*stacks)
    _close(values, torch.stack([case(*batch) for batch in batches]), "vmap must agree with a loop", 1e-5)
    source, target = batches[0]
    first = _parts(source)[0]

    def of_first(x: Tensor) -> Tensor:
        return case((x, *source[1:]) if isinstance(source, tuple) else x, target)

    expected = case.value_and_gradients(source, target)[1][0]
    _close(torch.func.grad(of_first)(first), expected, "torch.func.grad must agree with autograd", 1e-5)


def _stacked(samples: list[Any]) -> Any:
    if isinstance(samples[0], tuple | list):
        return tuple(torch.stack(parts) for parts in zip(*samples, strict=True))
    return torch.stack(samples)


def _gradcheck(case: _Case) -> None:
    source, target = case.batches(4, 5)
    parts = [*_parts(source), *_parts(target)]
    moving = [i for i, x in enumerate(parts) if x.is_floating_point()]
    size = len(_parts(source))

    def of(*moved: Tensor) -> Tensor:
        now = list(parts)
        for i, x in zip(moving, moved, strict=True):
            now[i] = x
        first, second = tuple(now[:size]), tuple(now[size:])
        return case(
            first if isinstance(source, tuple) else first[0], second if isinstance(target, tuple) else second[0]
        )

    try:
        torch.autograd.gradcheck(of, [_leaf(parts[i]) for i in moving])
    except GradcheckError as error:
        raise AssertionError(f"the gradient must be the derivative: {error}") from None


def _device(case: _Case) -> None:
    if not torch.cuda.is_available():
        return
    source, target = case.batches(dtype=torch.float32)
    loss = copy.deepcopy(case.loss).cuda() if isinstance(case.loss, nn.Module) else case.loss
    value = case(_each(source, Tensor.cuda), _each(target, Tensor.cuda), loss)
    _expect(value.device.type == "cuda", f"the value must be on the device of the rows, got {value.device}")
    _close(value.cpu(), case(source, target, _single(case.loss)), "CUDA must give the same value", 1e-4)


def _copies(case: _Case) -> None:
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
        _close(case(source, target, twin), expected, f"{name} must give the same value", 0.0)


def _errors(case: _Case) -> None:
    source, target = case.batches()
    if not (isinstance(source, Tensor) and isinstance(target, Tensor)):
        return
    bad = source.clone()
    bad[0, 0] = float("nan")
    wrong: tuple[tuple[str, Any, Any], ...] = (
        ("a NaN in the source", bad, target),
        ("infinity in the source", bad.nan_to_num(float("inf")), target),
        ("another width", source[:, :-1], target),
        ("another dtype", source.float(), target),
        ("integers", source.long(), target),
        ("another rank", source[None], target),
        ("no rows", source[:0], target),
        ("a list", source.tolist(), target),
    )
    for what, s, t in wrong:
        _refused(lambda s=s, t=t: case(s, t), what, "source")  # type: ignore[misc]
    _refused(lambda: case(source, target[:0]), "no target rows", "target")


_CHECKS: dict[str, Callable[[_Case], None]] = {
    "rows": _rows,
    "itself": _itself,
    "symmetry": _symmetry,
    "permutation": _permutation,
    "equal rows": _equal_rows,
    "weights": _weights,
    "dtypes": _dtypes,
    "autocast": _autocast,
    "compile": _compile,
    "vmap": _vmap,
    "gradcheck": _gradcheck,
    "device": _device,
    "copies": _copies,
    "errors": _errors,
}
