r"""Weighted sums of multi-scale Gaussian kernels over all pairs of rows: the engine of the MMD losses.

.. math::
    V = \sum_{ij} (W S W^\top)_{ij} \prod_l k_l(x^l_i, x^l_j), \qquad
    k_l(x, y) = \frac1B \sum_b \exp(-\|x - y\|^2 / 2 v^l_b)

with row weights ``W`` (N x C) and a symmetric mixing ``S`` (C x C). Value and gradient are made in one pass over tiles of
the upper triangle, while a tile is in the cache; nothing of size N x N is kept, so the extra memory is O(N d).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from dalib import _checks
from dalib._uncompiled import uncompiled
from dalib.kernels import Gaussian
from dalib.losses._gaussian_scales import Scales, dtype_of_pulls, scales_of
from dalib.losses._kernel_dense import Form, dense, value_of
from dalib.losses._kernel_tiles import tiled
from dalib.losses._lost_digits import are_lost, may_lose_digits
from dalib.losses._raised_to_zero import raised_to_zero

Part = TypeVar("Part")

TILE_ABOVE = 512
"""From this many rows on the sums run over tiles; below, one dense block has less overhead."""

TWICE_DIFFERENTIABLE_UP_TO = 4096
"""Up to this many rows a second derivative is available: it needs matrices of rows x rows."""


def kernel_form(
    layers: Sequence[Sequence[Tensor]],
    kernels: Sequence[Gaussian],
    weights: Tensor,
    mixing: Tensor | None = None,
    *,
    levels: Sequence[Sequence[float]] | None = None,
    scale: float = 1.0,
    counts: Tensor | None = None,
) -> Tensor:
    r"""The sum :math:`V`, differentiable in the layers and the weights.

    Args:
        layers: The rows of each factor of the kernel, in parts such as source and target: shapes ``(n, d_l)`` and
            ``(m, d_l)`` with ``n + m = N``, the same for all factors.
        kernels: The factors.
        weights: Shape ``(N,)`` or ``(N, C)``, in the dtype of the rows or a wider one.
        mixing: Shape ``(C, C)``, symmetric, outside the graph; default: the identity.
        levels: The weights once more, where all rows of a part have the same ones and no gradient, without ``mixing``: one
            sequence of ``C`` numbers a part. Tiles then take fewer passes.
        scale: What the sum is multiplied by. Weights that are nearly whole numbers of few digits in place of fractions keep
            source and target, which cancel, from being rounded apart.
        counts: What each row counts in a bandwidth that comes from the rows, shape ``(N,)``; default: one.

    Returns:
        Scalar tensor; without ``mixing`` not negative.

    Raises:
        ValueError: If rows are not finite, or squared distances are beyond their dtype, where values are checked.
        RuntimeError: In a second derivative with more than :data:`TWICE_DIFFERENTIABLE_UP_TO` rows.

    Example:
        >>> source, target = torch.tensor([[0.0]]), torch.tensor([[2.0]])
        >>> kernel_form([(source, target)], [Gaussian([1.0])], torch.tensor([1.0, -1.0]))  # 2 - 2 exp(-2)
        tensor(1.7293)
    """
    weights = weights.unsqueeze(1) if weights.ndim == 1 else weights
    if torch.compiler.is_compiling() and len(weights) <= TWICE_DIFFERENTIABLE_UP_TO:
        rows = [torch.cat(list(parts)) for parts in layers]
        variances = [kernel.variances(each, counts) for kernel, each in zip(kernels, rows, strict=True)]
        form = scale * value_of(rows, variances, weights, mixing)
        return raised_to_zero(form) if mixing is None else form
    return _by_hand(layers, kernels, weights, mixing, levels, scale, counts)


@uncompiled  # hundreds of tiles would be hundreds of times the same operations in a graph
def _by_hand(
    layers: Sequence[Sequence[Tensor]],
    kernels: Sequence[Gaussian],
    weights: Tensor,
    mixing: Tensor | None,
    levels: Sequence[Sequence[float]] | None,
    scale: float,
    counts: Tensor | None,
) -> Tensor:
    """The form whose gradient is made together with the value."""
    dtype = layers[0][0].dtype
    if torch.is_grad_enabled() and weights.requires_grad:
        # Their gradient is a difference of kernel means: of alike samples it would keep four digits of float32.
        layers = [[part.double() for part in layer] for layer in layers]
        mixing, counts = (each if each is None else each.double() for each in (mixing, counts))
        weights = weights.double()
    parts = [part for layer in layers for part in layer]
    wants_gradient = torch.is_grad_enabled() and any(_may_require_gradient(x) for x in (weights, *parts))
    try:
        known = [scales_of(kernel, rows, counts) for kernel, rows in zip(kernels, layers, strict=True)]
        scales, given = tuple(each for each, _ in known), [variances for _, variances in known]
        unit = scale / math.prod(each.number(variances) for each, variances in known)
        value: Tensor = _KernelForm.apply(  # type: ignore[no-untyped-call]
            scales, wants_gradient, levels, unit, mixing, counts, weights, *parts, *given
        )[0]
    except ValueError:  # the rows have no scale that a bandwidth could be
        _refuse_not_finite(layers)
        raise
    if _checks.values_are_checked(value) and not math.isfinite(value.item()):
        _refuse_not_finite(layers)
        _checks.refuse_overflow(max(parts, key=lambda rows: float(rows.detach().abs().max())))
    return value.to(dtype)


def _refuse_not_finite(layers: Sequence[Sequence[Tensor]]) -> None:
    for parts in layers:
        for part, name in zip(parts, ("source", "target"), strict=True):
            _checks.finite(part, name)


@torch.no_grad()
def kernel_times(rows: Tensor, kernel: Gaussian, columns: Tensor) -> Tensor:
    """The kernel matrix of the rows times ``columns``, shape ``(N, C)``, without ever holding that matrix.

    Example:
        >>> kernel_times(torch.tensor([[0.0], [2.0]]), Gaussian([1.0]), torch.eye(2))
        tensor([[1.0000, 0.1353],
                [0.1353, 1.0000]])
    """
    scales, variances = scales_of(kernel, [rows], None)
    return tiled(Form([[rows]], [scales], [variances], None, columns, None, None, 1 / scales.number(variances)), False)[
        1
    ]


def _may_require_gradient(x: Tensor) -> bool:
    return x.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(x)


_NO_TENSORS = (None,) * 6  # the gradients of what comes before the weights


class _KernelForm(torch.autograd.Function):
    """The gradient is made together with the value, so going backward is a scaling."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:  # unnamed: torch binds the names anew in every call
        scales, wants_gradient, levels, unit, mixing, counts, weights, *rest = inputs
        parts, given = rest[: -len(scales)], rest[-len(scales) :]
        form = Form(_layers(parts, len(scales)), scales, given, counts, weights, mixing, levels, unit)
        value, *others = (dense if weights.shape[0] <= TILE_ABOVE else tiled)(form, wants_gradient)
        if mixing is None and not (_checks.values_are_checked(value) and float(value) >= 0):  # below only by rounding
            value = value.clamp_min(0)
        return value, *others

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        scales, _, levels, unit, mixing, counts, weights, *rest = inputs
        ctx.scales, ctx.levels, ctx.unit = scales, levels, unit
        ctx.parts = len(rest) - len(scales)
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(mixing, counts, weights, *rest, *output[1:])

    @staticmethod
    def backward(ctx: Any, of_value: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        layers = len(ctx.scales)
        none = (None,) * layers
        of_parts: Sequence[Tensor | None] = (None,) * ctx.parts
        if of_value is None:
            return (*_NO_TENSORS, None, *of_parts, *none)
        mixing, counts, weights, *saved = ctx.saved_tensors
        parts, given, half_of_weights = (
            saved[: ctx.parts],
            saved[ctx.parts : ctx.parts + layers],
            saved[ctx.parts + layers],
        )
        made = saved[ctx.parts + layers + 1 :]
        widest, of_layers, rows = made[:layers], made[layers : 2 * layers], made[2 * layers :]
        again = torch.is_grad_enabled()  # a second derivative may follow: the gradient must itself be in the graph
        if again and len(weights) <= TWICE_DIFFERENTIABLE_UP_TO:
            variances = [each.variances(*known) for each, *known in zip(ctx.scales, given, widest, strict=True)]
            scale = ctx.unit * math.prod(map(len, variances))
            return (*_NO_TENSORS, *_gradient_in_graph(scale * of_value, (weights, *parts), variances, mixing), *none)
        if any(ctx.needs_input_grad[7:]):
            if rows:  # one dense block leaves the last product to be done
                form = Form(_layers(parts, layers), ctx.scales, given, counts, weights, mixing, ctx.levels, ctx.unit)
                gradients = _last_products(form, of_value, widest, of_layers, rows)
            else:
                gradients = [
                    _scaled(each, ctx.unit, of_value, width) for each, width in zip(of_layers, widest, strict=True)
                ]
            lengths = [part.shape[0] for part in parts[: ctx.parts // layers]]
            of_parts = [part for gradient in gradients for part in gradient.split_with_sizes(lengths)]
        of_weights = 2 * of_value * half_of_weights if ctx.needs_input_grad[6] else None
        ready = [of_weights, *of_parts]
        if again:
            ready = [each if each is None else _Once.apply(each, of_value, weights, *parts) for each in ready]  # type: ignore[no-untyped-call]
        return (*_NO_TENSORS, *ready, *none)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        def one(x: Any, dim: Any, i: int) -> Any:
            return x.select(dim, i) if isinstance(dim, int) and isinstance(x, Tensor) else x

        made = [
            _KernelForm.apply(*(one(x, dim, i) for x, dim in zip(inputs, in_dims, strict=True)))  # type: ignore[no-untyped-call]
            for i in range(info.batch_size)
        ]
        return tuple(torch.stack(parts) for parts in zip(*made, strict=True)), (0,) * len(made[0])


class _Bound(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def apply_defaults(self) -> None:
        """There are none."""


class _AsTheyCome(inspect.Signature):
    """Arguments are bound by torch in every call. To do so by their names would take a tenth of the time of a small batch."""

    def bind(self, *args: Any, **kwargs: Any) -> _Bound:  # type: ignore[override]
        """The arguments."""
        return _Bound(args, kwargs)


_KernelForm.forward.__signature__ = _AsTheyCome()  # type: ignore[attr-defined]


def _last_products(
    form: Form, of_value: Tensor, widest: Sequence[Tensor], pulls: Sequence[Tensor], rows: Sequence[Tensor]
) -> list[Tensor]:
    """What :func:`dense` leaves to be done; in float64 from the start where that shows that float32 does not do."""

    def products(widest: Sequence[Tensor], pulls: Sequence[Tensor], rows: Sequence[Tensor]) -> list[Tensor]:
        found = []
        for width, pull, each in zip(widest, pulls, rows, strict=True):
            if _checks.values_are_checked(of_value) and _in_float32(factor := _factor(form.unit, of_value, width)):
                product = torch.addmm(each, pull, each, beta=0, alpha=factor)  # which takes no pass
            else:
                product = _scaled(torch.mm(pull, each), form.unit, of_value, width)
            found.append(product.to(form.layers[0][0].dtype))
        return found

    gradients = products(widest, pulls, rows)
    of_each = zip(gradients, form.scales, widest, pulls, rows, strict=True)
    if not any(_digits_are_lost(form, of_value, *each) for each in of_each):
        return gradients
    made, count = dense(form.in_float64(), True)[2:], len(rows)
    return products(made[:count], made[count : 2 * count], made[2 * count :])


def _digits_are_lost(
    form: Form, of_value: Tensor, gradient: Tensor, scales: Scales, widest: Tensor, pulls: Tensor, rows: Tensor
) -> bool:
    if not may_lose_digits(gradient) or rows.dtype != dtype_of_pulls(gradient):  # others are of float64 already
        return False
    alike = form.weights_are_alike
    distance, dtype, square = (
        scales.distance(widest, rows),
        form.dtype_of_pulls,
        _factor(form.unit, of_value, widest) ** 2,
    )
    # Half of the rows, beside pulls of rows to themselves, only err on the other side, and mostly are enough.
    count, of_pulls = gradient.shape[0], square * _square(pulls)
    if not are_lost(_square(gradient[count // 4 : -(-3 * count // 4)]), of_pulls, distance, dtype, alike):
        return False
    return are_lost(_square(gradient), of_pulls - square * _square(pulls.diagonal()), distance, dtype, alike)


def _factor(unit: float, of_value: Tensor, widest: Tensor) -> float:
    """What the engines leave gradients to be multiplied by."""
    return 2 * unit * float(of_value) / float(widest)


def _in_float32(factor: float) -> bool:
    """Whether float32 has all digits of a number."""
    return factor == 0 or 1e-37 < abs(factor) < 1e38


def _scaled(gradient: Tensor, unit: float, of_value: Tensor, widest: Tensor) -> Tensor:
    """The gradient times :func:`_factor`."""
    if not _checks.values_are_checked(of_value):
        return (
            2 * unit * gradient / widest * of_value
        )  # of equal rows zero from the start: their scale is as good as none
    factor = _factor(unit, of_value, widest)
    if gradient.dtype == torch.float64 or _in_float32(factor):
        return gradient * factor
    return (gradient.double() * factor).to(gradient.dtype)


def _square(x: Tensor) -> float:
    flat = x.reshape(-1)
    found = float(flat.dot(flat))
    if 1e-30 < found < math.inf:
        return found
    flat = flat.double()  # the squares are beyond float32
    return float(flat.dot(flat))


def _gradient_in_graph(
    of_value: Tensor, inputs: Sequence[Tensor], variances: Sequence[Tensor], mixing: Tensor | None
) -> tuple[Tensor | None, ...]:
    def value(weights: Tensor, *parts: Tensor) -> Tensor:
        rows = [torch.cat(list(each)) for each in _layers(parts, len(variances))]
        return value_of(rows, variances, weights, mixing)

    gradients: tuple[Tensor, ...] = torch.func.vjp(value, *inputs)[1](of_value)
    return gradients


class _Once(torch.autograd.Function):
    """A gradient as it is; its derivative by the inputs is refused, or they would be told that it is constant."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, *inputs: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.rows = len(inputs[2])

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            f"a second derivative needs all pairs of rows at once and is offered up to "
            f"{TWICE_DIFFERENTIABLE_UP_TO} rows, got {ctx.rows}; use fewer rows or one derivative only"
        )


def _layers(parts: Sequence[Part], layers: int) -> list[Sequence[Part]]:
    """What is there for each part of each layer, layer by layer."""
    size = len(parts) // layers
    return [parts[i * size : (i + 1) * size] for i in range(layers)]
