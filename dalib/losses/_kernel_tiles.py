"""Weighted sums of Gaussian kernels over all pairs of rows, tile by tile: see ``_kernel_form``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dalib.losses._gaussian_scales import LN_2, Scales, centred, row_parts, sums_of_kernels
from dalib.losses._kernel_dense import mix, product

_TILE = {"cpu": 512, "cuda": 4096}
"""The edge of a tile: on a CPU a few of them fit into the cache, on a GPU one keeps it busy."""


def tiled(
    layers: Sequence[Sequence[Tensor]],
    scales: Sequence[Scales],
    given: Sequence[Tensor | None],
    counts: Tensor | None,
    weights: Tensor,
    mixing: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """The value, half its gradient by the weights, the widest variances, and the gradients by the layers, all in the cache."""
    factors = [_Factor(*each, counts, wants_gradient) for each in zip(layers, scales, given, strict=True)]
    widest = [factor.widest for factor in factors]
    mixed = mix(weights, mixing)
    sums = torch.zeros_like(weights)
    _sweep(factors, weights, mixed, sums, wants_gradient)
    count = math.prod(each.number(known) for each, known in zip(scales, given, strict=True))
    sums /= count
    value = (mixed * sums).sum()
    if not wants_gradient:
        return value, mix(sums, mixing), *widest
    gradients = [factor.gradient(2 / count * factor.unit / factor.widest) for factor in factors]
    return value, mix(sums, mixing), *widest, *gradients


def _sweep(factors: Sequence[_Factor], weights: Tensor, mixed: Tensor, sums: Tensor, wants_gradient: bool) -> None:
    """Add up ``sums = K weights`` and the gradients of the factors; a tile serves both its sides."""
    of, pulls, made = (_cut(each, factors[0].edge) for each in (weights, mixed, sums))
    for i, j in _pairs(len(weights), factors[0].edge):
        tiles = [factor.tile(i, j, wants_gradient) for factor in factors]
        kernel = product([kernel for kernel, _ in tiles])
        made[i].addmm_(kernel, of[j])
        if j != i:
            made[j].addmm_(kernel.mT, of[i])
        if not wants_gradient:
            continue
        for this, factor in enumerate(factors):
            steep = _times_pairs(tiles[this][1], pulls[i], of[j])
            for other, (factor_kernel, _) in enumerate(tiles):
                if other != this:
                    steep.mul_(factor_kernel)
            factor.add(i, j, steep)
            if j != i:
                factor.add(j, i, steep.mT)


def _times_pairs(tile: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The tile times ``left @ right.mT``, in its place; of single columns that takes no product."""
    return tile.mul_(left).mul_(right.mT) if left.shape[1] == 1 else tile.mul_(left @ right.mT)


def _edge(rows: int, device: str) -> int:
    """The edge of the tiles: even, near the best for the device, and such that the last tile is not a sliver."""
    tiles = -(-rows // _TILE.get(device, 512))
    return 2 * -(-rows // (2 * tiles))


def _cut(x: Tensor, edge: int) -> tuple[Tensor, ...]:
    """Blocks of rows, and behind them blocks of half the edge."""
    return *torch.split(x, edge), *torch.split(x, edge // 2)


def _pairs(rows: int, edge: int) -> list[tuple[int, int]]:
    """Which two blocks of a cut each tile is of, so that tiles cover the upper triangle of all pairs of rows.

    Half of a tile on the diagonal is waste, so those are of small blocks.

    Example:
        >>> _pairs(8, 4)  # the cut has blocks 0 and 1 of four rows, 2 to 5 of two
        [(0, 1), (2, 2), (2, 3), (3, 3), (4, 4), (4, 5), (5, 5)]
    """
    large, small = -(-rows // edge), -(-rows // (edge // 2))
    pairs = [(i, j) for i in range(large) for j in range(i + 1, large)]
    for i in range(small):
        of_one_large_block = [j for j in (i, i + 1) if j < small and i // 2 == j // 2]
        pairs += [(large + i, large + j) for j in of_one_large_block]
    return pairs


class _Factor:
    """Tiles of one factor of the kernel and of its slope, in reused buffers; and the gradient, as it adds up."""

    def __init__(
        self,
        parts: Sequence[Tensor],
        scales: Scales,
        given: Tensor | None,
        counts: Tensor | None,
        wants_gradient: bool,
    ) -> None:
        around = centred(parts, counts)
        self.rows = rows = around.rows
        squares = torch.linalg.vector_norm(self.rows, dim=1).square_()

        def spread() -> Tensor:
            parts = row_parts(rows, counts)
            middle = parts @ self.rows  # of centred rows: taking its square away cancels next to no digits
            half: Tensor = (parts @ squares - middle @ middle).clamp_min(0)
            return half

        self.widest = scales.widest(given, around, spread, over=0.5)
        self.ratios = scales.ratios(given, self.widest)
        # In these units minus half a squared distance is the exponent.
        self.unit = (self.widest * LN_2).sqrt()
        self.rows.mul_(1 / self.unit)
        halves = squares.mul_(0.5 / self.unit**2)
        self.edge = edge = _edge(len(rows), rows.device.type)
        self.buffers = [rows.new_empty(edge * edge) for _ in range(4)]
        self.blocks, self.halves = _cut(self.rows, edge), _cut(halves, edge)
        if wants_gradient:
            self.total, self.mass = torch.zeros_like(self.rows), torch.zeros_like(halves)
            self.totals, self.masses = _cut(self.total, edge), _cut(self.mass, edge)

    def tile(self, i: int, j: int, slope: bool) -> tuple[Tensor, Tensor]:
        """The kernel of two blocks of rows, and its slope."""
        rows, columns = self.blocks[i], self.blocks[j]
        shape = len(rows), len(columns)
        exponent, kernel, steep, spare = (buffer[: math.prod(shape)].view(shape) for buffer in self.buffers)
        torch.add(self.halves[i][:, None], self.halves[j], out=exponent)
        torch.addmm(exponent, rows, columns.mT, beta=-1, out=exponent)
        exponent.clamp_(max=0)
        if i == j:
            exponent.fill_diagonal_(0)
        return sums_of_kernels(exponent, self.ratios, slope, (kernel, steep, spare))

    def add(self, to: int, of: int, steep: Tensor) -> None:
        """What the pull of one block of rows adds to the gradient of another."""
        # These sums nearly cancel where the samples are alike: a product with ones, term by term, would lose a digit.
        self.masses[to].add_(steep.sum(dim=1))
        self.totals[to].addmm_(steep, self.blocks[of])

    def gradient(self, factor: Tensor) -> Tensor:
        """The sum of ``steep_ij (x_j - x_i)``, times a factor."""
        return self.total.addcmul_(self.mass[:, None], self.rows, value=-1).mul_(factor)
