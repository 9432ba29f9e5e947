"""What the value and the gradient of a loss must be, and what it must refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from dalib.testing._loss_case import Case, each, expect, largest, leaf, parts, refused


def rows(case: Case) -> None:
    for n, m in ((6, 6), (5, 8), (case.min_rows, 7), (case.min_rows, case.min_rows)):
        value, gradients = case.value_and_gradients(*case.batches(n, m))
        expect(value.shape == (), f"the value must be a scalar, got shape {tuple(value.shape)}")
        expect(bool(torch.isfinite(value)), f"the value of {n} and {m} rows must be finite, got {value}")
        finite = all(bool(torch.isfinite(g).all()) for g in gradients)
        expect(finite, f"the gradient of {n} and {m} rows must be finite")
    if case.min_rows > 1:
        refused(lambda: case(*case.batches(case.min_rows - 1, 6)), "too few source rows", case.sample_name)
        refused(lambda: case(*case.batches(6, case.min_rows - 1)), "too few target rows", "target")


def itself(case: Case) -> None:
    if case.on_itself is not None:
        source, _ = case.batches(6, 6)
        expected = torch.tensor(case.on_itself, dtype=torch.float64)
        case.close(case(source, each(source, Tensor.clone)), expected, f"equal samples must give {case.on_itself:g}")


def symmetry(case: Case) -> None:
    if case.symmetric:
        source, target = case.batches()
        case.close(case(target, source), case(source, target), "the domains must be interchangeable")


def permutation(case: Case) -> None:
    source, target = case.batches()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(case.seed))
    case.close(
        case(each(source, lambda x: x[order]), target), case(source, target), "the order of rows must not matter"
    )
    turned = case(source, each(target, lambda x: x.flip(0)))
    case.close(turned, case(source, target), "the order of rows must not matter")


def equal_rows(case: Case) -> None:
    source, target = case.batches(6, 6)

    def same(value: float | None) -> Callable[[Tensor], Tensor]:
        def change(x: Tensor) -> Tensor:
            if not x.is_floating_point():
                return x
            return x[:1].expand_as(x).clone() if value is None else torch.full_like(x, value)

        return change

    for value, what in ((None, "equal rows"), (0.0, "rows of zeros")):
        loss, gradients = case.value_and_gradients(each(source, same(value)), each(target, same(value)))
        expect(bool(torch.isfinite(loss)), f"{what} must give a finite value, got {loss}")
        expect(all(bool(torch.isfinite(g).all()) for g in gradients), f"{what} must give a finite gradient")


def gradient(case: Case) -> None:
    source, target = (each(sample, leaf) for sample in case.batches())
    value = case(source, target)
    expect(value.requires_grad, "the value must be part of the graph of the rows, got one without a gradient")
    leaves = [x for x in (*parts(source), *parts(target)) if x.requires_grad]
    found = [g for g in torch.autograd.grad(value, leaves, allow_unused=True) if g is not None]
    expect(largest(found) > 0, "some row of two different samples must have a gradient that is not zero, got none")


def weights(case: Case) -> None:
    samples = dict(zip(("source", "target"), case.batches(), strict=True))
    sides = case.weighted_sides
    ones = {side: torch.ones(len(parts(samples[side])[0]), dtype=torch.float64) for side in sides}
    equal = _weighted(case, samples, {side: 3 * one for side, one in ones.items()})
    case.close(equal, _weighted(case, samples, {}), "equal weights must change nothing")
    for side in sides:
        name = "weights" if case.of_one else f"{side}_weights"
        counts = _counts(case, len(ones[side]))
        given = {**ones, side: counts.double()}
        counted = _weighted(case, {**samples, side: each(samples[side], _repeated(counts))}, {})
        promise = f"integer {name} must equal repeated rows" if case.repetition else f"zero {name} must equal no rows"
        case.close(_weighted(case, samples, given), counted, promise)
        # One factor for both: beside each other the weights of two domains may count.
        double = _weighted(case, samples, {other: 2 * weights for other, weights in given.items()})
        case.close(double, counted, f"the scale of {name} must not matter")
        one = ones[side]
        for wrong, what in ((-one, "negative"), (0 * one, "all-zero"), (one[:-1], "too few")):
            refused(functools.partial(_weighted, case, samples, {side: wrong}), f"{what} {name}", name)


def _weighted(case: Case, samples: dict[str, Any], weights: dict[str, Tensor]) -> Tensor:
    named = {f"{side}_weights": of_side for side, of_side in weights.items()}
    return case(samples["source"], samples["target"], None, **named)


def _counts(case: Case, rows: int) -> Tensor:
    """Integer weights, zeros among them; only zeros and ones where they do not equal repetition."""
    return (torch.arange(rows) + 1) % 3 if case.repetition else (torch.arange(rows) < rows - 1).long()


def _repeated(counts: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x.repeat_interleave(counts, dim=0)


def gradcheck(case: Case) -> None:
    source, target = case.batches(4, 5)
    tensors = [*parts(source), *parts(target)]
    moving = [i for i, x in enumerate(tensors) if x.is_floating_point()]
    size = len(parts(source))
    scale = case.scale or 1.0  # gradcheck's tolerance is absolute

    def of(*moved: Tensor) -> Tensor:
        now = list(tensors)
        for i, x in zip(moving, moved, strict=True):
            now[i] = x
        first, second = tuple(now[:size]), tuple(now[size:])
        value = case(
            first if isinstance(source, tuple) else first[0], second if isinstance(target, tuple) else second[0]
        )
        return value / scale

    try:
        torch.autograd.gradcheck(of, [leaf(tensors[i]) for i in moving])
    except GradcheckError as error:
        raise AssertionError(f"the gradient must be the derivative: {error}") from None


def errors(case: Case) -> None:
    source, target = case.batches()
    if not (isinstance(source, Tensor) and isinstance(target, Tensor)):
        return
    name = case.sample_name
    bad = source.clone()
    bad[0, 0] = float("nan")
    wrong: tuple[tuple[str, Any, Any], ...] = (
        ("a NaN in the source", bad, target),
        ("infinity in the source", bad.nan_to_num(float("inf")), target),
        ("integers", source.long(), target),
        ("another rank", source[None], target),
        ("no rows", source[:0], target),
        ("a list", source.tolist(), target),
    )
    if not case.of_one:
        wrong += (("another width", source[:, :-1], target), ("another dtype", source.float(), target))
    for what, s, t in wrong:
        refused(lambda s=s, t=t: case(s, t), what, name)  # type: ignore[misc]
    if not case.of_one:
        refused(lambda: case(source, target[:0]), "no target rows", "target")
