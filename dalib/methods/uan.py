"""UAN: universal adaptation network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.losses import DomainAdversarialLoss, DomainDiscriminator, domain_adversarial_loss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule, sigmoid_ramp


def transferability(logits: Tensor, domain_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    r"""How much a row looks like one of a class that both domains have, from the target's side [1]_.

    .. math:: \sigma(d) - \frac{H(\mathrm{softmax}(z / T))}{\log K}

    Large where the domain classifier says "source" and the prediction is certain. Source rows are weighed by its negative.

    Args:
        logits: Class logits, shape ``(n, classes)``, at least two classes.
        domain_logits: Logits of "is a source row", shape ``(n,)``.
        temperature: The temperature :math:`T`.

    Returns:
        Shape ``(n,)``, in ``[-1, 1]``, without gradient.

    References:
        .. [1] You et al. Universal Domain Adaptation. CVPR 2019.

    Example:
        >>> transferability(torch.zeros(1, 4), torch.zeros(1))  # 1/2 - 1
        tensor([-0.5000])
    """
    logits, domain_logits = (
        x.detach().to(torch.promote_types(x.dtype, torch.float32)) for x in (logits, domain_logits)
    )
    log_probs = torch.log_softmax(logits / temperature, dim=1)
    entropy = -(log_probs.exp() * log_probs).sum(dim=1)
    return torch.sigmoid(domain_logits) - entropy / math.log(logits.shape[1])


def within_batch(weights: Tensor) -> Tensor:
    """Weights moved and scaled to ``[0, 1]`` and then to a mean of one; all ones where they are equal.

    Args:
        weights: Shape ``(n,)``.

    Returns:
        Shape ``(n,)``, not negative, of mean one.

    Example:
        >>> within_batch(torch.tensor([-1.0, 0.0, 1.0])), within_batch(torch.tensor([3.0]))
        (tensor([0., 1., 2.]), tensor([1.]))
    """
    low, high = weights.min(), weights.max()
    scaled = torch.where(high > low, (weights - low) / (high - low).clamp_min(1e-12), torch.ones_like(weights))
    return scaled / scaled.mean()


class UniversalAdversarialLoss(nn.Module):
    """A first discriminator tells how alike the domains are at each row, a second plays a game weighted by that.

    The first learns from features without sending a gradient back. The value is the sum of both losses.

    Args:
        weigher: The first discriminator, from features to one logit a row.
        adversarial: The game of the second.
        source_temperature: Temperature of the source predictions in the weights.
    """

    def __init__(
        self, weigher: nn.Module, adversarial: DomainAdversarialLoss, *, source_temperature: float = 10.0
    ) -> None:
        super().__init__()
        if not isinstance(weigher, nn.Module):
            raise TypeError(f"weigher must be a torch.nn.Module, got {type(weigher).__name__}")
        self.weigher = weigher
        self.adversarial = adversarial
        self.source_temperature = source_temperature

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The loss of the outputs of two domains."""
        _checks.two_samples(source.features, target.features)
        _checks.takes(self.weigher, source.features.shape[1], "weigher")
        rows = len(source.features)
        domain = self.weigher(torch.cat([source.features, target.features]).detach())
        domain = _checks.one_a_row(domain, rows + len(target.features), "weigher")
        first = domain_adversarial_loss(domain[:rows], domain[rows:])
        source_weights = within_batch(
            -transferability(source.logits, domain[:rows], temperature=self.source_temperature)
        )
        target_weights = within_batch(transferability(target.logits, domain[rows:]))
        second: Tensor = self.adversarial(
            source.features, target.features, source_weights=source_weights, target_weights=target_weights
        )
        return 2 * (first + second)


class UniversalObjective(Objective):
    """The losses of UAN, and the rule by which its model knows what is unknown.

    Args:
        loss: The adversarial loss.
        weight: Its factor.
        threshold: Rows whose transferability is below it are unknown.
    """

    def __init__(self, loss: UniversalAdversarialLoss, weight: float | Schedule, threshold: float) -> None:
        super().__init__(classification=source_cross_entropy, adversarial=Align(loss, on=whole, weight=weight))
        self.threshold = float(threshold)

    def unknown(self, outputs: Outputs) -> Tensor:
        """Which rows are unknown, shape ``(n,)``: their transferability is below the threshold."""
        weigher = self.terms["adversarial"].get_submodule("loss.weigher")
        with torch.no_grad():
            return transferability(outputs.logits, weigher(outputs.features).flatten()) < self.threshold


def uan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    threshold: float = -0.5,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> UniversalObjective:
    """For a target that may lack and add classes: only rows that look shared take part in the game [1]_.

    ``objective.unknown(outputs)`` tells, in evaluation mode, which rows are of no source class.

    Args:
        features: Width of the features.
        classes: Number of source classes, at least 2.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the losses of both discriminators.
        strength: Factor of the reversed gradient. Default: as in :func:`~dalib.methods.dann`, the ramp of the
            authors' code for 1000 steps, ``sigmoid_ramp(steps, alpha=1.0)``, from 0 to 0.46.
        threshold: Rows whose transferability is below it are unknown; -0.5 in the authors' configuration, 0 in the paper.
        hidden: Width of the discriminators' hidden layers; they have no batch norm.
        dropout: Probability of dropout in the discriminators.

    Returns:
        The objective. The discriminators' parameters are its parameters.

    References:
        .. [1] You et al. Universal Domain Adaptation. CVPR 2019.

    Example:
        >>> list(uan(256, 20, 1000).terms)
        ['classification', 'adversarial']

    Note:
        The authors' code takes the cross entropy of probabilities as if they were logits; this one of logits. Its division
        by the range of the weights in a batch is 0/0 where they are equal; here they are then all one.
    """
    _checks.at_least(classes, 2, "classes")  # of one class the entropy says nothing
    strength = sigmoid_ramp(steps, alpha=1.0) if strength is None else strength
    weigher, discriminator = (
        DomainDiscriminator(features, hidden=hidden, batch_norm=False, dropout=dropout) for _ in range(2)
    )
    loss = UniversalAdversarialLoss(weigher, DomainAdversarialLoss(discriminator, strength=strength))
    return UniversalObjective(loss, weight, threshold)
