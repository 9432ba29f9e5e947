"""Deep CORAL: correlation alignment."""

from __future__ import annotations

from dalib.losses import CORALLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule


def deep_coral(features: int, classes: int, steps: int, *, weight: float | Schedule = 10.0) -> Objective:
    """Distance between the feature covariances of both domains [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the loss. Default 10, the value of DeepDA for features of a bottleneck; the paper asks for one
            that makes both losses about equal at the end of training.

    Returns:
        The objective.

    References:
        .. [1] Sun and Saenko. Deep CORAL: Correlation Alignment for Deep Domain Adaptation. ECCV Workshops 2016.

    Example:
        >>> list(deep_coral(256, 31, 1000).terms)
        ['classification', 'coral']
    """
    return Objective(classification=source_cross_entropy, coral=Align(CORALLoss(), weight=weight))
