"""Weighted sums of Gaussian kernels over all pairs of rows, tile by tile: see ``_kernel_form``."""

from __future__ import annotations

import itertools
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
    levels: Sequence[Sequence[float]] | None,
    wants_gradient: bool,
) -> tuple[Tensor, ...]:
    """The value, half its gradient by the weights, the widest variances, and the gradients by the layers, all in the cache.

    With ``levels`` the weights are constants, and in place of their gradient comes an empty tensor.
    """
    grid = _Grid([len(part) for part in layers[0]], weights.device.type)
    factors = [_Factor(*each, counts, grid, wants_gradient) for each in zip(layers, scales, given, strict=True)]
    widest = [factor.widest for factor in factors]
    count = math.prod(each.number(known) for each, known in zip(scales, given, strict=True))
    if levels is None:
        mixed = mix(weights, mixing)
        sums = _sweep(factors, grid, weights, mixed, wants_gradient).div_(count)
        value, half_of_weights = (mixed * sums).sum(), mix(sums, mixing)
    else:
        value = _sweep_of_levels(factors, grid, levels, wants_gradient) / count
        half_of_weights = weights.new_empty(0)
    if not wants_gradient:
        return value, half_of_weights, *widest
    gradients = [factor.gradient(2 / count * factor.unit / factor.widest) for factor in factors]
    return value, half_of_weights, *widest, *gradients


def _sweep(factors: Sequence[_Factor], grid: _Grid, weights: Tensor, mixed: Tensor, wants_gradient: bool) -> Tensor:
    """``K weights``; on the way the gradients of the factors add up."""
    sums = torch.zeros_like(weights)
    of, pulls, made = (grid.blocks(each) for each in (weights, mixed, sums))
    for i, j in grid.tiles:
        tiles = [factor.tile(i, j, wants_gradient) for factor in factors]
        kernel = product([kernel for kernel, _ in tiles])
        made[i].addmm_(kernel, of[j])
        if j != i:
            made[j].addmm_(kernel.mT, of[i])
        if wants_gradient:
            for factor, steep in zip(factors, _slopes(tiles), strict=True):
                factor.add(i, j, _times_pairs(steep, pulls[i], of[j]))
    return sums


def _sweep_of_levels(
    factors: Sequence[_Factor], grid: _Grid, levels: Sequence[Sequence[float]], wants_gradient: bool
) -> Tensor:
    """``sum(weights * (K weights))``; on the way the gradients of the factors add up.

    Here one number is the weight of all pairs of a tile, which takes no pass over the tile.
    """
    terms = []
    for i, j in grid.tiles:
        pair = sum(left * right for left, right in zip(levels[grid.part[i]], levels[grid.part[j]], strict=True))
        tiles = [factor.tile(i, j, wants_gradient) for factor in factors]
        total = product([kernel for kernel, _ in tiles]).sum()
        terms.append(total * (pair if i == j else 2 * pair))
        if wants_gradient:
            for factor, steep in zip(factors, _slopes(tiles), strict=True):
                factor.add(i, j, steep, pair)
    return torch.stack(terms).sum()


def _slopes(tiles: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The slope of each factor times the kernels of the others, in the place of the slopes."""
    for this, (_, steep) in enumerate(tiles):
        for other, (kernel, _) in enumerate(tiles):
            if other != this:
                steep.mul_(kernel)
    return [steep for _, steep in tiles]


def _times_pairs(tile: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The tile times ``left @ right.mT``, in its place; of single columns that takes no product."""
    return tile.mul_(left).mul_(right.mT) if left.shape[1] == 1 else tile.mul_(left @ right.mT)


class _Grid:
    """How the pairs of rows are cut into tiles: each of two blocks of rows, and none across the edge of a part.

    Example:
        >>> grid = _Grid([4, 2], "cpu")  # one large block of each part, and both halves of each
        >>> [len(block) for block in grid.blocks(torch.zeros(6))], grid.tiles
        ([4, 2, 2, 2, 1, 1], [(0, 1), (2, 2), (2, 3), (3, 3), (4, 4), (4, 5), (5, 5)])
    """

    def __init__(self, lengths: Sequence[int], device: str) -> None:
        counts = [-(-rows // _TILE.get(device, 512)) for rows in lengths]
        self.large = [
            (rows + i) // count for rows, count in zip(lengths, counts, strict=True) for i in range(count)
        ]  # near the best size, and alike
        self.small = [half for size in self.large for half in (size - size // 2, size // 2)]
        self.part = [part for part, count in enumerate(counts) for _ in range(count)]
        self.part += [part for part in self.part for _ in range(2)]

    def blocks(self, x: Tensor) -> tuple[Tensor, ...]:
        """The large blocks of rows, and behind them their halves."""
        return *x.split_with_sizes(self.large), *x.split_with_sizes(self.small)

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Which two blocks each tile is of, so that tiles cover the upper triangle of all pairs of rows.

        Half of a tile on the diagonal is waste, so those are of halves.
        """
        large = len(self.large)
        tiles = list(itertools.combinations(range(large), 2))
        for half in range(large, 3 * large, 2):
            tiles += [(half, half), (half, half + 1), (half + 1, half + 1)]
        return tiles


class _Factor:
    """Tiles of one factor of the kernel and of its slope, in reused buffers; and the gradient, as it adds up."""

    def __init__(
        self,
        parts: Sequence[Tensor],
        scales: Scales,
        given: Tensor | None,
        counts: Tensor | None,
        grid: _Grid,
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
        self.buffers = [rows.new_empty(max(grid.large) ** 2) for _ in range(4)]
        self.blocks, self.halves = grid.blocks(self.rows), grid.blocks(halves)
        if wants_gradient:
            self.total, self.mass = torch.zeros_like(self.rows), torch.zeros_like(halves)
            self.totals, self.masses = grid.blocks(self.total), grid.blocks(self.mass)

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

    def add(self, i: int, j: int, steep: Tensor, pair: float = 1.0) -> None:
        """What a tile of slopes times ``pair`` adds to the gradients of its rows: a tile serves both its sides."""
        self._pull(i, j, steep, pair)
        if j != i:
            self._pull(j, i, steep.mT, pair)

    def _pull(self, to: int, of: int, steep: Tensor, pair: float) -> None:
        # These sums nearly cancel where the samples are alike: a product with ones, term by term, would lose a digit.
        self.masses[to].add_(steep.sum(dim=1), alpha=pair)
        self.totals[to].addmm_(steep, self.blocks[of], alpha=pair)

    def gradient(self, factor: Tensor) -> Tensor:
        """The sum of ``steep_ij (x_j - x_i)``, times a factor."""
        return self.total.addcmul_(self.mass[:, None], self.rows, value=-1).mul_(factor)
