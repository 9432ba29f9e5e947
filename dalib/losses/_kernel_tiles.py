"""Weighted sums of Gaussian kernels over all pairs of rows, tile by tile: see ``_kernel_form``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dalib.losses._gaussian_scales import (
    Scales,
    centred,
    dtype_of_pulls,
    slopes_of_kernels,
    sums_of_kernels,
    totals_of_kernels,
    unit_of_exponents,
)
from dalib.losses._kernel_dense import Form, product
from dalib.losses._lost_digits import SOME, are_lost, first_rows, may_lose_digits, roundings_add_up
from dalib.losses._piled import piled

_TILE = {"cpu": 512, "cuda": 4096}
"""The edge of a tile: on a CPU a few of them fit into the cache, on a GPU one keeps it busy."""

_CLAMP_BEYOND = 16
"""From how far out on, in units of the narrowest variance, exponents are kept from being positive; that is a pass."""

_PANEL = {"cpu": 2**17, "cuda": 2**24}
"""How many numbers of a tile take their passes together: on a CPU two such panels fit into the cache of one core."""


def tiled(form: Form, wants_gradient: bool) -> tuple[Tensor, ...]:
    """The value, half its gradient by the weights, the widest variances, and the gradients by the layers, all in the cache.

    With ``levels`` the weights are constants, and in place of their gradient comes an empty tensor. Gradients are still to be
    multiplied by twice the unit over the widest variance of their layer.
    """
    weights, levels = form.columns, form.levels
    mixed = form.mixed(weights)
    with torch.inference_mode():  # each of the many small operations costs less where autograd does not look on
        grid = _Grid([len(part) for part in form.layers[0]], weights.device.type)
        factors = [
            _Factor(*each, form.counts, grid, wants_gradient, heeds_repeats=wants_gradient or levels is None)
            for each in zip(form.layers, form.scales, form.given, strict=True)
        ]
        loses_digits = any(factor.needs_float64 for factor in factors)
        if loses_digits:
            swept = weights
        elif levels is None:
            swept = _sweep(factors, grid, weights, mixed, wants_gradient)
        else:
            swept = _sweep_of_levels(factors, grid, levels, wants_gradient)
        loses_digits = loses_digits or (wants_gradient and any(factor.lost_digits(form) for factor in factors))
    widest = [factor.widest.clone() for factor in factors]
    if loses_digits:
        return tuple(each.to(weights.dtype) for each in tiled(form.in_float64(), wants_gradient))
    # Autograd saves what is returned, and saves nothing that was made in there.
    if levels is None:
        sums = swept * form.unit
        value, half_of_weights = (mixed * sums).sum(), form.mixed(sums)
    else:
        value, half_of_weights = (swept * form.unit).to(weights.dtype), weights.new_empty(0)
    gradients = [factor.gradient() for factor in factors] if wants_gradient else []
    return value, half_of_weights, *widest, *gradients


def _sweep(factors: Sequence[_Factor], grid: _Grid, weights: Tensor, mixed: Tensor, wants_gradient: bool) -> Tensor:
    """``K weights``; on the way the gradients of the factors add up."""
    sums = torch.zeros_like(weights)
    of, pulls, made = (grid.blocks(each) for each in (weights, mixed, sums))
    for i, j in _tiles(factors, grid, wants_gradient):
        tiles = [factor.tile(i, j, wants_gradient) for factor in factors]
        kernel = product([kernel for kernel, _ in tiles])
        made[i].addmm_(kernel, of[j])
        if j != i:
            made[j].addmm_(kernel.mT, of[i])
        if wants_gradient:
            for factor, steep in zip(factors, _slopes(tiles), strict=True):
                factor.add(i, j, _times_pairs(steep, pulls[i], of[j]))
                factor.count(i, j, steep)
    return sums


def _sweep_of_levels(
    factors: Sequence[_Factor], grid: _Grid, levels: Sequence[Sequence[float]], wants_gradient: bool
) -> Tensor:
    """``sum(weights * (K weights))`` in float64; on the way the gradients of the factors add up.

    Here one number is the weight of all pairs of a tile, which takes no pass over the tile.
    """
    totals: dict[float, list[Tensor]] = {}
    powers = factors[0].powers if len(factors) == 1 else None
    for i, j in _tiles(factors, grid, wants_gradient):
        pair = sum(left * right for left, right in zip(levels[grid.part[i]], levels[grid.part[j]], strict=True))
        if powers is None:
            tiles = [factor.tile(i, j, wants_gradient) for factor in factors]
            found = [(1.0, product([kernel for kernel, _ in tiles]).sum())]
            steeps = _slopes(tiles) if wants_gradient else []
        else:
            tile, panels = factors[0].panels(i, j)
            found = slopes_of_kernels(panels, powers) if wants_gradient else totals_of_kernels(panels, powers)
            steeps = [_without_diagonal(tile, wants_gradient and i == j)]
        for times, total in found:
            totals.setdefault(times * (pair if i == j else 2 * pair), []).append(total)
        if wants_gradient:
            for factor, steep in zip(factors, steeps, strict=True):
                factor.add(i, j, steep, pair)
    parts = [torch.stack(each).sum(dtype=torch.float64) * times for times, each in totals.items()]
    if powers is not None and wants_gradient:  # what the slopes know of the total
        within = [sum(level * level for level in each) for each in levels]
        diagonal = sum(powers) * sum(rows * each for rows, each in zip(grid.lengths, within, strict=True))
        parts.append((factors[0].mass.sum() + diagonal) / powers[-1])
    return torch.stack(parts).sum()


def _tiles(factors: Sequence[_Factor], grid: _Grid, wants_gradient: bool) -> Iterator[tuple[int, int]]:
    """The tiles, one after another; the factors hold the left rows of each."""
    for block, halves, partners in grid.runs:
        for factor in factors:
            factor.hold(block, halves)
        yield from partners
        for factor in factors if wants_gradient else ():
            factor.finish(block)


def _slopes(tiles: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The slope of each factor times the kernels of the others, in the place of the slopes."""
    for this, (_, steep) in enumerate(tiles):
        for other, (kernel, _) in enumerate(tiles):
            if other != this:
                steep.mul_(kernel)
    return [steep for _, steep in tiles]


