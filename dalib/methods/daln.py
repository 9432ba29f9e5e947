"""DALN: the classifier as its own discriminator."""

from __future__ import annotations

from dalib.conditioning import whole
from dalib.losses.nuclear_wasserstein import NuclearWassersteinLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule, sigmoid_ramp


def daln(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
) -> Objective:
    """The classifier maximises a nuclear-norm discrepancy of its predictions, the features minimise it [1]_.

    There is no discriminator: the objective has no parameters, but needs a model whose outputs know their head.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the discrepancy; 1 in the paper.
        strength: Factor of the reversed gradient. Default: the ramp of DANN from 0 to 1, ``sigmoid_ramp(steps)``.

    Returns:
        The objective.

    References:
        .. [1] Chen et al. Reusing the Task-specific Classifier as a Discriminator: Discriminator-free Adversarial Domain
           Adaptation. CVPR 2022.

    Example:
        >>> list(daln(256, 31, 1000).terms)
        ['classification', 'discrepancy']

    Note:
        The ramp of the authors' code stands at 0.46 after 1000 steps and near 1 from 5000 on, whatever the length of the
        training; this one spans the training.
    """
    strength = sigmoid_ramp(steps) if strength is None else strength
    discrepancy = Align(NuclearWassersteinLoss(strength=strength), on=whole, weight=weight)
    return Objective(classification=source_cross_entropy, discrepancy=discrepancy)
