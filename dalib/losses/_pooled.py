"""Two samples as one: the rows in a pile, their shares in each mean, and their weights in the pile."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib.kernels import Gaussian, Kernel
from dalib.row_weights import exact_shares, relative, shares

Levels = Sequence[Sequence[float]]
"""The weights that all rows of a part have, part by part."""


class Pooled(NamedTuple):
    """Source rows above target rows."""

    parts: tuple[Tensor, Tensor]
    """The source rows, shape ``(n, d)``, and the target rows, shape ``(m, d)``."""
    given: tuple[Tensor | None, Tensor | None]
    """The shares of source rows and of target rows where weights were given, in float64."""
    weights: Tensor | None
    """What a row counts in the pooled sample, shape ``(n + m,)``: the weights as given, in units of the largest; ``None``
    for all one."""

    @property
    def rows(self) -> Tensor:
        """Shape ``(n + m, d)``; what needs no single matrix of them takes the parts and spares a copy."""
        return torch.cat(self.parts)

    @property
    def source(self) -> Tensor:
        """The share of each source row in the source mean, shape ``(n,)``."""
        return self._share(0)

    @property
    def target(self) -> Tensor:
        """Same for the target rows, shape ``(m,)``."""
        return self._share(1)

    def _share(self, i: int) -> Tensor:
        rows, known = self.parts[i], self.given[i]
        return shares(rows, None, "") if known is None else known.to(rows.dtype)

    @property
    def signs(self) -> Tensor:
        """The source shares and minus the target shares, shape ``(n + m,)``."""
        return torch.cat([self.source, -self.target])

    @property
    def exact_signs(self) -> tuple[Tensor, Levels | None, float]:
        """The same in a unit that leaves them exact; what they are in each part; and the square of the unit.

        Where no weights were given they are ``m`` and ``-n`` over a power of two, of which no dtype takes a digit off: ``1/n``
        and ``-1/m`` would be rounded apart. Otherwise they are in float64, and those of a part without weights one.
        """
        if self.weights is not None:
            source, target = (
                shares(rows.double(), None, "") if known is None else known
                for rows, known in zip(self.parts, self.given, strict=True)
            )
            even = [len(rows) for rows, known in zip(self.parts, self.given, strict=True) if known is None]
            times = even[0] if even else 1
            return times * torch.cat([source, -target]), None, 1 / times**2
        n, m = map(len, self.parts)
        power = below_one(n, m)
        first, second = m / power, -n / power
        signs = self.parts[0].new_full((n + m,), first)
        signs[n:].fill_(second)
        return signs, ((first,), (second,)), (power / (n * m)) ** 2


def below_one(*counts: int) -> float:
    """The least power of two that no count exceeds.

    Example:
        >>> below_one(3, 5), below_one(4)
        (8.0, 4.0)
    """
    return 2.0 ** (max(counts) - 1).bit_length()


def pool(
    source: Tensor,
    target: Tensor,
    source_weights: Tensor | None,
    target_weights: Tensor | None,
    *,
    min_rows: int = 1,
    values: bool = True,
    dtype: torch.dtype | None = None,
) -> Pooled:
    """Check two samples and their weights, and pool them, in ``dtype`` if one is given.

    With ``values=False`` the caller looks for NaN and infinity.

    Example:
        >>> pool(torch.zeros(2, 1), torch.ones(1, 1), None, None).signs
        tensor([ 0.5000,  0.5000, -1.0000])
    """
    _checks.two_samples(source, target, min_rows=min_rows, values=values)
    if dtype is not None:
        source, target = source.to(dtype), target.to(dtype)
    samples = ((source, source_weights, "source_weights"), (target, target_weights, "target_weights"))
    known = [None if weights is None else exact_shares(rows, weights, name) for rows, weights, name in samples]
    return Pooled((source, target), (known[0], known[1]), _given(source, target, source_weights, target_weights))


def _given(
    source: Tensor, target: Tensor, source_weights: Tensor | None, target_weights: Tensor | None
) -> Tensor | None:
    parts = ((source, source_weights), (target, target_weights))
    dtypes = [weights.dtype for _, weights in parts if weights is not None]
    if not dtypes:
        return None
    widest = functools.reduce(torch.promote_types, dtypes)
    given = [rows.new_ones(len(rows)) if weights is None else weights for rows, weights in parts]
    return relative(torch.cat([each.to(widest) for each in given]), source.dtype)


def dtype_of_sums(kernel: Kernel) -> torch.dtype | None:
    """In what the sums over pairs are made: float64, except for the Gaussian kernel, where ``None`` stands for the rows' own.

    The sums nearly cancel. The engine of the Gaussian kernel sees to that; those of a polynomial leave float32 no digit far
    from zero.

    Example:
        >>> from dalib.kernels import Linear
        >>> dtype_of_sums(Linear())
        torch.float64
    """
    return None if isinstance(kernel, Gaussian) else torch.float64


def refuse_one_row(row_shares: Tensor, weights: Tensor | None, name: str) -> None:
    """Raise unless two weights are positive, where values are checked: an unbiased estimate needs two rows."""
    if weights is None or not _checks.values_are_checked(weights):
        return
    if int((weights > 0).sum()) < 2:
        raise ValueError(f"{name} must have at least two positive entries, got {int((weights > 0).sum())}")
    if not bool(row_shares @ row_shares < 1):
        raise ValueError(
            f"{name} must have two entries that {row_shares.dtype} tells from zero beside their sum, got one; "
            f"even them out{'' if row_shares.dtype == torch.float64 else ' or use float64 features'}"
        )
