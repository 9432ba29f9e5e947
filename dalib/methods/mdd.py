"""MDD: margin disparity discrepancy."""

from __future__ import annotations

from torch import nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.losses.margin_disparity import MarginDisparityLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule, sigmoid_ramp


def mdd(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    margin: float = 4.0,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> Objective:
    """An adversarial head looks for target rows on which it may contradict the classifier [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes, at least 2.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the disparity.
        margin: The factor gamma of the disparity on the source; 4 in the paper, 3 by default in the authors' code.
        strength: Factor of the reversed gradient. Default: a ramp from 0 to 0.1 over the training, ``sigmoid_ramp(steps,
            high=0.1)``; the end value is that of the authors' code.
        hidden: Width of the adversarial head's hidden layer; 1024 in the authors' code.
        dropout: Probability of dropout in the adversarial head; 0.5 in the authors' code.

    Returns:
        The objective. The adversarial head's parameters are its parameters.

    References:
        .. [1] Zhang et al. Bridging Theory and Algorithm for Domain Adaptation. ICML 2019.

    Example:
        >>> list(mdd(256, 31, 1000).terms)
        ['classification', 'disparity']

    Note:
        In the authors' code the main head, too, has a hidden layer of 1024; here it is the model's own. Their ramp
        reaches 0.1 * 0.46 after 1000 steps of a training of any length; this one 0.1 at its end. They draw source batches
        with equal class counts, which is the sampler's business here.
    """
    _checks.at_least(hidden, 1, "hidden")
    _checks.dropout(dropout)
    head = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes))
    strength = sigmoid_ramp(steps, high=0.1) if strength is None else strength
    disparity = MarginDisparityLoss(head, margin=margin, strength=strength)
    return Objective(classification=source_cross_entropy, disparity=Align(disparity, on=whole, weight=weight))
