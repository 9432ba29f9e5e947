"""What the value and the gradient of a loss must be, and what it must refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from dalib.testing._loss_case import Case, close, each, expect, largest, leaf, parts, refused


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
        samples = case.batches()
        value, gradients = _by_side(case, *samples)
        exchanged, found = _by_side(case, *reversed(samples))
        case.close(exchanged, value, "the domains must be interchangeable")
        _same_gradients(found, gradients[::-1], "the gradients must be interchangeable like the domains")


def permutation(case: Case) -> None:
    samples = case.batches(17, 20)  # more than the other checks have: all rows must count
    value, gradients = _by_side(case, *samples)
    generator = torch.Generator().manual_seed(case.seed)
    for side, sample in enumerate(samples):
        order = torch.randperm(len(parts(sample)[0]), generator=generator)
        moved, expected = list(samples), list(gradients)
        moved[side] = each(sample, lambda x, order=order: x[order])  # type: ignore[misc]
        expected[side] = [gradient[order] for gradient in gradients[side]]
        turned, found = _by_side(case, *moved)
        case.close(turned, value, "the order of rows must not matter")
        _same_gradients(found, expected, "a row must have its gradient at any place")


def unchanged(case: Case) -> None:
    samples = case.batches()
    copies = [each(sample, Tensor.clone) for sample in samples]
    value = case(*samples)
    for sample, copy, name in zip(samples, copies, (case.sample_name, "target"), strict=True):
        same = all(torch.equal(x, y) for x, y in zip(parts(sample), parts(copy), strict=True))
        expect(same, f"the loss must leave its {name} as it is")
    with torch.no_grad():
        case.close(case(*samples), value, "torch.no_grad must change nothing")


def _by_side(
    case: Case, source: Any, target: Any, weights: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, list[list[Tensor]]]:
    """The value, and the gradients by the parts of the source and by those of the target."""
    value, gradients = case.value_and_gradients(source, target, weights=weights)
    of_source = sum(x.is_floating_point() for x in parts(source))
    return value, [gradients[:of_source], gradients[of_source:]]


def _same_gradients(got: Sequence[list[Tensor]], expected: Sequence[list[Tensor]], promise: str) -> None:
    scale = max(map(largest, expected))
    for found, gradients in zip(got, expected, strict=True):
        for one, other in zip(found, gradients, strict=True):
            close(one, other, promise, 1e-6, scale)


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
    source, target = case.batches()
    value = case(each(source, leaf), each(target, leaf))
    expect(value.requires_grad, "the value must be part of the graph of the rows, got one without a gradient")
    _, gradients = _by_side(case, source, target)
    for side, found in zip(("source", "target"), gradients, strict=True):
        taught = side not in case.weighted_sides or largest(found) > 0
        name = case.sample_name if side == "source" else side
        expect(taught, f"some row of the {name} must have a gradient that is not zero, got none")


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
        repeated = {**samples, side: each(samples[side], _repeated(counts))}
        counted = _weighted(case, repeated, {})
        promise = f"integer {name} must equal repeated rows" if case.repetition else f"zero {name} must equal no rows"
        case.close(_weighted(case, samples, given), counted, promise)
        expected = dict(zip(samples, _by_side(case, **repeated)[1], strict=True))
        expected[side] = [_summed(gradient, counts) for gradient in expected[side]]
        found = _by_side(case, **samples, weights=_named(given))[1]
        _same_gradients(found, list(expected.values()), f"{promise} in the gradient")
        # One factor for both: beside each other the weights of two domains may count.
        double = _weighted(case, samples, {other: 2 * weights for other, weights in given.items()})
        case.close(double, counted, f"the scale of {name} must not matter")
        one = ones[side]
        for wrong, what in ((-one, "negative"), (0 * one, "all-zero"), (one[:-1], "too few")):
            refused(functools.partial(_weighted, case, samples, {side: wrong}), f"{what} {name}", name)
    if len(sides) > 1:
        of = {side: _counts(case, len(one)) for side, one in ones.items()}
        both = _weighted(case, samples, {side: counts.double() for side, counts in of.items()})
        alike = _weighted(case, {side: each(samples[side], _repeated(counts)) for side, counts in of.items()}, {})
        case.close(both, alike, "weights of both domains at once must do what each does alone")


def _weighted(case: Case, samples: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Tensor:
    given = _named({side: of_side.clone() for side, of_side in weights.items()})
    value = case(samples["source"], samples["target"], None, **given)
    for side, after in zip(weights, given.values(), strict=True):
        expect(torch.equal(after, weights[side]), f"the loss must leave the weights of the {side} as they are")
    return value


def _named(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names of their arguments."""
    return {f"{side}_weights": of_side for side, of_side in weights.items()}


def _counts(case: Case, rows: int) -> Tensor:
    """Integer weights, zeros among them; only zeros and ones where they do not equal repetition."""
    return (torch.arange(rows) + 1) % 3 if case.repetition else (torch.arange(rows) < rows - 1).long()


def _repeated(counts: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x.repeat_interleave(counts, dim=0)


def _summed(gradient: Tensor, counts: Tensor) -> Tensor:
    """The gradients of repeated rows, as one of each row."""
    rows = torch.arange(len(counts)).repeat_interleave(counts)
    return gradient.new_zeros(len(counts), *gradient.shape[1:]).index_add(0, rows, gradient)


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
