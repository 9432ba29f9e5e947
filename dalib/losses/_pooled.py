"""Two samples as one: the rows in a pile, their shares in each mean, and their weights in the pile."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib.row_weights import shares


class Pooled(NamedTuple):
    """Source rows above target rows."""

    rows: Tensor
    """Shape ``(n + m, d)``."""
    source: Tensor
    """The share of each source row in the source mean, shape ``(n,)``."""
    target: Tensor
    """Same for the target rows, shape ``(m,)``."""
    weights: Tensor | None
    """The weights as given, shape ``(n + m,)``: what a row counts in the pooled sample; ``None`` for all one."""

    @property
    def signs(self) -> Tensor:
        """The source shares and minus the target shares, shape ``(n + m,)``."""
        return torch.cat([self.source, -self.target])


def pool(
    source: Tensor, target: Tensor, source_weights: Tensor | None, target_weights: Tensor | None, *, min_rows: int = 1
) -> Pooled:
    """Check two samples and their weights, and pool them.

    Example:
        >>> pool(torch.zeros(2, 1), torch.ones(1, 1), None, None).signs
        tensor([ 0.5000,  0.5000, -1.0000])
    """
    _checks.two_samples(source, target, min_rows=min_rows)
    source_shares = shares(source, source_weights, "source_weights")
    target_shares = shares(target, target_weights, "target_weights")
    given: Tensor | None = None
    if source_weights is not None or target_weights is not None:
        parts = ((source, source_weights), (target, target_weights))
        given = torch.cat(
            [rows.new_ones(len(rows)) if weights is None else weights.to(rows.dtype) for rows, weights in parts]
        )
    return Pooled(torch.cat([source, target]), source_shares, target_shares, given)


def refuse_one_row(row_shares: Tensor, weights: Tensor | None, name: str) -> None:
    """Raise unless two weights are positive, where values are checked: an unbiased estimate needs two rows."""
    if weights is not None and _checks.values_are_checked(weights) and int((row_shares > 0).sum()) < 2:
        raise ValueError(f"{name} must have at least two positive entries, got {int((row_shares > 0).sum())}")
