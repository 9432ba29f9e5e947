"""MCC: minimum class confusion."""

from __future__ import annotations

from dalib.losses import MCCLoss
from dalib.objective import Objective, OnTarget, source_cross_entropy
from dalib.schedules import Schedule


def mcc(
    features: int, classes: int, steps: int, *, weight: float | Schedule = 1.0, temperature: float = 2.5
) -> Objective:
    """Target predictions that confuse few classes with one another [1]_; nothing is aligned.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the confusion; 1 in the paper.
        temperature: Temperature of the softmax; 2.5 in the paper for Office-31.

    Returns:
        The objective.

    References:
        .. [1] Jin et al. Minimum Class Confusion for Versatile Domain Adaptation. ECCV 2020.

    Example:
        >>> list(mcc(256, 31, 1000).terms)
        ['classification', 'confusion']
    """
    confusion = OnTarget(MCCLoss(temperature=temperature), weight=weight)
    return Objective(classification=source_cross_entropy, confusion=confusion)
