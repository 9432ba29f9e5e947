"""Weighted sums of Gaussian kernels over all pairs of rows, from whole matrices of pairs: see ``_kernel_form``."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dalib.kernels import gaussian_kernel, squared_distances
from dalib.losses._gaussian_scales import (
    Centred,
    Scales,
    centred,
    dtype_of_pulls,
    row_parts,
    sums_of_kernels,
    unit_of_exponents,
)
from dalib.losses._piled import piled


def mix(weights: Tensor, mixing: Tensor | None) -> Tensor:
    """``weights @ mixing``, where no mixing is the identity."""
    return weights if mixing is None else weights @ mixing


def product(factors: Sequence[Tensor]) -> Tensor:
    """The elementwise product of the factors.

    Example:
        >>> product([torch.tensor([2.0]), torch.tensor([3.0])])
        tensor([6.])
    """
    return functools.reduce(torch.mul, factors)


def value_of(layers: Sequence[Tensor], variances: Sequence[Tensor], weights: Tensor, mixing: Tensor | None) -> Tensor:
    """The form by operations that autograd, ``torch.func`` and the compiler can take apart, as often as they like."""
    counts = weights.detach().abs().sum(dim=1)  # which rows are there at all
    parts = counts / counts.sum().clamp_min(torch.finfo(counts.dtype).tiny)
    kernel = product(
        [
            gaussian_kernel(squared_distances(rows, about=parts @ rows.detach()), each)
            for rows, each in zip(layers, variances, strict=True)
        ]
    )
    return (mix(weights, mixing) * (kernel @ weights)).sum()


def dense(
    layers: Sequence[Sequence[Tensor]],
    scales: Sequence[Scales],
    given: Sequence[Tensor | None],
    counts: Tensor | None,
    weights: Tensor,
    mixing: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """The value, half its gradient by the weights, the widest variances, and of each layer two factors of its gradient.

    The first factor is of rows x rows, so that what flows in on the way back scales a small matrix. Gradients are still to be
    divided by the widest variance of their layer.
    """
    mixed = mix(weights, mixing)
    around = [centred(piled(parts), counts) for parts in layers]
    # Matrices of all pairs are few and written over: each that is fresh comes from outside of the cache.
    spare = weights.new_empty(len(weights), len(weights))
    blocks = [_Block(*each, counts, wants_gradient, spare) for each in zip(around, scales, given, strict=True)]
    widest = [block.widest for block in blocks]
    count = math.prod(each.number(known) for each, known in zip(scales, given, strict=True))
    # Numbers are factors of a product where they can be: on their own each is another pass, as dear as the small ones.
    first, *others = (block.kernel for block in blocks)
    kernel = functools.reduce(functools.partial(torch.mul, out=spare), others, first)
    sums = torch.addmm(weights, kernel, weights, beta=0, alpha=1 / count)
    value = (mixed * sums).sum()
    if not wants_gradient:
        return value, mix(sums, mixing), *widest
    pairs = torch.addmm(spare, mixed, weights.mT, beta=0, alpha=2 / count, out=spare)
    pulls = []
    exact = [dtype_of_pulls(each.rows) for each in around]
    for this, block in enumerate(blocks):
        pull = block.steep.mul_(pairs)
        for other, factor in enumerate(blocks):
            if other != this:
                pull.mul_(factor.kernel)
        pull = pull.to(exact[this])
        # No row is pulled to itself, and beside those slopes the small ones of others would be lost. The operation that makes
        # them zero is that of the next line: to fetch the code of another one costs a small batch 1 or 2 %.
        own = pull.diagonal()
        own.sub_(own)
        own.sub_(pull.sum(dim=1))
        pulls.append(pull)
    rows = [each.rows.to(dtype) for each, dtype in zip(around, exact, strict=True)]
    return value, mix(sums, mixing), *widest, *pulls, *rows


class _Block:
    """One factor of the kernel, and of its slope, for all pairs."""

    def __init__(
        self, around: Centred, scales: Scales, given: Tensor | None, counts: Tensor | None, slope: bool, spare: Tensor
    ) -> None:
        exponent = around.rows @ around.rows.mT
        halves = exponent.diagonal() * 0.5  # of the same product, so that the diagonal becomes exactly zero
        exponent.sub_(halves).sub_(halves.unsqueeze(1)).clamp_(max=0)

        def spread() -> Tensor:
            parts = row_parts(around.rows, counts)
            return torch.dot(torch.addmv(parts, exponent, parts, beta=0, alpha=-1), parts)

        self.widest = scales.widest(given, around, spread, over=0.5)
        exponent.div_(unit_of_exponents(self.widest))
        ratios = scales.ratios(given, self.widest)
        self.kernel, self.steep = sums_of_kernels(exponent, ratios, slope, (None, None, spare))
