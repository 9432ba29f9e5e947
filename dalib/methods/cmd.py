"""CMD: central moment discrepancy."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib.losses import CMDLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule


def bounded_features(outputs: Outputs) -> Tensor:
    """The features after a tanh: the loss wants them bounded.

    Example:
        >>> bounded_features(Outputs(torch.full((1, 1), 100.0), torch.zeros(1, 2)))
        tensor([[1.]])
    """
    return torch.tanh(outputs.features)


def cmd(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    order: int = 5,
) -> Objective:
    """Distances of the first five central moments of the features [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the loss; 1 in the paper.
        order: The highest moment; 5 in the paper.

    Returns:
        The objective.

    References:
        .. [1] Zellinger et al. Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning. ICLR 2017.

    Example:
        >>> list(cmd(256, 31, 1000).terms)
        ['classification', 'moments']

    Note:
        The paper aligns a layer with a bounded activation; here the features pass through a tanh on the way to the loss alone.
    """
    loss = CMDLoss(order=order, interval=(-1.0, 1.0))
    return Objective(classification=source_cross_entropy, moments=Align(loss, on=bounded_features, weight=weight))
