"""Plain forms of what is often written for these losses. They are references for speed, not code of any library."""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def _signs(n: int, m: int) -> Tensor:
    return torch.cat([torch.full((n,), 1 / n), torch.full((m,), -1 / m)])


def mmd_broadcast(source: Tensor, target: Tensor) -> Tensor:
    """Through a tensor of rows x rows x features."""
    rows = torch.cat([source, target])
    distances = (rows[:, None] - rows[None]).square().sum(dim=2)
    mean = distances.detach().mean()
    kernel = sum(torch.exp(distances / (-2 * scale * mean)) for scale in SCALES) / len(SCALES)
    signs = _signs(len(source), len(target))
    return signs @ kernel @ signs


def mmd_product(source: Tensor, target: Tensor) -> Tensor:
    """Through one matrix product, five exponentials, and autograd."""
    rows = torch.cat([source, target])
    norms = rows.square().sum(dim=1)
    distances = (norms[:, None] + norms - 2 * rows @ rows.mT).clamp_min(0)
    mean = distances.detach().mean()
    kernel = sum(torch.exp(distances / (-2 * scale * mean)) for scale in SCALES) / len(SCALES)
    signs = _signs(len(source), len(target))
    return signs @ kernel @ signs


def coral_covariances(source: Tensor, target: Tensor) -> Tensor:
    """Through both covariance matrices and autograd."""
    difference = torch.cov(source.mT) - torch.cov(target.mT)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def joint_mmd_product(source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """The kernels of two layers by matrix products, and autograd."""
    product = torch.ones(())
    for first, second in zip(source, target, strict=True):
        rows = torch.cat([first, second])
        norms = rows.square().sum(dim=1)
        distances = (norms[:, None] + norms - 2 * rows @ rows.mT).clamp_min(0)
        mean = distances.detach().mean()
        product = product * sum(torch.exp(distances / (-2 * scale * mean)) for scale in SCALES) / len(SCALES)
    signs = _signs(len(source[0]), len(target[0]))
    return signs @ product @ signs
