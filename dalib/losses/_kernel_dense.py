"""Weighted sums of Gaussian kernels over all pairs of rows, from whole matrices of pairs: see ``_kernel_form``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.kernels import gaussian_kernel, squared_distances
from dalib.losses._gaussian_scales import (
    Centred,
    Scales,
    centred,
    dtype_of_pulls,
    sums_of_kernels,
    unit_of_exponents,
)
from dalib.losses._lost_digits import SOME, are_many, are_rounded_apart, first_rows, may_lose_digits, roundings_add_up
from dalib.losses._piled import piled


class Form(NamedTuple):
    """A weighted sum of products of Gaussian kernels over all pairs of rows: see ``_kernel_form``."""

    layers: Sequence[Sequence[Tensor]]
    scales: Sequence[Scales]
    given: Sequence[Tensor | None]
    """The variances of each factor, unless they are multiples of the mean squared distance."""
    counts: Tensor | None
    weights: Tensor
    mixing: Tensor | None
    levels: Sequence[Sequence[float]] | None
    unit: float
    """What the sum is multiplied by, that over all products of kernels in place of their average."""

    @property
    def columns(self) -> Tensor:
        """The weights in the dtype of the rows."""
        return self.weights.to(self.layers[0][0].dtype)

    @property
    def dtype_of_pulls(self) -> torch.dtype:
        """In what the products of slopes and rows are made, of all layers."""
        return (
            torch.float64 if all(dtype_of_pulls(parts[0]) == torch.float64 for parts in self.layers) else torch.float32
        )

    @property
    def weights_are_alike(self) -> bool:
        """Whether many rows may have one weight, whose rounding then does not average out."""
        lengths = [len(part) for part in self.layers[0]]
        if self.levels is not None or not are_many(lengths):
            return False
        several = self.weights.shape[1] > 1
        return several or are_rounded_apart(self.weights.double()[:, 0], lengths, self.layers[0][0].dtype)

    def mixed(self, columns: Tensor) -> Tensor:
        """``columns @ mixing``, where no mixing is the identity."""
        return columns if self.mixing is None else columns @ self.mixing.to(columns.dtype)

    def in_float64(self) -> Form:
        """The same form of more digits; of weights that are known as numbers these, too."""
        weights = self.weights.to(torch.float64, copy=self.levels is not None)
        if self.levels is not None:
            lengths = [len(part) for part in self.layers[0]]
            for rows, level in zip(weights.split_with_sizes(lengths), self.levels, strict=True):
                rows.copy_(rows.new_tensor(level))
        return self._replace(
            layers=[[part.double() for part in parts] for parts in self.layers],
            scales=[
                each._replace(rounded_to=parts[0].dtype) for each, parts in zip(self.scales, self.layers, strict=True)
            ],
            given=[scales.in_float64(each) for scales, each in zip(self.scales, self.given, strict=True)],
            counts=self.counts if self.counts is None else self.counts.double(),
            weights=weights,
            mixing=self.mixing if self.mixing is None else self.mixing.double(),
        )


def product(factors: Sequence[Tensor]) -> Tensor:
    """The elementwise product of the factors.

    Example:
        >>> product([torch.tensor([2.0]), torch.tensor([3.0])])
        tensor([6.])
    """
    return functools.reduce(torch.mul, factors)


def value_of(layers: Sequence[Tensor], variances: Sequence[Tensor], weights: Tensor, mixing: Tensor | None) -> Tensor:
    """The form by operations that autograd, ``torch.func`` and the compiler can take apart, as often as they like."""
    weights = weights.to(layers[0].dtype)
    counts = weights.detach().abs().sum(dim=1)  # which rows are there at all
    parts = counts / counts.sum().clamp_min(torch.finfo(counts.dtype).tiny)
    kernel = product(
        [
            gaussian_kernel(squared_distances(rows, about=parts @ rows.detach()), each)
            for rows, each in zip(layers, variances, strict=True)
        ]
    )
    mixed = weights if mixing is None else weights @ mixing.to(weights.dtype)
    return (mixed * (kernel @ weights)).sum()


def dense(form: Form, wants_gradient: bool) -> tuple[Tensor, ...]:
    """The value, half its gradient by the weights, the widest variances, and of each layer two factors of its gradient.

    The first factor is of rows x rows, so that what flows in on the way back scales a small matrix. Gradients are still to be
    multiplied by twice the unit over the widest variance of their layer.
    """
    weights, counts = form.columns, form.counts
    around = [centred(piled(parts), counts) for parts in form.layers]
    # Matrices of all pairs are few and written over: each that is fresh comes from outside of the cache.
    spare = weights.new_empty(len(weights), len(weights))
    lengths = [len(part) for part in form.layers[0]]
    firsts = first_rows(lengths, any(each is not None for each in form.given)) if wants_gradient else ()
    blocks = [
        _Block(*each, wants_gradient, lengths, firsts, spare)
        for each in zip(around, form.scales, form.given, strict=True)
    ]
    widest = [block.widest for block in blocks]
    if any(block.needs_float64 for block in blocks):
        made = dense(form.in_float64(), wants_gradient)
        known = 2 + len(blocks)  # the factors of a gradient stay as they are, for what they multiply to may cancel
        return *(each.to(weights.dtype) for each in made[:known]), *made[known:]
    first, *others = (block.kernel for block in blocks)
    kernel = functools.reduce(functools.partial(torch.mul, out=spare), others, first)
    # Several columns are of sums that cancel one another, and each rounding is the same for all rows of a class.
    several, dtype = weights.shape[1] > 1, weights.dtype
    if several:
        weights, kernel = form.weights.double(), kernel.double()
    mixed = form.mixed(weights)
    # Numbers are factors of a product where they can be: on their own each is another pass, as dear as the small ones.
    sums = torch.addmm(weights, kernel, weights, beta=0, alpha=form.unit)
    value, half_of_weights = mixed.flatten().dot(sums.flatten()), form.mixed(sums)
    if several:
        value, half_of_weights = value.to(dtype), half_of_weights.to(dtype)
    if not wants_gradient:
        return value, half_of_weights, *widest
    if several:
        pairs = torch.addmm(kernel, mixed, weights.mT, beta=0).to(dtype)
    else:
        pairs = torch.addmm(spare, mixed, weights.mT, beta=0, out=spare)
    pulls = []
    dtypes = [dtype_of_pulls(each.rows) for each in around]
    for this, block in enumerate(blocks):
        pull = block.steep.mul_(pairs)
        for other, factor in enumerate(blocks):
            if other != this:
                pull.mul_(factor.kernel)
        pull = pull.to(dtypes[this])
        # No row is pulled to itself, and beside those slopes the small ones of others would be lost. The operation that makes
        # them zero is that of the next line: to fetch the code of another one costs a small batch 1 or 2 %.
        own = pull.diagonal()
        own.sub_(own)
        own.sub_(pull.sum(dim=1))
        pulls.append(pull)
    rows = [each.rows.to(dtype) for each, dtype in zip(around, dtypes, strict=True)]
    return value, half_of_weights, *widest, *pulls, *rows


class _Block:
    """One factor of the kernel, and of its slope, for all pairs."""

    def __init__(
        self,
        around: Centred,
        scales: Scales,
        given: Tensor | None,
        slope: bool,
        lengths: Sequence[int],
        firsts: Sequence[int],
        spare: Tensor,
    ) -> None:
        exponent = torch.mm(around.rows, around.rows.mT)
        squares = exponent.diagonal().clone()  # of the same product, so that the diagonal becomes exactly zero
        exponent.sub_(squares, alpha=0.5).sub_(squares.unsqueeze(1), alpha=0.5).clamp_(max=0)
        spread = torch.dot(around.parts, squares)
        self.widest = scales.widest(given, around, spread)
        self.needs_float64 = (
            may_lose_digits(exponent)
            and (
                around.are_coarse(float(spread))
                or scales.are_narrow(given, float(spread), around.farthest(squares, lengths, float(spread)))
                # The products of narrow rows are of float64 anyway.
                or (
                    dtype_of_pulls(around.rows) == exponent.dtype
                    and any(roundings_add_up(exponent[i, i + 1 : i + SOME].tolist()) for i in firsts)
                )
            )
        )
        exponent.div_(unit_of_exponents(self.widest))
        ratios = scales.ratios(given, self.widest)
        self.kernel, self.steep = sums_of_kernels(exponent, ratios, slope, (None, None, spare))
