"""K-means from a seeded start: the same rows in the same order give the same clusters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROUNDS = 30


def clusters(rows: Tensor, count: int) -> Tensor:
    """The cluster of every row, shape ``(n,)``: ``count`` clusters at most, fewer where fewer rows differ."""
    least = 1e-10 * float(rows.square().sum(dim=1).max())  # what lies nearer than that differs by rounding
    rows = rows - rows.mean(dim=0)
    squares = rows.square().sum(dim=1)
    centres = _start(rows, squares, count, least)
    found = _distances(rows, squares, centres).argmin(dim=1)
    for _ in range(_ROUNDS):
        member = torch.nn.functional.one_hot(found, centres.shape[0]).to(rows.dtype)
        sizes = member.sum(dim=0)
        centres = torch.where(sizes[:, None] > 0, member.T @ rows / sizes.clamp_min(1)[:, None], centres)
        before, found = found, _distances(rows, squares, centres).argmin(dim=1)
        if torch.equal(before, found):
            break
    return found


def _distances(rows: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    """Squared distances of centred rows, whose squares are known, to some centres."""
    return (squares[:, None] + centres.square().sum(dim=1) - 2 * rows @ centres.T).clamp_min(0)


def _start(rows: Tensor, squares: Tensor, count: int, least: float) -> Tensor:
    """Greedy k-means++: of some rows drawn by their squared distance to the centres, the one that lowers it most."""
    generator = torch.Generator().manual_seed(0)
    drawn = 2 + int(math.log(count))
    centres = [int(torch.randint(rows.shape[0], (), generator=generator))]
    nearest = _distances(rows, squares, rows[centres]).squeeze(1)
    while len(centres) < count and float(nearest.max()) > least:
        candidates = torch.multinomial(nearest, drawn, replacement=True, generator=generator)
        distances = torch.minimum(nearest[:, None], _distances(rows, squares, rows[candidates]))
        best = int(distances.sum(dim=0).argmin())
        centres.append(int(candidates[best]))
        nearest = distances[:, best]
    return rows[centres]
