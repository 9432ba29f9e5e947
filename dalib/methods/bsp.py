"""BSP: batch spectral penalization."""

from __future__ import annotations

from dalib.losses import DomainAdversarialLoss, DomainDiscriminator
from dalib.losses.batch_spectral import BatchSpectralLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule, sigmoid_ramp


def bsp(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    spectral_weight: float | Schedule = 1e-4,
    k: int = 1,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
) -> Objective:
    """DANN with a penalty on the strongest directions of the features of each domain [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes (not used).
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss.
        spectral_weight: Factor of the penalty; 1e-4 in the paper.
        k: Number of penalised directions of each domain; 1 in the paper.
        strength: Factor of the reversed gradient. Default: as in :func:`~dalib.methods.dann`, the ramp of the
            authors' code for 1000 steps, ``sigmoid_ramp(steps, alpha=1.0)``, from 0 to 0.46.
        hidden: Width of the discriminator's hidden layers.

    Returns:
        The objective. The discriminator's parameters are its parameters.

    References:
        .. [1] Chen et al. Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
           Adaptation. ICML 2019.

    Example:
        >>> list(bsp(256, 31, 1000).terms)
        ['classification', 'adversarial', 'spectral']

    Note:
        The paper adds the penalty to DANN and to CDAN; the authors' code to CDAN+E. This is the former. For the latter add
        ``spectral=Align(BatchSpectralLoss(), weight=1e-4)`` to the terms of :func:`~dalib.methods.cdan_e`. TLlib uses 2e-4,
        after three epochs on the source alone; there are none here.
    """
    strength = sigmoid_ramp(steps, alpha=1.0) if strength is None else strength
    adversarial = DomainAdversarialLoss(DomainDiscriminator(features, hidden=hidden), strength=strength)
    return Objective(
        classification=source_cross_entropy,
        adversarial=Align(adversarial, weight=weight),
        spectral=Align(BatchSpectralLoss(k=k), weight=spectral_weight),
    )
