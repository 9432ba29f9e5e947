"""Weighted sums of Gaussian kernels over all pairs of rows, tile by tile: see ``kernel_form``."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_TILE = {"cpu": 512, "cuda": 4096}
"""The edge of a tile: on a CPU a few of them fit into the cache, on a GPU one keeps it busy."""


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


def tiled(
    layers: Sequence[Tensor],
    variances: Sequence[Tensor],
    powers: Sequence[tuple[int, ...] | None],
    weights: Tensor,
    mixing: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """The same in tiles of the upper triangle, in buffers that stay in the cache."""
    tops = [each.amax() for each in variances]
    # Centred rows in units of the widest bandwidth, and a column of ones: minus half their squared distance is the exponent.
    extended = [_extended(rows, top) for rows, top in zip(layers, tops, strict=True)]
    factors = [
        _Factor(rows, each, top, kinds)
        for rows, each, top, kinds in zip(extended, variances, tops, powers, strict=True)
    ]
    mixed = mix(weights, mixing)
    totals = [torch.zeros_like(rows) for rows in extended] if wants_gradient else []
    sums = torch.zeros_like(weights)
    _sweep(factors, weights, mixed, sums, totals)
    count = math.prod(factor.count for factor in factors)
    sums /= count
    value = (mixed * sums).sum()
    if not wants_gradient:
        return (value, 2 * mix(sums, mixing), *(torch.zeros_like(rows) for rows in layers))
    gradients = []
    for total, rows, top in zip(totals, extended, tops, strict=True):
        gradient = total[:, :-1].addcmul_(total[:, -1:], rows[:, :-1], value=-1)
        factor = 2 / (count * top.sqrt())
        gradients.append(gradient.mul_(mixed * factor if weights.shape[1] == 1 else factor))
    return (value, 2 * mix(sums, mixing), *gradients)


def _extended(rows: Tensor, top: Tensor) -> Tensor:
    made = rows.new_empty(rows.shape[0], rows.shape[1] + 1)
    torch.sub(rows, rows.mean(dim=0), out=made[:, :-1])
    made[:, :-1] /= top.sqrt()
    made[:, -1] = 1
    return made


def _sweep(factors: Sequence[_Factor], weights: Tensor, mixed: Tensor, sums: Tensor, totals: Sequence[Tensor]) -> None:
    """Add up ``sums = K weights`` and, for each factor, ``total = slope rows``; a tile serves both its sides."""
    edge = _edge(len(weights), weights.device.type)
    single = weights.shape[1] == 1  # then the weights go into the rows and no matrix of pairs is needed
    for i in range(0, len(weights), edge):
        for j in range(i, len(weights), edge):
            first, second = slice(i, i + edge), slice(j, j + edge)
            tiles = [factor.tile(first, second, bool(totals)) for factor in factors]
            kernel = product([kernel for kernel, _ in tiles])
            sums[first].addmm_(kernel, weights[second])
            if j > i:
                sums[second].addmm_(kernel.mT, weights[first])
            for this, total in enumerate(totals):
                rows, steep = factors[this].extended, tiles[this][1]
                for other, (factor_kernel, _) in enumerate(tiles):
                    if other != this:
                        steep.mul_(factor_kernel)
                if not single:
                    steep.mul_(mixed[first] @ weights[second].mT)
                total[first].addmm_(steep, rows[second] * weights[second] if single else rows[second])
                if j > i:
                    total[second].addmm_(steep.mT, rows[first] * weights[first] if single else rows[first])


def _edge(rows: int, device: str) -> int:
    """The edge of the tiles: near the best for the device, and such that the last tile is not a sliver."""
    tiles = -(-rows // _TILE.get(device, 512))
    return -(-rows // tiles)


class _Factor:
    """Tiles of one factor of the kernel, and of its slope in units of the widest bandwidth, in reused buffers.

    Both are sums over the bandwidths; the caller divides by their number.
    """

    def __init__(self, rows: Tensor, variances: Tensor, top: Tensor, powers: tuple[int, ...] | None) -> None:
        self.extended = rows
        self.rows = rows[:, :-1]
        self.halves = torch.cat([part.square().sum(dim=1) / 2 for part in torch.split(self.rows, 4096)])
        self.powers = powers
        self.count = variances.shape[0]
        self.ratios = top / variances
        edge = _edge(len(rows), rows.device.type)
        self.buffers = [rows.new_empty(edge * edge) for _ in range(4)]

    def tile(self, first: slice, second: slice, slope: bool) -> tuple[Tensor, Tensor]:
        rows, columns = self.rows[first], self.rows[second]
        exponent, kernel, steep = (self._view(i, (len(rows), len(columns))) for i in range(3))
        torch.add(self.halves[first][:, None], self.halves[second], out=exponent)
        torch.addmm(exponent, rows, columns.mT, beta=-1, out=exponent)
        exponent.clamp_(max=0)
        if first == second:
            exponent.fill_diagonal_(0)
        if self.powers is None:
            self._exponentials(exponent, kernel, steep)
        else:
            self._squarings(exponent.exp_(), kernel, steep, self.powers, slope)
        return kernel, steep

    def _view(self, i: int, shape: tuple[int, ...]) -> Tensor:
        return self.buffers[i][: math.prod(shape)].view(shape)

    def _squarings(self, part: Tensor, kernel: Tensor, steep: Tensor, powers: tuple[int, ...], slope: bool) -> None:
        power = 1
        parts, slopes, spare = part, part, self._view(3, part.shape)
        for wanted in powers[1:]:
            while power < wanted:
                part = torch.mul(part, part, out=spare)
                power *= 2
            parts = torch.add(parts, part, out=kernel)
            slopes = torch.add(slopes, part, alpha=power, out=steep) if slope else steep
        if len(powers) == 1:
            kernel.copy_(part)
            steep.copy_(part)

    def _exponentials(self, exponent: Tensor, kernel: Tensor, steep: Tensor) -> None:
        kernel.zero_()
        steep.zero_()
        for ratio in self.ratios.unbind():
            part = (exponent * ratio).exp_()
            kernel.add_(part)
            steep.addcmul_(part, ratio)
