"""CDAN: conditional domain-adversarial training."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from dalib.conditioning import RandomizedMultilinear, multilinear, whole
from dalib.losses import DomainAdversarialLoss, DomainDiscriminator
from dalib.losses.entropy_conditioned import EntropyConditionedLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule, sigmoid_ramp

LARGEST_EXACT_MAP = 4096
"""Above this many entries of features times classes the paper uses the randomized map."""


def cdan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
    randomized: int | None = None,
) -> Objective:
    """DANN whose discriminator sees features times predicted class probabilities [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss.
        strength: Factor of the reversed gradient. Default: the ramp of DANN from 0 to 1, ``sigmoid_ramp(steps)``.
        hidden: Width of the discriminator's hidden layers.
        randomized: Width of the randomized map, 0 for the exact one. Default, as in the paper: exact up to 4096 entries,
            above that randomized with 1024.

    Returns:
        The objective. The discriminator's parameters are its parameters.

    References:
        .. [1] Long et al. Conditional Adversarial Domain Adaptation. NeurIPS 2018.

    Example:
        >>> cdan(64, 31, 1000).terms["adversarial"].on is multilinear  # 1984 entries: exact
        True
        >>> cdan(256, 31, 1000).terms["adversarial"].on  # 7936 entries: randomized
        RandomizedMultilinear()

    Note:
        The published code ramps the strength by 2/(1+exp(-i/1000))-1 at step i, whatever the length of the training: 0.46
        after 1000 steps, near 1 from 5000 on; ``strength=sigmoid_ramp(steps, alpha=1.0)`` is that for 1000 steps. This
        default spans the training.
    """
    on, width = _conditioning(features, classes, randomized)
    discriminator = DomainDiscriminator(width, hidden=hidden)
    strength = sigmoid_ramp(steps) if strength is None else strength
    adversarial = Align(DomainAdversarialLoss(discriminator, strength=strength), on=on, weight=weight)
    return Objective(classification=source_cross_entropy, adversarial=adversarial)


def cdan_e(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
    randomized: int | None = None,
) -> Objective:
    """CDAN+E: :func:`cdan` whose rows count by the certainty of their predictions [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss.
        strength: Factor of the reversed gradient. Default: the ramp of DANN from 0 to 1, ``sigmoid_ramp(steps)``.
        hidden: Width of the discriminator's hidden layers.
        randomized: Width of the randomized map, 0 for the exact one. Default: as in :func:`cdan`.

    Returns:
        The objective. The discriminator's parameters are its parameters.

    References:
        .. [1] Long et al. Conditional Adversarial Domain Adaptation. NeurIPS 2018.

    Example:
        >>> list(cdan_e(64, 31, 1000).terms)
        ['classification', 'adversarial']

    Note:
        The published code ramps the strength by 2/(1+exp(-i/1000))-1 at step i, whatever the length of the training: 0.46
        after 1000 steps, near 1 from 5000 on; ``strength=sigmoid_ramp(steps, alpha=1.0)`` is that for 1000 steps. This
        default spans the training. The authors' code adds 1e-5 to the probability inside the
        logarithm of the entropy; here the entropy is exact. What TLlib weighs otherwise is said at
        :class:`~dalib.losses.EntropyConditionedLoss`.
    """
    on, width = _conditioning(features, classes, randomized)
    strength = sigmoid_ramp(steps) if strength is None else strength
    adversarial = EntropyConditionedLoss(DomainDiscriminator(width, hidden=hidden), on=on, strength=strength)
    return Objective(classification=source_cross_entropy, adversarial=Align(adversarial, on=whole, weight=weight))


def _conditioning(features: int, classes: int, randomized: int | None) -> tuple[Callable[[Outputs], Tensor], int]:
    """What the discriminator sees, and its width."""
    if randomized is None:
        randomized = 0 if features * classes <= LARGEST_EXACT_MAP else 1024
    if randomized:
        return RandomizedMultilinear(features, classes, dimension=randomized), randomized
    return multilinear, features * classes
