"""Weighted sums of Gaussian kernels over all pairs of rows, from whole matrices of pairs: see ``_kernel_form``."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dalib.kernels import gaussian_kernel, squared_distances
from dalib.losses._gaussian_scales import Scales, sums_of_kernels, variances_of


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
    kernel = product(
        [gaussian_kernel(squared_distances(rows), each) for rows, each in zip(layers, variances, strict=True)]
    )
    return (mix(weights, mixing) * (kernel @ weights)).sum()


def dense(
    layers: Sequence[Tensor],
    scales: Sequence[Scales],
    given: Sequence[Tensor | None],
    counts: Tensor | None,
    weights: Tensor,
    mixing: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """The value, its gradient by the weights, the variances, and of each layer two factors of its gradient.

    The first factor is of rows x rows, so that what flows in on the way back scales a small matrix.
    """
    mixed = mix(weights, mixing)
    rows = [layer - layer.mean(dim=0) for layer in layers]
    blocks = [_Block(*each, counts, wants_gradient) for each in zip(rows, scales, given, strict=True)]
    variances = [block.variances for block in blocks]
    count = math.prod(len(each) for each in variances)
    sums = product([block.kernel for block in blocks]) @ weights / count
    value = (mixed * sums).sum()
    if not wants_gradient:
        return value, 2 * mix(sums, mixing), *variances
    pairs = (mixed * (2 / count)) @ weights.mT
    pulls = []
    for this, block in enumerate(blocks):
        pull = block.steep.mul_(pairs).div_(block.top)
        for other, factor in enumerate(blocks):
            if other != this:
                pull.mul_(factor.kernel)
        pull.diagonal().sub_(pull.sum(dim=1))
        pulls.append(pull)
    return value, 2 * mix(sums, mixing), *variances, *pulls, *rows


class _Block:
    """One factor of the kernel, and of its slope, for all pairs."""

    def __init__(self, rows: Tensor, scales: Scales, given: Tensor | None, counts: Tensor | None, slope: bool) -> None:
        exponent = rows @ rows.mT
        halves = exponent.diagonal() / 2  # of the same product, so that the diagonal becomes exactly zero
        exponent.sub_(halves[:, None]).sub_(halves).clamp_(max=0)  # minus half the squared distances
        self.variances = variances_of(scales, given, rows, lambda parts: -2 * (parts @ exponent @ parts), counts)
        self.top = self.variances.amax()
        exponent.div_(self.top)
        buffers = [torch.empty_like(exponent) for _ in range(3)]
        self.kernel, self.steep = sums_of_kernels(exponent, self.variances, scales.powers, slope, buffers)
