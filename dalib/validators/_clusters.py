"""K-means from a seeded start: the same rows in the same order give the same clusters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dalib.distances import squared_distances

_ROUNDS = 30


def clusters(rows: Tensor, count: int) -> Tensor:
    """The cluster of every row, shape ``(n,)``: ``count`` clusters at most, fewer where fewer rows differ."""
    centres = _start(rows, count)
    found = squared_distances(rows, centres).argmin(dim=1)
    for _ in range(_ROUNDS):
        member = torch.nn.functional.one_hot(found, centres.shape[0]).to(rows.dtype)
        sizes = member.sum(dim=0)
        centres = torch.where(sizes[:, None] > 0, member.T @ rows / sizes.clamp_min(1)[:, None], centres)
        before, found = found, squared_distances(rows, centres).argmin(dim=1)
        if torch.equal(before, found):
            break
    return found


def _start(rows: Tensor, count: int) -> Tensor:
    """Greedy k-means++: of some rows drawn by their squared distance to the centres, the one that lowers it most."""
    generator = torch.Generator().manual_seed(0)
    drawn = 2 + int(math.log(count))
    centres = [int(torch.randint(rows.shape[0], (), generator=generator))]
    nearest = squared_distances(rows, rows[centres]).squeeze(1)
    while len(centres) < count and float(nearest.max()) > 1e-12 * float(rows.square().sum(dim=1).max()):
        candidates = torch.multinomial(nearest, drawn, replacement=True, generator=generator)
        distances = torch.minimum(nearest[:, None], squared_distances(rows, rows[candidates]))
        best = int(distances.sum(dim=0).argmin())
        centres.append(int(candidates[best]))
        nearest = distances[:, best]
    return rows[centres]