def _without_diagonal(slopes: Tensor, has_one: bool) -> Tensor:
    """The slopes of different rows: a row is not pulled to itself, and beside those the small ones of others would be lost."""
    return slopes.fill_diagonal_(0) if has_one else slopes


def _times_pairs(tile: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The tile times ``left @ right.mT``, in its place; of single columns that takes no product."""
    return tile.mul_(left).mul_(right.mT) if left.shape[1] == 1 else tile.mul_(left @ right.mT)


class _Grid:
    """How the pairs of rows are cut into tiles: each of two blocks of rows, and none across the edge of a part.

    Example:
        >>> grid = _Grid([4, 2], "cpu")  # one large block of each part, and both halves of each
        >>> [len(block) for block in grid.blocks(torch.zeros(6))]
        [4, 2, 2, 2, 1, 1]
        >>> [tiles for _, _, tiles in grid.runs]
        [[(0, 1), (2, 2), (2, 3), (3, 3)], [(4, 4), (4, 5), (5, 5)]]
    """

    def __init__(self, lengths: Sequence[int], device: str) -> None:
        self.lengths = lengths
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
    def runs(self) -> Iterator[tuple[int, tuple[int, int], list[tuple[int, int]]]]:
        """Each large block, its halves, and the tiles whose left rows are among its rows.

        All tiles together cover the upper triangle of all pairs of rows. Half of a tile on the diagonal is waste, so those
        are of halves.
        """
        large = len(self.large)
        # The parts take turns: what each adds to a gradient then cancels early, before it has cost digits.
        order = sorted(range(large), key=self.place.__getitem__)
        for at, block in enumerate(order):
            first = large + 2 * block
            second = first + 1
            tiles = [(block, other) for other in order[at + 1 :]]
            yield block, (first, second), [*tiles, (first, first), (first, second), (second, second)]


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
        heeds_repeats: bool,
    ) -> None:
        width = parts[0].shape[1]
        right = piled(parts, extra=2)
        around = centred(right[:, :width], counts)
        rows = around.rows
        squares = torch.linalg.vector_norm(rows, dim=1).square_()
        spread, lengths = torch.dot(around.parts, squares), [len(part) for part in parts]
        self.widest = scales.widest(given, around, spread)
        self.ratios = scales.ratios(given, self.widest)
        self.powers = scales.powers
        self.scale = 1 / unit_of_exponents(self.widest)
        self.distance = 2 * spread
        self.needs_float64 = may_lose_digits(rows) and (
            around.are_coarse(float(spread))
            or scales.are_narrow(given, float(spread), around.farthest(squares, lengths, float(spread)))
            or (heeds_repeats and any(_some_repeat(rows[i:]) for i in first_rows(lengths, given is not None)))
        )
        halves = squares.mul_(self.scale * -0.5)
        # The two more columns take the halves of the squares off within the product: rows of ``left`` times those of
        # ``right`` are the exponents, minus half the squared distances in units of the widest variance.
        right[:, width], right[:, width + 1] = 1, halves
        self.right = grid.blocks(right)
        self.across = [each.mT for each in self.right]
        self.left: dict[int, Tensor] = {}
        self.memory_of_left = right.new_empty(max(grid.large), width + 2)
        # Rounding makes exponents positive where rows are far from the middle in units of the narrowest bandwidth.
        self.clamps = halves.device.type != "cpu" or float(halves.amin()) * float(max(self.ratios)) < -_CLAMP_BEYOND
        self.memory = [rows.new_empty(max(grid.large) ** 2) for _ in range(4)]
        self.at_once = _PANEL.get(rows.device.type, 2**17)
        self.shaped: dict[tuple[int, int], tuple[list[Tensor], list[tuple[Tensor, Tensor]]]] = {}
        if wants_gradient:
            self.rows, self.exact = rows, dtype_of_pulls(rows)
            self.columns = grid.blocks(rows.to(self.exact))
            with torch.inference_mode(False):  # autograd saves it
                self.total = torch.zeros(rows.shape, dtype=self.exact, device=rows.device)
            self.totals = grid.blocks(self.total)
            # Of pairs within a part and across parts: these have other signs, and the size of the pulls is seen of each alone.
            self.mass = torch.zeros(2, len(rows), dtype=torch.float64, device=rows.device)
            self.masses = [grid.blocks(each) for each in self.mass]
            self.part, self.lengths = grid.part, list(grid.lengths)
            self.watches, self.squares, self.pulls = may_lose_digits(rows), list[Tensor](), list[Tensor]()

    def hold(self, block: int, halves: tuple[int, int]) -> None:
        """Makes what is left in the tiles of a block of rows and of its halves."""
        right = self.right[block]
        left = self.memory_of_left[: len(right)]
        torch.mul(right[:, :-2], self.scale, out=left[:, :-2])
        left[:, -2], left[:, -1] = right[:, -1], 1
        first = len(self.right[halves[0]])
        self.left = {block: left, halves[0]: left[:first], halves[1]: left[first:]}

    def tile(self, i: int, j: int, slope: bool) -> tuple[Tensor, Tensor]:
        """The kernel of two blocks of rows, and its slope."""
        exponent, *others = self._exponent(i, j)[0]
        kernel, steep = sums_of_kernels(exponent, self.ratios, slope, others)
        return kernel, _without_diagonal(steep, slope and i == j)

    def panels(self, i: int, j: int) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The exponents of two blocks of rows; and in panels, each beside room for as much."""
        (exponent, *_), panels = self._exponent(i, j)
        return exponent, panels

    def _exponent(self, i: int, j: int) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Buffers in the shape of the tile, of which the first holds the exponents, and the panels of that one."""
        rows, columns = self.left[i], self.across[j]
        shape = rows.shape[0], columns.shape[1]
        if shape not in self.shaped:  # views are made once: in a loop of tiles each counts
            size = math.prod(shape)
            exponent, *_, spare = buffers = [each[:size].view(shape) for each in self.memory]
            parts = exponent.chunk(max(1, -(-size // self.at_once)))
            self.shaped[shape] = buffers, [(part, spare[: len(part)]) for part in parts]
        buffers, panels = self.shaped[shape]
        exponent = torch.mm(rows, columns, out=buffers[0])
        if self.clamps:
            exponent.clamp_(max=0)
        if i == j:
            exponent.fill_diagonal_(0)
        return buffers, panels

    def add(self, i: int, j: int, steep: Tensor, pair: float = 1.0) -> None:
        """What a tile of slopes times ``pair`` adds to the gradients of its rows: a tile serves both its sides."""
        steep = steep if steep.dtype == self.exact else steep.to(self.exact)
        masses = self.masses[self.part[i] != self.part[j]]
        masses[i].add_(_sums(steep, 1), alpha=pair)
        if j != i:
            masses[j].add_(_sums(steep, 0), alpha=pair)
            self.totals[j].addmm_(steep.mT, self.columns[i], alpha=pair)
        self.totals[i].addmm_(steep, self.columns[j], alpha=pair)

    def finish(self, block: int) -> None:
        """Takes the rows of a block, of which no tile is left, off their gradients, while both are in the cache."""
        within, across = (each[block] for each in self.masses)
        total = self.totals[block].addcmul_((within + across)[:, None].to(self.exact), self.columns[block], value=-1)
        if self.watches:
            flat = total.view(-1)
            self.squares.append(flat.dot(flat))

    def gradient(self) -> Tensor:
        """The sum of ``steep_ij (x_j - x_i)``."""
        return self.total.to(self.rows.dtype)

    def count(self, i: int, j: int, pulls: Tensor) -> None:
        """Takes note of how large the pulls of a tile are."""
        if self.watches:
            flat = pulls.view(-1)
            self.pulls.append(flat.dot(flat) * (1 if i == j else 2))

    def lost_digits(self, form: Form) -> bool:
        """Whether rounding has taken too many digits of the gradient."""
        if not self.watches:
            return False
        left, pulls = sum(map(float, self.squares)), self._square_of_pulls(form)
        beyond = left == math.inf  # squares of a gradient that is in the dtype itself
        return beyond or are_lost(left, pulls, float(self.distance), form.dtype_of_pulls, alike=form.weights_are_alike)

    def _square_of_pulls(self, form: Form) -> float:
        if form.levels is None:
            return sum(map(float, self.pulls))
        square = 0.0  # for each pull of a row to a part stands their mean
        for squares, rows in zip(self.mass.square().split_with_sizes(self.lengths, dim=1), self.lengths, strict=True):
            within, across = squares.sum(dim=1).tolist()
            square += within / rows + across / max(1, len(self.rows) - rows)
        return square


def _some_repeat(rows: Tensor) -> bool:
    return roundings_add_up((rows[1:SOME] - rows[0]).square().sum(dim=1).tolist())


def _sums(tile: Tensor, dim: int) -> Tensor:
    """The sums along a dimension in float64, at the speed of the tile's dtype: only stretches of 64 are summed in that.

    Those of two samples nearly cancel where these are alike, and the rounding of a plain sum would be seen.
    """
    rest = tile.shape[dim] % 64
    whole, over = tile.split_with_sizes((tile.shape[dim] - rest, rest), dim=dim) if rest else (tile, None)
    sums = torch.unflatten(whole, dim, (-1, 64)).sum(dim=dim + 1).sum(dim=dim, dtype=torch.float64)
    return sums if over is None else sums.add_(over.sum(dim=dim))
