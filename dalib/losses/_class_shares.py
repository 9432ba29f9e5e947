"""The share of each row in the mean of each class."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dalib import _checks
from dalib.row_weights import relative


def memberships(labels: Tensor, classes: int, rows: Tensor, name: str) -> Tensor:
    """One-hot rows of class indices, in the dtype of ``rows``.

    Example:
        >>> memberships(torch.tensor([1]), 2, torch.zeros(1, 3), "labels")
        tensor([[0., 1.]])
    """
    _checks.labels(labels, classes, rows, name)
    return F.one_hot(labels.long(), classes).to(rows.dtype)


def class_shares(members: Tensor, weights: Tensor | None, name: str) -> Tensor:
    """Memberships rescaled so that each class sums to one over the rows, in float64; zeros for a class without any.

    Where the means of a class nearly cancel the rounding of its shares would be seen; and all weights of a class may be
    nothing beside those of another.

    Args:
        members: How far each row belongs to each class, shape ``(n, classes)``, not negative.
        weights: One weight a row, shape ``(n,)``.
        name: What the weights are called in error messages.

    Returns:
        Shape ``(n, classes)``.

    Example:
        >>> class_shares(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), None, "weights")
        tensor([[0.5000, 0.0000],
                [0.5000, 0.0000]], dtype=torch.float64)
    """
    mass = members.double()
    if weights is not None:
        _checks.row_weights(weights, members, name)
        mass = mass * relative(weights, torch.float64)[:, None]
    totals = mass.sum(dim=0)
    return mass / totals.where(totals > 0, 1)  # zeros stay zeros


def present(members: Tensor, weights: Tensor | None) -> Tensor:
    """Which classes have a row that counts, shape ``(classes,)``, for one-hot memberships.

    Example:
        >>> present(torch.tensor([[0.0, 1.0]]), None)
        tensor([False,  True])
    """
    counted = members if weights is None else members * (weights > 0)[:, None]
    return (counted > 0).any(dim=0)


class ClassShares(NamedTuple):
    """The shares of the rows of both domains in the classes that both have, in float64."""

    source: Tensor
    """Shape ``(n, classes)``; zeros for a class that one domain lacks."""
    target: Tensor
    """Shape ``(m, classes)``."""
    shared: Tensor
    """Which classes both domains have rows of, shape ``(classes,)``."""


def shares_by_labels(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_labels: Tensor,
    classes: int,
    source_weights: Tensor | None,
    target_weights: Tensor | None,
) -> ClassShares:
    """The shares in each class, by the labels of both domains.

    Example:
        >>> rows, labels = torch.zeros(2, 1), torch.tensor([0, 0])
        >>> shares_by_labels(rows, rows, labels, torch.tensor([0, 1]), 2, None, None).shared
        tensor([ True, False])
    """
    _checks.at_least(classes, 1, "classes")
    of_source = memberships(source_labels, classes, source, "source_labels")
    of_target = memberships(target_labels, classes, target, "target_labels")
    shared = present(of_source, source_weights) & present(of_target, target_weights)
    a = class_shares(of_source, source_weights, "source_weights") * shared
    b = class_shares(of_target, target_weights, "target_weights") * shared
    return ClassShares(a, b, shared)
