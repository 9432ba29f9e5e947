"""Multi-scale Gaussian kernels from squared distances: their variances, and all of them from one exponential."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib._bandwidths import multiples
from dalib.distances import mean_squared_distance
from dalib.kernels import Gaussian

LOG2_E = math.log2(math.e)


class Scales(NamedTuple):
    """What is known of the variances of a kernel before the rows are seen."""

    multiples: tuple[float, ...] | None
    """The variances in mean squared distances of the rows, which the engine has at hand; ``None`` if they are given."""
    powers: tuple[int, ...] | None
    """The ratios of the largest variance to each, ascending, if all are powers of two: one exponential and a few
    squarings then make all kernels. Otherwise ``None``."""


def scales_of(kernel: Gaussian, parts: Sequence[Tensor], counts: Tensor | None) -> tuple[Scales, Tensor | None]:
    """The scales of a kernel, and its variances unless they are multiples of the mean squared distance.

    Example:
        >>> scales_of(Gaussian([1.0, 2.0]), [torch.zeros(3, 1)], None)
        (Scales(multiples=None, powers=(1, 4)), tensor([1., 4.]))
    """
    if kernel.bandwidths is None and kernel.rule is mean_squared_distance:
        relative = tuple(map(float, kernel.scales))
        return Scales(relative, doublings(relative)), None
    if kernel.bandwidths is None:
        relative = tuple(map(float, kernel.scales))
    elif isinstance(kernel.bandwidths, Tensor):  # reading them might make the host wait for a device
        readable = _checks.values_are_checked(kernel.bandwidths)
        relative = tuple(width**2 for width in kernel.bandwidths.tolist()) if readable else ()
    else:
        relative = tuple(width**2 for width in kernel.bandwidths)
    rows = torch.cat(list(parts)) if kernel.bandwidths is None else parts[0]  # given ones only need its dtype
    return Scales(None, doublings(relative) if relative else None), kernel.variances(rows, counts)


@functools.lru_cache
def doublings(variances: tuple[float, ...]) -> tuple[int, ...] | None:
    """The ratios of the largest variance to each, ascending, if all are powers of two up to 2**10; else ``None``.

    Example:
        >>> doublings((1.0, 4.0, 2.0)), doublings((1.0, 3.0))
        ((1, 2, 4), None)
    """
    ratios = sorted(max(variances) / variance for variance in variances)
    powers = [2 ** round(math.log2(ratio)) if ratio < 2**11 else 0 for ratio in ratios]
    exact = all(power and abs(ratio / power - 1) < 1e-14 for ratio, power in zip(ratios, powers, strict=True))
    return tuple(powers) if exact else None


def centred(parts: Sequence[Tensor]) -> Tensor:
    """All rows as one matrix, moved so that zero lies among them: distances then lose fewer digits.

    Example:
        >>> centred([torch.tensor([[5.0]]), torch.tensor([[9.0]])])
        tensor([[-2.],
                [ 2.]])
    """
    lengths = [part.shape[0] for part in parts]
    middle = functools.reduce(torch.add, [part.sum(dim=0) for part in parts]) / sum(lengths)
    rows = middle.new_empty(sum(lengths), middle.shape[0])
    for part, place in zip(parts, rows.split_with_sizes(lengths), strict=True):
        torch.sub(part, middle, out=place)
    return rows


def variances_of(
    scales: Scales,
    given: Tensor | None,
    rows: Tensor,
    spread: Callable[[Tensor], Tensor],
    counts: Tensor | None,
    *,
    over: float,
) -> Tensor:
    """The variances: the given ones, or multiples of the mean squared distance of these rows.

    ``spread`` makes that distance, times ``over``, from what part of the sample each row is.
    """
    if scales.multiples is None:
        assert given is not None
        return given.clone()  # an input that is returned as it came cannot be saved for the way back
    n = rows.shape[0]
    parts = rows.new_full((n,), 1 / n) if counts is None else counts / counts.sum()
    return multiples(scales.multiples, spread(parts), rows, over=over)


def sums_of_kernels(
    exponent: Tensor, variances: Tensor, powers: tuple[int, ...] | None, slope: bool, buffers: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    r"""The sum of the kernels, and the sum of their slopes in units of the widest variance :math:`v`.

    .. math:: \sum_b 2^{r_b E}, \qquad \sum_b r_b 2^{r_b E}, \qquad r_b = v / v_b

    Args:
        exponent: Minus the squared distances over twice the widest variance, times :data:`LOG2_E`: powers of two are
            faster than those of e. It is used up.
        variances: Shape ``(B,)``.
        powers: The ratios, if they are powers of two.
        slope: Whether the second sum is wanted.
        buffers: Three tensors like ``exponent``, for the sums and in between.

    Example:
        >>> zeros = [torch.zeros(1) for _ in range(4)]
        >>> sums_of_kernels(zeros[0], torch.tensor([1.0, 4.0]), (1, 4), True, zeros[1:])
        (tensor([2.]), tensor([5.]))
    """
    kernel, steep, spare = buffers
    if powers is None:
        kernel.zero_()
        steep.zero_()
        for ratio in (variances.amax() / variances).unbind():
            part = torch.mul(exponent, ratio, out=spare).exp2_()
            kernel.add_(part)
            steep.addcmul_(part, ratio)
        return kernel, steep
    part, power = exponent.exp2_(), 1
    sums = slopes = part
    for wanted in powers[1:]:
        while power < wanted:
            part, power = torch.mul(part, part, out=spare), 2 * power
        sums = torch.add(sums, part, out=kernel)
        slopes = torch.add(slopes, part, alpha=power, out=steep) if slope else steep
    return (sums, slopes) if len(powers) > 1 else (kernel.copy_(part), steep.copy_(part))
