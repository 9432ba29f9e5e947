"""MADA: multi-adversarial domain adaptation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib.conditioning import whole
from dalib.losses.class_adversarial import class_adversarial_loss
from dalib.losses.class_discriminators import ClassDiscriminators
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal
from dalib.schedules import Schedule, sigmoid_ramp


class MultiAdversarialLoss(nn.Module):
    """One discriminator a class, each on the features weighted by the probability of its class; features ascend.

    The probabilities carry no gradient.

    Args:
        discriminators: Module ``(features, probs) -> logits (n, classes)``, such as ``ClassDiscriminators``.
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.

    Example:
        >>> loss = MultiAdversarialLoss(ClassDiscriminators(2, 3, hidden=4))
        >>> rows = Outputs(torch.zeros(5, 2), torch.zeros(5, 3))
        >>> loss(rows, rows).ndim
        0
    """

    def __init__(self, discriminators: nn.Module, *, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        if not isinstance(discriminators, nn.Module):
            raise TypeError(f"discriminators must be a torch.nn.Module, got {type(discriminators).__name__}")
        self.discriminators = discriminators
        self.reversal = GradientReversal(strength)

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the outputs of two domains."""
        features = self.reversal(torch.cat([source.features, target.features]))
        probs = torch.cat([source.probs, target.probs]).detach().to(features.dtype)
        logits = self.discriminators(features, probs)
        rows = len(source.features)
        return class_adversarial_loss(
            logits[:rows], logits[rows:], source_weights=source_weights, target_weights=target_weights
        )


def mada(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    hidden: int = 256,
    dropout: float = 0.5,
) -> Objective:
    """A discriminator for each class, which sees the features weighted by the probability of its class [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss; 1 in the paper.
        strength: Factor of the reversed gradient. Default: the paper's ramp from 0 to 1, ``sigmoid_ramp(steps)``.
        hidden: Width of the discriminators' hidden layers. Default 256; 1024 in the authors' code, whose 31 networks
            would have 41 million weights.
        dropout: Probability of dropout in the discriminators.

    Returns:
        The objective. The discriminators' parameters are its parameters.

    References:
        .. [1] Pei et al. Multi-Adversarial Domain Adaptation. AAAI 2018.

    Example:
        >>> list(mada(256, 31, 1000).terms)
        ['classification', 'adversarial']
    """
    strength = sigmoid_ramp(steps) if strength is None else strength
    bank = ClassDiscriminators(features, classes, hidden=hidden, dropout=dropout)
    adversarial = Align(MultiAdversarialLoss(bank, strength=strength), on=whole, weight=weight)
    return Objective(classification=source_cross_entropy, adversarial=adversarial)
