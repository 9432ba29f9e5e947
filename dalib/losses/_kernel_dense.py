"""Weighted sums of Gaussian kernels over all pairs of rows, from whole matrices of pairs: see ``_kernel_form``."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dalib.kernels import gaussian_kernel, squared_distances
from dalib.losses._gaussian_scales import LOG2_E, Scales, centred, sums_of_kernels, variances_of


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
    layers: Sequence[Sequence[Tensor]],
    scales: Sequence[Scales],
    given: Sequence[Tensor | None],
    counts: Tensor | None,
    weights: Tensor,
    mixing: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """The value, half its gradient by the weights, the variances, and of each layer two factors of its gradient.

    The first factor is of rows x rows, so that what flows in on the way back scales a small matrix.
    """
    mixed = mix(weights, mixing)
    rows = [centred(parts) for parts in layers]
    blocks = [_Block(*each, counts, wants_gradient) for each in zip(rows, scales, given, strict=True)]
    variances = [block.variances for block in blocks]
    count = math.prod(len(each) for each in variances)
    # Numbers are factors of a product where they can be: on their own each is another pass, as dear as the small ones.
    kernel = product([block.kernel for block in blocks])
    sums = torch.addmm(weights, kernel, weights, beta=0, alpha=1 / count)
    value = torch.dot(mixed.reshape(-1), sums.view(-1))
    if not wants_gradient:
        return value, mix(sums, mixing), *variances
    pairs = torch.addmm(kernel, mixed, weights.mT, beta=0, alpha=2 / count)
    pulls = []
    for this, block in enumerate(blocks):
        pull = block.steep.mul_(pairs).div_(block.top)
        for other, factor in enumerate(blocks):
            if other != this:
                pull.mul_(factor.kernel)
        pull.diagonal().sub_(pull.sum(dim=1))
        pulls.append(pull)
    return value, mix(sums, mixing), *variances, *pulls, *rows


class _Block:
    """One factor of the kernel, and of its slope, for all pairs."""

    def __init__(self, rows: Tensor, scales: Scales, given: Tensor | None, counts: Tensor | None, slope: bool) -> None:
        buffers = [rows.new_empty(len(rows), len(rows)) for _ in range(3)]
        exponent = torch.addmm(buffers[0], rows, rows.mT, beta=0, alpha=LOG2_E)
        squares = exponent.diagonal().clone()  # of the same product, so that the diagonal becomes exactly zero
        exponent.sub_(squares[:, None], alpha=0.5).sub_(squares, alpha=0.5).clamp_(max=0)

        def spread(parts: Tensor) -> Tensor:
            return (parts @ exponent @ parts).neg_()

        self.variances = variances_of(scales, given, rows, spread, counts, over=LOG2_E / 2)
        self.top = self.variances.amax()
        exponent.div_(self.top)  # minus half the squared distances, over the widest variance, for powers of two
        self.kernel, self.steep = sums_of_kernels(exponent, self.variances, scales.powers, slope, buffers)
