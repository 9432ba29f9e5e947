"""IWAN: importance weighted adversarial nets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.losses import DomainAdversarialLoss, DomainDiscriminator, EntropyLoss, domain_adversarial_loss
from dalib.objective import Align, Objective, OnTarget, source_cross_entropy
from dalib.row_weights import relative
from dalib.schedules import Schedule, sigmoid_ramp


class ImportanceWeightedAdversarialLoss(nn.Module):
    r"""A first discriminator weighs the source rows, a second one plays the game of DANN with these weights [1]_.

    .. math:: w_i \propto 1 - D(\bar f_i) = \sigma(-z_i)

    The first sees the features without sending a gradient back, and learns the plain domains; rows that it takes for
    source alone count little. The value is the sum of both losses.

    Args:
        weigher: The first discriminator, from features to one logit a row.
        adversarial: The game of the second.

    References:
        .. [1] Zhang et al. Importance Weighted Adversarial Nets for Partial Domain Adaptation. CVPR 2018.
    """

    def __init__(self, weigher: nn.Module, adversarial: DomainAdversarialLoss) -> None:
        super().__init__()
        if not isinstance(weigher, nn.Module):
            raise TypeError(f"weigher must be a torch.nn.Module, got {type(weigher).__name__}")
        self.weigher = weigher
        self.adversarial = adversarial

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        _checks.two_samples(source, target)
        _checks.takes(self.weigher, source.shape[1], "weigher")
        rows = len(source)
        logits = self.weigher(torch.cat([source, target]).detach())
        logits = _checks.one_a_row(logits, rows + len(target), "weigher")
        first = domain_adversarial_loss(
            logits[:rows], logits[rows:], source_weights=source_weights, target_weights=target_weights
        )
        weights = self.weights(logits[:rows])
        if source_weights is not None:
            weights = weights * relative(source_weights, weights.dtype)
        second: Tensor = self.adversarial(source, target, source_weights=weights, target_weights=target_weights)
        return first + second

    @staticmethod
    def weights(logits: Tensor) -> Tensor:
        """The weights of source rows from the first discriminator's logits, of mean one, without gradient."""
        logits = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
        log_weights = torch.nn.functional.logsigmoid(-logits)
        return torch.softmax(log_weights, dim=0) * len(logits)  # sigma(-z) / mean, safe where all are near zero


def iwan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    entropy_weight: float | Schedule = 0.1,
    hidden: int = 1024,
) -> Objective:
    """DANN for a target that lacks some source classes: source rows unlike any target row count less [1]_.

    Args:
        features: Width of the features.
        classes: Number of source classes (not used); the target has some of them.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the losses of both discriminators.
        strength: Factor of the reversed gradient. Default: as in :func:`~dalib.methods.dann`, TLlib's ramp
            for 1000 steps, ``sigmoid_ramp(steps, alpha=1.0)``, from 0 to 0.46.
        entropy_weight: Factor of the entropy of the target predictions; 0.1 in TLlib.
        hidden: Width of the discriminators' hidden layers; they have no batch norm.

    Returns:
        The objective. The discriminators' parameters are its parameters.

    References:
        .. [1] Zhang et al. Importance Weighted Adversarial Nets for Partial Domain Adaptation. CVPR 2018.

    Example:
        >>> list(iwan(256, 31, 1000).terms)
        ['classification', 'adversarial', 'entropy']

    Note:
        The paper has two encoders, the source's frozen after a first stage; this, like TLlib, shares one. TLlib uses
        factors of 4.5 and 3 for the two discriminators, and divides the weights by their mean plus 1e-5, here by their mean.
    """
    strength = sigmoid_ramp(steps, alpha=1.0) if strength is None else strength
    weigher, discriminator = (DomainDiscriminator(features, hidden=hidden, batch_norm=False) for _ in range(2))
    loss = ImportanceWeightedAdversarialLoss(weigher, DomainAdversarialLoss(discriminator, strength=strength))
    return Objective(
        classification=source_cross_entropy,
        adversarial=Align(loss, weight=weight),
        entropy=OnTarget(EntropyLoss(), weight=entropy_weight),
    )
