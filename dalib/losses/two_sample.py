"""The kernel two-sample test: are these two samples of one distribution?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Gaussian, Kernel, about_the_mean, chosen
from dalib.losses._kernel_form import kernel_times
from dalib.losses._pooled import dtype_of_sums

EXACT_BELOW = 2048
"""Fewer rows than this are computed in float64, so that ties between permutations stay ties."""

ROWS_AT_ONCE = 512


class MMDTest(NamedTuple):
    """What :func:`mmd_test` found."""

    statistic: float
    """The unbiased squared MMD."""
    standard_error: float
    """Its standard deviation over samples of this size, to first order."""
    p_value: float
    """How often a random split of the pooled rows is at least as far apart, in ``(0, 1]``."""


@torch.no_grad()
@float32_island
def mmd_test(
    source: Tensor,
    target: Tensor,
    *,
    permutations: int = 200,
    bandwidths: Sequence[float] | Tensor | None = None,
    kernel: Kernel | None = None,
    generator: torch.Generator | None = None,
) -> MMDTest:
    r"""Permutation test of the hypothesis that two samples come from one distribution [1]_.

    .. math::
        p = \frac{1 + \#\{r : \mathrm{MMD}_u^2(\pi_r) \ge \mathrm{MMD}_u^2\}}{1 + R}, \qquad
        \mathrm{se}^2 = \frac{4}{n} \mathrm{Var}_i\, f(s_i) + \frac{4}{m} \mathrm{Var}_j\, f(t_j)

    over ``R`` random splits :math:`\pi_r` of the pooled rows into ``n`` and ``m``, with the witness
    :math:`f(x) = \overline{k(x, s)} - \overline{k(x, t)}`. The level is exact for any
    sample size. The kernel matrix is made once, in tiles, for all splits together: memory is O((n + m)(d + R)).

    Args:
        source: First sample, shape ``(n, d)``, ``n >= 2``.
        target: Second sample, shape ``(m, d)``, ``m >= 2``; ``m`` may differ from ``n``.
        permutations: Number ``R`` of random splits, at least 1; no p-value is below ``1 / (R + 1)``.
        bandwidths: Widths of the Gaussian kernel; the default is that of :func:`~dalib.losses.mmd_loss`.
        kernel: Another kernel in its place.
        generator: Source of randomness, on the CPU; default: torch's global one.

    Returns:
        Statistic, standard error and p-value. The standard error is that of the alternative; where the distributions are
        equal its leading term vanishes and only the p-value is to be used.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, ``kernel`` is no kernel, or ``generator`` is no
            ``torch.Generator``.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with two rows; if
            ``permutations`` is below 1 or a bandwidth is not positive; if the kernel of these rows is not finite (on a CUDA
            device, where values are not read beforehand, all three are NaN then).

    References:
        .. [1] Gretton et al. A Kernel Two-Sample Test. JMLR 13, 2012.

    Example:
        >>> source, target = torch.zeros(8, 1), torch.ones(8, 1)
        >>> mmd_test(source, target, bandwidths=[1.0], generator=torch.Generator().manual_seed(0)).p_value < 0.01
        True
    """
    kernel = chosen(kernel, bandwidths)
    _checks.two_samples(source, target, min_rows=2)
    _checks.at_least(permutations, 1, "permutations")
    _checks.generator(generator)
    rows = torch.cat([source, target])
    rows = rows.double() if len(rows) < EXACT_BELOW or dtype_of_sums(kernel) == torch.float64 else rows
    n, m = len(source), len(target)
    # Column 0: all rows. Column 1: the source. The rest: the rows that a random split calls source.
    members = torch.zeros(n + m, permutations + 2, dtype=rows.dtype)
    members[:, 0] = 1
    members[:n, 1] = 1
    for split in range(2, permutations + 2):
        members[torch.randperm(n + m, generator=generator)[:n], split] = 1
    members = members.to(rows.device)
    diagonal, sums = _sums(kernel, rows, members)
    statistics = _unbiased(diagonal, sums, members, n, m)
    together = statistics.sum().to(rows.dtype)
    _checks.finite_loss(together, source, target)
    if not math.isfinite(together):  # no split reaches a NaN: it would be the clearest of differences
        return MMDTest(math.nan, math.nan, math.nan)
    # Splits that tie differ by rounding; others by as little as 1e-6, where the samples are large and wide.
    tolerance = 1e-12 if rows.dtype == torch.float64 else 1e-8
    scale = (
        sums[:, 0].mean() / (n + m) if isinstance(kernel, Gaussian) else diagonal.mean()
    )  # the sums may cancel there
    reached = statistics[1:] >= statistics[0] - tolerance * float(scale)
    p_value = (1 + int(reached.sum())) / (1 + permutations)
    error = _standard_error(sums[:, 0].double(), sums[:, 1].double(), n, m)
    return MMDTest(float(statistics[0]), error, p_value)


def _sums(kernel: Kernel, rows: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel of each row with itself, and its sums over the members of each column."""
    if isinstance(kernel, Gaussian):
        return torch.ones_like(rows[:, 0]).double(), kernel_times(rows, kernel, members)
    gram = about_the_mean(kernel, rows)
    diagonal = gram(rows[:, None])[:, 0, 0]
    return diagonal.double(), torch.cat([gram(part, rows) @ members for part in torch.split(rows, ROWS_AT_ONCE)])


def _unbiased(diagonal: Tensor, sums: Tensor, members: Tensor, n: int, m: int) -> Tensor:
    """The statistic of each split, by sums over its members and over all rows."""
    members, sums = members.double(), sums.double()
    inside = (members[:, 1:] * sums[:, 1:]).sum(dim=0)
    with_all = (members[:, 1:] * sums[:, :1]).sum(dim=0)
    outside = sums[:, 0].sum() - 2 * with_all + inside
    own = diagonal @ members[:, 1:]
    within = (inside - own) / (n * (n - 1)) + (outside - (diagonal.sum() - own)) / (m * (m - 1))
    return within - 2 * (with_all - inside) / (n * m)


def _standard_error(all_rows: Tensor, source: Tensor, n: int, m: int) -> float:
    """By the witness of each row, in whose means it counts itself: left out, ``k(x, x)`` would, where it varies, add noise."""
    witness = source / n - (all_rows - source) / m
    return float((4 * witness[:n].var() / n + 4 * witness[n:].var() / m).sqrt())
