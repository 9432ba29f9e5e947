"""DANN: domain-adversarial training."""

from __future__ import annotations

from dalib.losses import DomainAdversarialLoss, DomainDiscriminator
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule, sigmoid_ramp


def dann(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
) -> Objective:
    """A discriminator tells the domains apart; the features learn to deceive it [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes (not used).
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss.
        strength: Factor of the reversed gradient. Default: ``sigmoid_ramp(steps, alpha=1.0)``, from 0 to 0.46.
        hidden: Width of the discriminator's hidden layers.

    Returns:
        The objective. The discriminator's parameters are its parameters.

    References:
        .. [1] Ganin et al. Domain-Adversarial Training of Neural Networks. JMLR 17, 2016.

    Example:
        >>> list(dann(256, 31, 1000).terms)
        ['classification', 'adversarial']

    Note:
        The paper ramps the strength to 1, ``sigmoid_ramp(steps)``. The published code of CDAN, which has the DANN that
        later papers quote, and TLlib ramp it by 2/(1+exp(-i/1000))-1 at step i, which is this default for 1000 steps. It
        was chosen on the drawn set, where it beat the paper's ramp on every pair (benchmarks/results/settings).
    """
    strength = sigmoid_ramp(steps, alpha=1.0) if strength is None else strength
    adversarial = DomainAdversarialLoss(DomainDiscriminator(features, hidden=hidden), strength=strength)
    return Objective(classification=source_cross_entropy, adversarial=Align(adversarial, weight=weight))
