"""Weighted sums of Gaussian kernels over all pairs of rows, tile by tile: see ``_kernel_form``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dalib.losses._gaussian_scales import (
    LN_2,
    Scales,
    centred,
    dtype_of_pulls,
    row_parts,
    sums_of_kernels,
    totals_of_kernels,
)
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
        value = (_sweep_of_levels(factors, grid, levels, wants_gradient) / count).to(weights.dtype)
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
    """``sum(weights * (K weights))`` in float64; on the way the gradients of the factors add up.

    Here one number is the weight of all pairs of a tile, which takes no pass over the tile.
    """
    totals: dict[float, list[Tensor]] = {}
    for i, j in grid.tiles:
        pair = sum(left * right for left, right in zip(levels[grid.part[i]], levels[grid.part[j]], strict=True))
        found, steeps = _totals_and_slopes(factors, i, j, wants_gradient)
        totals.setdefault(pair if i == j else 2 * pair, []).extend(found)
        if wants_gradient:
            for factor, steep in zip(factors, steeps, strict=True):
                factor.add(i, j, steep, pair)
    return torch.stack([torch.stack(found).sum(dtype=torch.float64) * pair for pair, found in totals.items()]).sum()


def _totals_and_slopes(
    factors: Sequence[_Factor], i: int, j: int, slope: bool
) -> tuple[list[Tensor], Sequence[Tensor]]:
    """What adds up to the total of a tile of the kernel, and what ``_slopes`` makes of the tile."""
    if len(factors) == 1:
        totals, steep = factors[0].totals_of_tile(i, j, slope)
        return totals, [steep]
    tiles = [factor.tile(i, j, slope) for factor in factors]
    return [product([kernel for kernel, _ in tiles]).sum()], _slopes(tiles) if slope else []


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
        self.place = [(i + 0.5) / count for count in counts for i in range(count)]
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
        # The parts take turns: what each adds to a gradient then cancels early, before it has cost digits.
        tiles = list(itertools.combinations(sorted(range(large), key=self.place.__getitem__), 2))
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
        self.memory = self.buffers = [rows.new_empty(max(grid.large) ** 2) for _ in range(4)]
        # Views are made once: in a loop of tiles each counts.
        self.blocks, self.halves = grid.blocks(self.rows), grid.blocks(halves)
        self.across, self.upright = [each.mT for each in self.blocks], [each[:, None] for each in self.halves]
        # Rounding makes exponents positive where rows are far from the middle in units of their bandwidth.
        self.clamps = halves.device.type != "cpu" or float(halves.amax()) > 1
        if wants_gradient:
            self.exact = dtype_of_pulls(self.rows)
            self.columns = grid.blocks(self.rows.to(self.exact))
            self.total = torch.zeros_like(self.rows, dtype=self.exact)
            self.mass = torch.zeros_like(halves, dtype=torch.float64)
            self.totals, self.masses = grid.blocks(self.total), grid.blocks(self.mass)

    def tile(self, i: int, j: int, slope: bool) -> tuple[Tensor, Tensor]:
        """The kernel of two blocks of rows, and its slope."""
        return sums_of_kernels(self._exponent(i, j), self.ratios, slope, self.buffers[1:])

    def totals_of_tile(self, i: int, j: int, slope: bool) -> tuple[list[Tensor], Tensor]:
        """What adds up to the total of that kernel, and its slope."""
        return totals_of_kernels(self._exponent(i, j), self.ratios, slope, self.buffers[1:])

    def _exponent(self, i: int, j: int) -> Tensor:
        """Minus half the squared distances of two blocks of rows, in the first buffer; all get their shape."""
        rows, columns = self.blocks[i], self.across[j]
        shape = rows.shape[0], columns.shape[1]
        if self.buffers[0].shape != shape:
            self.buffers = [each[: math.prod(shape)].view(shape) for each in self.memory]
        exponent = self.buffers[0]
        torch.add(self.upright[i], self.halves[j], out=exponent)
        torch.addmm(exponent, rows, columns, beta=-1, out=exponent)
        if self.clamps:
            exponent.clamp_(max=0)
        if i == j:
            exponent.fill_diagonal_(0)
        return exponent

    def add(self, i: int, j: int, steep: Tensor, pair: float = 1.0) -> None:
        """What a tile of slopes times ``pair`` adds to the gradients of its rows: a tile serves both its sides."""
        steep = steep if steep.dtype == self.exact else steep.to(self.exact)
        self.masses[i].add_(_sums(steep, 1), alpha=pair)
        self.totals[i].addmm_(steep, self.columns[j], alpha=pair)
        if j != i:
            self.masses[j].add_(_sums(steep, 0), alpha=pair)
            self.totals[j].addmm_(steep.mT, self.columns[i], alpha=pair)

    def gradient(self, factor: Tensor) -> Tensor:
        """The sum of ``steep_ij (x_j - x_i)``, times a factor."""
        mass, rows = self.mass[:, None].to(self.exact), self.rows.to(self.exact)
        return self.total.addcmul_(mass, rows, value=-1).to(self.rows.dtype).mul_(factor)


def _sums(tile: Tensor, dim: int) -> Tensor:
    """The sums along a dimension in float64, at the speed of the tile's dtype: only stretches of 64 are summed in that.

    Those of two samples nearly cancel where these are alike, and the rounding of a plain sum would be seen.
    """
    rest = tile.shape[dim] % 64
    whole, over = tile.split_with_sizes((tile.shape[dim] - rest, rest), dim=dim) if rest else (tile, None)
    sums = torch.unflatten(whole, dim, (-1, 64)).sum(dim=dim + 1).sum(dim=dim, dtype=torch.float64)
    return sums if over is None else sums.add_(over.sum(dim=dim))
