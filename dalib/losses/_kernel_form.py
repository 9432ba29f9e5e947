r"""Weighted sums of multi-scale Gaussian kernels over all pairs of rows: the engine of the MMD losses.

.. math::
    V = \sum_{ij} (W S W^\top)_{ij} \prod_l k_l(x^l_i, x^l_j), \qquad
    k_l(x, y) = \frac1B \sum_b \exp(-\|x - y\|^2 / 2 v^l_b)

with row weights ``W`` (N x C) and a symmetric mixing ``S`` (C x C). Value and gradient are made in one pass over tiles of
the upper triangle, while a tile is in the cache; nothing of size N x N is kept, so the extra memory is O(N d).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib.kernels import Gaussian
from dalib.losses._kernel_tiles import mix, product, tiled

TILE_ABOVE = 192
"""From this many rows on the sums run over tiles; below, one dense block has less overhead."""

TWICE_DIFFERENTIABLE_UP_TO = 4096
"""Up to this many rows a second derivative is available: it needs matrices of rows x rows."""


class Scales(NamedTuple):
    """The variances of a multi-scale Gaussian kernel, shape ``(B,)``, and what is known of their ratios.

    ``powers`` holds ``max(variances) / variance`` in ascending order if all of these are powers of two: one exponential
    and a few squarings then make all kernels. Otherwise it is ``None``.
    """

    variances: Tensor
    powers: tuple[int, ...] | None


def doublings(variances: Sequence[float]) -> tuple[int, ...] | None:
    """The ratios of the largest variance to each, ascending, if all are powers of two up to 2**10; else ``None``.

    Example:
        >>> doublings([1.0, 4.0, 2.0]), doublings([1.0, 3.0])
        ((1, 2, 4), None)
    """
    ratios = sorted(max(variances) / variance for variance in variances)
    powers = [2 ** round(math.log2(ratio)) if ratio < 2**11 else 0 for ratio in ratios]
    exact = all(power and abs(ratio / power - 1) < 1e-14 for ratio, power in zip(ratios, powers, strict=True))
    return tuple(powers) if exact else None


def scales_of(kernel: Gaussian, rows: Tensor, weights: Tensor | None = None) -> Scales:
    """The variances of a Gaussian kernel for these rows.

    Example:
        >>> scales_of(Gaussian([1.0, 2.0]), torch.zeros(3, 1))
        Scales(variances=tensor([1., 4.]), powers=(1, 4))
    """
    if kernel.bandwidths is None:
        relative = [float(scale) for scale in kernel.scales]
    elif isinstance(kernel.bandwidths, Tensor):  # reading them might make the host wait for a device
        readable = _checks.values_are_checked(kernel.bandwidths)
        relative = [width**2 for width in kernel.bandwidths.tolist()] if readable else []
    else:
        relative = [float(width) ** 2 for width in kernel.bandwidths]
    return Scales(kernel.variances(rows, weights), doublings(relative) if relative else None)


def kernel_form(
    layers: Sequence[Tensor], scales: Sequence[Scales], weights: Tensor, mixing: Tensor | None = None
) -> Tensor:
    r"""The sum :math:`V`, differentiable in the layers and the weights.

    Args:
        layers: One matrix of rows for each factor of the kernel, each shape ``(N, d_l)``.
        scales: The scales of each factor.
        weights: Shape ``(N,)`` or ``(N, C)``.
        mixing: Shape ``(C, C)``, symmetric, outside the graph; default: the identity.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: If squared distances are beyond the dtype of the layers, where values are checked.
        RuntimeError: In a second derivative with more than :data:`TWICE_DIFFERENTIABLE_UP_TO` rows.

    Example:
        >>> unit = Scales(torch.ones(1), (1,))
        >>> kernel_form([torch.tensor([[0.0], [2.0]])], [unit], torch.tensor([1.0, -1.0]))  # 2 - 2 exp(-2)
        tensor(1.7293)
    """
    weights = weights[:, None] if weights.ndim == 1 else weights
    powers = tuple(each.powers for each in scales)
    variances = [each.variances for each in scales]
    if torch.compiler.is_compiling() and len(weights) <= TWICE_DIFFERENTIABLE_UP_TO:
        return _value(layers, variances, powers, weights, mixing)
    wants_gradient = torch.is_grad_enabled() and any(_may_require_gradient(x) for x in (*layers, weights))
    value: Tensor = _KernelForm.apply(powers, wants_gradient, mixing, weights, *layers, *variances)[0]  # type: ignore[no-untyped-call]
    if _checks.values_are_checked(value) and not math.isfinite(value.detach()):
        _checks.refuse_overflow(max(layers, key=lambda rows: float(rows.detach().abs().max())))
    return value


@torch.no_grad()
def kernel_times(rows: Tensor, scales: Scales, weights: Tensor) -> Tensor:
    """The kernel matrix of the rows times ``weights``, shape ``(N, C)``, without ever holding that matrix.

    Example:
        >>> kernel_times(torch.tensor([[0.0], [2.0]]), Scales(torch.ones(1), (1,)), torch.eye(2))
        tensor([[1.0000, 0.1353],
                [0.1353, 1.0000]])
    """
    return tiled([rows], [scales.variances], [scales.powers], weights, None, False)[1] / 2


def _may_require_gradient(x: Tensor) -> bool:
    return x.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(x)


class _KernelForm(torch.autograd.Function):
    """The gradient is made together with the value, so going backward is a scaling."""

    @staticmethod
    def forward(
        powers: tuple[tuple[int, ...] | None, ...],
        wants_gradient: bool,
        mixing: Tensor | None,
        weights: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        layers, variances = rest[: len(powers)], rest[len(powers) :]
        if len(weights) <= TILE_ABOVE:
            return _dense(layers, variances, powers, weights, mixing, wants_gradient)
        return tiled(layers, variances, powers, weights, mixing, wants_gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        powers, _, mixing, weights, *rest = inputs
        gradients = output[1:]
        ctx.mark_non_differentiable(*gradients)
        ctx.set_materialize_grads(False)
        ctx.powers = powers
        ctx.save_for_backward(weights, *rest, *gradients, *([] if mixing is None else [mixing]))

    @staticmethod
    def backward(ctx: Any, of_value: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        layers = len(ctx.powers)
        weights, *saved = ctx.saved_tensors
        rest, gradients, mixing = saved[: 2 * layers], saved[2 * layers : 3 * layers + 1], saved[3 * layers + 1 :]
        if of_value is None:
            return (None,) * (4 + 2 * layers)
        if torch.is_grad_enabled():  # a second derivative may follow: the gradient must itself be in the graph
            if len(weights) > TWICE_DIFFERENTIABLE_UP_TO:
                raise RuntimeError(
                    f"a second derivative needs all pairs of rows at once and is offered up to "
                    f"{TWICE_DIFFERENTIABLE_UP_TO} rows, got {len(weights)}; use fewer rows or drop create_graph=True"
                )
            made = _dense(rest[:layers], rest[layers:], ctx.powers, weights, mixing[0] if mixing else None, True)
            gradients = made[1:]
        of_weights, *of_layers = (of_value * gradient for gradient in gradients)
        return (None, None, None, of_weights, *of_layers, *([None] * layers))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        def one(x: Any, dim: Any, i: int) -> Any:
            return x.select(dim, i) if isinstance(dim, int) and isinstance(x, Tensor) else x

        made = [
            _KernelForm.apply(*(one(x, dim, i) for x, dim in zip(inputs, in_dims, strict=True)))  # type: ignore[no-untyped-call]
            for i in range(info.batch_size)
        ]
        return tuple(torch.stack(parts) for parts in zip(*made, strict=True)), (0,) * len(made[0])


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.detach().mean(dim=0)


def _kernels(
    rows: Tensor, variances: Tensor, powers: tuple[int, ...] | None, slope: bool = True
) -> tuple[Tensor, Tensor]:
    """The kernel of all pairs of centred rows, and minus its derivative by the squared distance."""
    products = rows @ rows.mT
    norms = products.diagonal()  # of the same product, so that the diagonal of the distances is exactly zero
    distances = (norms[:, None] + norms - 2 * products).clamp_min(0)
    count = variances.shape[0]
    if powers is None:
        parts = [torch.exp(distances / (-2 * variance)) for variance in variances.unbind()]
        slopes = [part / (2 * count * variance) for part, variance in zip(parts, variances.unbind(), strict=True)]
        return sum(parts[1:], start=parts[0]) / count, sum(slopes[1:], start=slopes[0]) if slope else distances
    top = variances.amax()
    part = torch.exp(distances * (-0.5 / top))
    kernel, steep, power = part, part, 1
    for wanted in powers[1:]:
        while power < wanted:
            part, power = part * part, 2 * power
        kernel = kernel + part
        steep = torch.add(steep, part, alpha=power) if slope else steep
    return kernel / count, steep * (0.5 / (count * top))


def _value(
    layers: Sequence[Tensor],
    variances: Sequence[Tensor],
    powers: Sequence[tuple[int, ...] | None],
    weights: Tensor,
    mixing: Tensor | None,
) -> Tensor:
    layers = [_centred(rows) for rows in layers]
    kernel = product([_kernels(*each, slope=False)[0] for each in zip(layers, variances, powers, strict=True)])
    return (mix(weights, mixing) * (kernel @ weights)).sum()


def _dense(
    layers: Sequence[Tensor],
    variances: Sequence[Tensor],
    powers: Sequence[tuple[int, ...] | None],
    weights: Tensor,
    mixing: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """Value and gradients from N x N matrices, by operations that can be differentiated once more."""
    layers = [_centred(rows) for rows in layers]
    parts = [_kernels(*each, slope=wants_gradient) for each in zip(layers, variances, powers, strict=True)]
    kernel = product([part[0] for part in parts])
    mixed = mix(weights, mixing)
    sums = kernel @ weights
    value = (mixed * sums).sum()
    if not wants_gradient:
        return (value, 2 * mix(sums, mixing), *(torch.zeros_like(rows) for rows in layers))
    pairs = mixed @ weights.mT
    gradients = []
    for this, rows in enumerate(layers):
        steep = product([parts[this][1], *(part[0] for other, part in enumerate(parts) if other != this)]) * pairs
        gradients.append(4 * (steep - torch.diag_embed(steep.sum(dim=1))) @ rows)
    return (value, 2 * mix(sums, mixing), *gradients)
