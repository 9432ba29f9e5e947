"""Multi-scale Gaussian kernels from squared distances: their variances, and all of them from one exponential."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib._bandwidths import number_with_floor, refuse_infinite, with_floor
from dalib.distances import mean_squared_distance
from dalib.kernels import Gaussian


def _has_fast_powers_of_e() -> bool:
    """Whether powers of e are faster than those of two.

    On processors of Intel's they take half the time, since torch leaves them to Intel's library. On those of others, where
    it does so as well, they take longer.
    """
    capabilities = (
        torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    )  # older versions lack it
    return str(capabilities.get("cpu_name")).startswith("Intel")


_LOGARITHM = 1.0 if _has_fast_powers_of_e() else math.log(2)
"""The natural logarithm of the base of which kernels are powers."""

_NARROW = 16
"""Up to this many columns rows are narrow."""

_NARROWEST = 8
"""Up to what ratio of the mean squared distance of rows to a variance float32 does: at 12 some gradients of small samples were
off by 3e-6, at 63 any by 5e-6."""

_FAR = 256
"""From how many times their size on rows are far from zero."""

_MANY = 128
"""From how many rows on they are moved beside their mean."""

_ASIDE = 2**-10 * math.sqrt(2)
"""How far, in parts of the mean. Whole numbers less the mean of 512 are multiples of 1/512: their products lose digits
that all round to one side, and the mean distance was off by 2e-6."""

_NEAR = 4
"""Up to how many times their own its squared length the mean is near to zero: the rounding of it is nothing beside the rows."""

_SQUARED_UP_TO = 16
"""The largest power that squarings make. Each doubles the relative error: up to 1024 gradients were off by 4e-5."""


class Centred(NamedTuple):
    """Rows as one matrix, moved so that zero lies among them: distances then lose fewer digits."""

    rows: Tensor
    middle: Tensor
    """The mean, shape ``(d,)``."""
    square: float | None
    """The squared length of that, where values are checked."""
    parts: Tensor
    """What part of the sample each row is, shape ``(N,)``."""
    aside: bool
    """Whether zero lies beside their mean, and not at it."""
    again: bool
    """Whether they were moved once more, as what one move leaves of rows far out has few digits."""
    counted: bool
    """Whether they count differently."""

    def are_coarse(self, spread: float) -> bool:
        """Whether they, whose mean squared length is ``spread``, ought to have been moved once more, which their first row hid.

        It is an outlier then, or does not count.
        """
        return self.square is not None and not self.again and _FAR**2 * spread < self.square < math.inf

    def farthest(self, squares: Tensor, lengths: Sequence[int], spread: float) -> float:
        """The mean squared length of the rows of a part where it is largest: the first one has ``lengths[0]``.

        Few rows far from all others have next to no part in ``spread``, which is that of all. But where they are near to one
        another, theirs is most of the gradient.
        """
        if not self.counted and min(lengths) == max(lengths):
            return spread  # at most half of what is found below: not worth a look
        parts, least = self.parts[: lengths[0]], torch.finfo(squares.dtype).eps
        share = float(parts.sum()) if self.counted else lengths[0] / sum(lengths)
        first = float(torch.dot(parts, squares[: lengths[0]]))
        return max(first / max(share, least), (spread - first) / max(1 - share, least))

    def square_of_mean(self, spread: float) -> float:
        """The squared length of the mean of the rows as they are now; that of a row is ``spread`` in the mean."""
        if not self.aside:
            return 0.0
        if self.square is not None and self.square < _NEAR * spread:
            return _ASIDE**2 * self.square
        mean = self.parts @ self.rows
        return float(mean.dot(mean))


class Scales(NamedTuple):
    """What is known of the variances of a kernel before the rows are seen."""

    multiples: tuple[float, ...] | None
    """The variances in mean squared distances of the rows, which the engine has at hand; ``None`` if they are given."""
    powers: tuple[int, ...] | None
    """The ratios of the largest variance to each, ascending, if all are small powers of two: one exponential and a few
    squarings then make all kernels. Otherwise ``None``."""
    rounded_to: torch.dtype | None = None
    """What the rows came in, where they are in a wider dtype now: rows that were equal up to its rounding stay so."""
    numbers: tuple[float, ...] | None = None
    """The given variances where they are known as numbers, which have digits that the dtype of the rows may not have."""

    def in_float64(self, given: Tensor | None) -> Tensor | None:
        """The given variances in float64."""
        if given is None:
            return None
        return given.double() if self.numbers is None else given.new_tensor(self.numbers, dtype=torch.float64)

    def number(self, given: Tensor | None) -> int:
        """Number of kernels."""
        return len(given) if self.multiples is None else len(self.multiples)  # type: ignore[arg-type]

    def widest(self, given: Tensor | None, rows: Centred, spread: Tensor) -> Tensor:
        """The largest variance; ``spread`` is the mean squared length of the rows."""
        if self.multiples is None:
            assert given is not None
            return given.amax()
        times = max(self.multiples)
        if rows.square is None or math.isinf(rows.square):
            widest = with_floor(2 * spread, rows.middle) * times
            refuse_infinite(widest, rows.rows)
            return widest
        # Of numbers: each operation on a tensor of one takes a small batch half a percent.
        dtype = rows.rows.dtype
        distance = 2 * (float(spread) - rows.square_of_mean(float(spread)))
        found = number_with_floor(distance, rows.square, self.rounded_to or dtype) * times
        if not found <= torch.finfo(dtype).max:
            _checks.refuse_overflow(rows.rows)
        return rows.rows.new_full((), found)

    def distance(self, widest: Tensor, rows: Tensor) -> float:
        """The mean squared distance of rows around their mean: what the largest variance tells of it, or else their own."""
        if self.multiples is not None:
            return float(widest) / max(self.multiples)
        return 2 * float(torch.linalg.vector_norm(rows, dim=1).square_().mean())

    def are_narrow(self, given: Tensor | None, spread: float, farthest: float) -> bool:
        """Whether a bandwidth is so far below the distance of rows that exponents, which come from products, keep few digits.

        ``spread`` is the mean squared length of centred rows, ``farthest`` that of those of a part where it is largest.
        """
        if self.multiples is not None:
            return _NARROWEST * min(self.multiples) * spread < farthest
        assert given is not None
        # Distances beyond the dtype are refused.
        return _NARROWEST * float(given.amin()) < 2 * farthest < math.inf

    def variances(self, given: Tensor | None, widest: Tensor) -> Tensor:
        """All variances, shape ``(B,)``."""
        if self.multiples is None:
            assert given is not None
            return given
        parts = [each / max(self.multiples) for each in self.multiples]
        return torch.tensor(parts, dtype=widest.dtype, device=widest.device) * widest

    def ratios(self, given: Tensor | None, widest: Tensor) -> Sequence[int] | Tensor:
        """The ratios of the largest variance to each: numbers if all are powers of two."""
        return widest / self.variances(given, widest) if self.powers is None else self.powers


def scales_of(kernel: Gaussian, parts: Sequence[Tensor], counts: Tensor | None) -> tuple[Scales, Tensor | None]:
    """The scales of a kernel, and its variances unless they are multiples of the mean squared distance.

    Raises:
        ValueError: If its bandwidths are too far apart for the dtype of the rows, where they are known.

    Example:
        >>> scales_of(Gaussian([1.0, 2.0]), [torch.zeros(3, 1)], None)
        (Scales(multiples=None, powers=(1, 4), rounded_to=None, numbers=(1.0, 4.0)), tensor([1., 4.]))
    """
    if kernel.bandwidths is None and kernel.rule is mean_squared_distance:
        relative = tuple(map(float, kernel.scales))
        return Scales(relative, _powers(relative, parts[0].dtype)), None
    rows = torch.cat(list(parts)) if kernel.bandwidths is None else parts[0]  # given ones only need its dtype
    variances = kernel.variances(rows, counts)
    if kernel.bandwidths is None:
        return Scales(None, _powers(tuple(map(float, kernel.scales)), parts[0].dtype)), variances
    if not isinstance(kernel.bandwidths, Tensor):
        squares = tuple(width**2 for width in kernel.bandwidths)
    elif _checks.values_are_checked(kernel.bandwidths):
        squares = tuple(width**2 for width in kernel.bandwidths.tolist())
    else:  # reading them might make the host wait for a device
        return Scales(None, None), variances
    return Scales(None, _powers(squares, parts[0].dtype), numbers=squares), variances


def _powers(relative: tuple[float, ...], dtype: torch.dtype) -> tuple[int, ...] | None:
    """:func:`doublings`, once the variances are known to be near enough for their ratios to have sums in a dtype."""
    apart, most = max(relative) / min(relative), torch.finfo(dtype).max ** 0.5
    if apart > most:
        raise ValueError(
            f"bandwidths must be at most {most**0.5:.0e} times as wide as one another in {dtype}, got {apart**0.5:.0e}"
        )
    return doublings(relative)


@functools.lru_cache
def doublings(variances: tuple[float, ...]) -> tuple[int, ...] | None:
    """The ratios of the largest variance to each, ascending, if they are different small powers of two; else ``None``.

    Example:
        >>> doublings((1.0, 4.0, 2.0)), doublings((1.0, 3.0)), doublings((1.0, 1.0)), doublings((1.0, 32.0))
        ((1, 2, 4), None, None, None)
    """
    ratios = sorted(max(variances) / variance for variance in variances)
    if round(ratios[-1]) > _SQUARED_UP_TO:
        return None
    powers = [2 ** round(math.log2(ratio)) for ratio in ratios]
    exact = all(abs(ratio / power - 1) < 1e-14 for ratio, power in zip(ratios, powers, strict=True))
    return tuple(powers) if exact and len(set(powers)) == len(powers) else None


def centred(rows: Tensor, counts: Tensor | None) -> Centred:
    """The rows around their mean, in their place; a row that does not count has no say in it.

    Example:
        >>> around = centred(torch.tensor([[5.0], [9.0]]), None)
        >>> around.rows, around.middle, around.square, around.parts
        (tensor([[-2.],
                [ 2.]]), tensor([7.]), 49.0, tensor([0.5000, 0.5000]))
    """
    parts = _row_parts(rows, counts)
    middle = parts @ rows
    square = float(middle.dot(middle)) if _checks.values_are_checked(rows) else None
    aside = rows.shape[0] >= _MANY and square is not None and square < math.inf
    rows.sub_(middle, alpha=1 + _ASIDE if aside else 1)
    again = square is None or _are_coarse(rows, square)  # on a device to look takes longer than to move them
    if again:
        for _ in range(1 + aside):  # equal rows become zeros, or rounding would have a part in their gradients
            rows.sub_(parts @ rows)
    return Centred(rows, middle, square, parts, aside and not again, again, counts is not None)


def _are_coarse(rows: Tensor, square: float) -> bool:
    """Whether what is left of the rows are multiples of a number that is not small beside them, the last digit of the middle.

    Their products then lose digits that all round to one side. A mean of them is no such multiple, and without it they
    are none.
    """
    first = rows[0]
    return not square <= _FAR**2 * float(first.dot(first)) < math.inf


def dtype_of_pulls(rows: Tensor) -> torch.dtype:
    """In what the products of slopes and rows are made: those of narrow rows are cheap, and their terms cancel most.

    Example:
        >>> dtype_of_pulls(torch.zeros(1, 2)), dtype_of_pulls(torch.zeros(1, 256))
        (torch.float64, torch.float32)
    """
    return torch.float64 if rows.shape[1] <= _NARROW else rows.dtype


def _row_parts(rows: Tensor, counts: Tensor | None) -> Tensor:
    """What part of the sample each row is, shape ``(N,)``.

    Example:
        >>> _row_parts(torch.zeros(2, 3), None)
        tensor([0.5000, 0.5000])
    """
    return rows.new_full((len(rows),), 1 / len(rows)) if counts is None else counts / counts.sum()


def unit_of_exponents(widest: Tensor) -> Tensor:
    """What half a squared distance is divided by, and negated, to be the exponent of the widest kernel."""
    return widest if _LOGARITHM == 1 else widest * _LOGARITHM


def _powers_of_base(exponents: Tensor) -> Tensor:
    """The widest kernel, in the place of its exponents."""
    return exponents.exp_() if _LOGARITHM == 1 else exponents.exp2_()


def sums_of_kernels(
    exponent: Tensor,
    ratios: Sequence[int] | Tensor,
    slope: bool,
    buffers: Sequence[Tensor | None],
) -> tuple[Tensor, Tensor]:
    r"""The sum of the kernels, and the sum of their slopes in units of the widest variance :math:`v`.

    .. math:: \sum_b a^{r_b E}, \qquad \sum_b r_b a^{r_b E}, \qquad r_b = v / v_b

    Args:
        exponent: Those of the widest kernel, in :func:`unit_of_exponents`; it is used up.
        ratios: Numbers that are powers of two, ascending from one; or a tensor of any ratios, shape ``(B,)``.
        slope: Whether the second sum is wanted; without it what comes second means nothing.
        buffers: Tensors like ``exponent`` for the two sums and for in between, each made where there is ``None``.

    Example:
        >>> sums_of_kernels(torch.zeros(1), (1, 4), True, (None, None, torch.empty(1)))
        (tensor([2.]), tensor([5.]))
    """
    kernel, steep, spare = buffers
    if isinstance(ratios, Tensor):
        kernel = torch.zeros_like(exponent) if kernel is None else kernel.zero_()
        steep = torch.zeros_like(exponent) if steep is None else steep.zero_()
        for ratio in ratios.unbind():
            part = _powers_of_base(torch.mul(exponent, ratio, out=spare))
            kernel.add_(part)
            steep.addcmul_(part, ratio)
        return kernel, steep
    part = slopes = sums = _powers_of_base(exponent)
    for power, wanted in itertools.pairwise(ratios):
        part = _raised(part, power, wanted, spare)
        sums = kernel = torch.add(sums, part, out=kernel)
        if slope:
            slopes.add_(part, alpha=wanted)
    if slope and sums is slopes:  # one kernel; each is written on by itself
        sums = slopes.clone() if kernel is None else kernel.copy_(slopes)
    return sums, slopes


def totals_of_kernels(panels: Iterable[tuple[Tensor, Tensor]], powers: Sequence[int]) -> list[tuple[float, Tensor]]:
    """What adds up to the total of all kernels, which are only read: factors, and what they are factors of.

    Args:
        panels: Exponents, which are used up, and a tensor like each for what comes in between.
        powers: Ratios that are numbers, as in :func:`sums_of_kernels`.

    Example:
        >>> totals_of_kernels([(torch.zeros(3), torch.empty(3))], (1, 4))
        [(1.0, tensor(3.)), (1.0, tensor(3.))]
    """
    found = []
    for exponent, spare in panels:
        part = _powers_of_base(exponent)
        found.append((1.0, part.sum()))
        for power, wanted in itertools.pairwise(powers):
            part = _raised(part, power, wanted, spare)
            found.append((1.0, part.sum()))
    return found


def slopes_of_kernels(panels: Iterable[tuple[Tensor, Tensor]], powers: Sequence[int]) -> list[tuple[float, Tensor]]:
    r"""Puts the summed slopes in the place of the exponents, and gives the part of the kernels' total that these do not hold.

    The total of the slopes is made anyway. With it the last kernel, which is only added to them, need not be made:

    .. math:: \sum_b k_b = \frac{1}{r_B} \sum_b r_b k_b + \sum_{b < B} \Bigl(1 - \frac{r_b}{r_B}\Bigr) k_b

    Args:
        panels: As in :func:`totals_of_kernels`.
        powers: As there; :math:`r_b`.

    Returns:
        What adds up to the total of the right sum: factors, and what they are factors of.

    Example:
        >>> exponents = torch.zeros(3)
        >>> slopes_of_kernels([(exponents, torch.empty(3))], (1, 4)), exponents  # 6 = 15/4 + 0.75 * 3
        ([(0.75, tensor(3.))], tensor([5., 5., 5.]))
    """
    last = powers[-1]
    found = []
    for slopes, spare in panels:
        part = _powers_of_base(slopes)
        for power, wanted in itertools.pairwise(powers):
            found.append((1 - power / last, part.sum()))
            if wanted < last:
                part = _raised(part, power, wanted, spare)
                slopes.add_(part, alpha=wanted)
            else:
                part = _raised(part, power, wanted // 2, spare)
                slopes.addcmul_(part, part, value=wanted)
    return found


def _raised(part: Tensor, power: int, wanted: int, spare: Tensor | None) -> Tensor:
    """What is one power as another one, which is the first one doubled a few times; in ``spare``."""
    while power < wanted:
        part, power = torch.mul(part, part, out=spare), 2 * power
    return part
