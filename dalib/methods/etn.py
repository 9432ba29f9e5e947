"""ETN: example transfer network."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.losses import DomainAdversarialLoss, DomainDiscriminator, EntropyLoss, domain_adversarial_loss
from dalib.objective import Align, Objective, OnTarget
from dalib.outputs import Outputs
from dalib.schedules import Schedule, sigmoid_ramp


def leaky_log_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    r"""Logarithms of the leaky softmax :math:`s_k = e^{z_k} / (K + \sum_j e^{z_j})` and of :math:`1 - s_k`.

    Args:
        logits: Shape ``(n, classes)``.

    Returns:
        Two tensors, shape ``(n, classes)`` each. Finite for any finite logits.

    Example:
        >>> inside, outside = leaky_log_softmax(torch.zeros(1, 2))  # 1 / 4 and 3 / 4
        >>> inside.exp(), outside.exp()
        (tensor([[0.2500, 0.2500]]), tensor([[0.7500, 0.7500]]))
    """
    classes = logits.shape[1]
    leak = logits.new_full((len(logits), 1), math.log(classes))
    everything = torch.logsumexp(torch.cat([logits, leak], dim=1), dim=1, keepdim=True)
    others = (
        logits[:, None, :]
        .expand(-1, classes, -1)
        .masked_fill(torch.eye(classes, dtype=torch.bool, device=logits.device), -torch.inf)
    )
    without = torch.logsumexp(torch.cat([others, leak[:, None, :].expand(-1, classes, -1)], dim=2), dim=2)
    return logits - everything, without - everything


class ExampleWeights(nn.Module):
    r"""An auxiliary classifier with a leaky softmax that learns classes and domains at once, and the weights it gives [1]_.

    Its total :math:`\sum_k s_k` is the probability of the source. It sees features without sending a gradient back.
    Source rows count by :math:`w_i \propto 1 - \sum_k s_k(\bar f_i)`, of mean one.

    Args:
        auxiliary: Module from features to logits ``(n, classes)``.

    References:
        .. [1] Cao et al. Learning to Transfer Examples for Partial Domain Adaptation. CVPR 2019.
    """

    def __init__(self, auxiliary: nn.Module) -> None:
        super().__init__()
        self.auxiliary = auxiliary

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits ``(n, classes)``, and the logit of the leaky total, ``(n,)``."""
        _checks.takes(self.auxiliary, features.shape[1], "auxiliary")
        logits = self.auxiliary(features.detach())
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return logits, torch.logsumexp(logits, dim=1) - math.log(logits.shape[1])

    @staticmethod
    def of(domain_logits: Tensor) -> Tensor:
        """The weights of source rows, shape ``(n,)``, without gradient."""
        return torch.softmax(F.logsigmoid(-domain_logits.detach()), dim=0) * len(domain_logits)


class ExampleTransferLoss(nn.Module):
    """Weighted cross entropy of the source rows, and what the auxiliary classifier learns from.

    Args:
        examples: The auxiliary classifier.
        auxiliary_weight: Factor of its domain loss.
    """

    def __init__(self, examples: ExampleWeights, *, auxiliary_weight: float = 10.0) -> None:
        super().__init__()
        _checks.positive(auxiliary_weight, "auxiliary_weight")
        self.examples = examples
        self.auxiliary_weight = float(auxiliary_weight)

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The loss of the outputs of two domains."""
        if source.labels is None:
            raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
        _checks.labels(source.labels, source.logits.shape[1], source.logits, "source.labels")
        _checks.two_samples(source.features, target.features)
        rows = len(source.features)
        logits, domain = self.examples(torch.cat([source.features, target.features]))
        if logits.shape[1] != source.logits.shape[1]:
            raise ValueError(
                f"auxiliary must have the {source.logits.shape[1]} classes of the model, got {logits.shape[1]}"
            )
        inside, outside = leaky_log_softmax(logits[:rows])
        labels = source.labels.long()
        one_hot = F.one_hot(labels, logits.shape[1]).bool()
        learn = -torch.where(one_hot, inside, outside).sum(dim=1).mean()
        domains = 2 * domain_adversarial_loss(domain[:rows], domain[rows:])
        each = F.cross_entropy(source.logits.to(domain.dtype), labels, reduction="none")
        return (self.examples.of(domain[:rows]) * each).mean() + learn + self.auxiliary_weight * domains


class ExampleAdversarialLoss(nn.Module):
    """The game of DANN whose source rows count by the auxiliary classifier's weights.

    Args:
        examples: The auxiliary classifier.
        adversarial: The game of two feature matrices.
    """

    def __init__(self, examples: ExampleWeights, adversarial: DomainAdversarialLoss) -> None:
        super().__init__()
        self.examples = examples
        self.adversarial = adversarial

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``: the sum over both domains."""
        with torch.no_grad():
            _, domain = self.examples(source)
        value: Tensor = self.adversarial(source, target, source_weights=self.examples.of(domain))
        return 2 * value


def etn(
    features: int,
    classes: int,
    steps: int,
    *,
    auxiliary_weight: float = 10.0,
    entropy_weight: float | Schedule = 0.2,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> Objective:
    """For a target that lacks some source classes: an auxiliary classifier says how transferable each source row is [1]_.

    Args:
        features: Width of the features.
        classes: Number of source classes; the target has some of them.
        steps: Number of optimizer steps: the length of the ramp.
        auxiliary_weight: Factor of the auxiliary domain loss; 10 in the authors' code.
        entropy_weight: Factor of the entropy of the target predictions; 0.2 in the authors' code.
        strength: Factor of the reversed gradient. Default: as in :func:`~dalib.methods.dann`, the ramp of the
            authors' code for 1000 steps, ``sigmoid_ramp(steps, alpha=1.0)``, from 0 to 0.46.
        hidden: Width of the hidden layers of the auxiliary classifier and the discriminator.
        dropout: Probability of dropout in both.

    Returns:
        The objective. The parameters of both networks are its parameters.

    References:
        .. [1] Cao et al. Learning to Transfer Examples for Partial Domain Adaptation. CVPR 2019.

    Example:
        >>> list(etn(256, 31, 1000).terms)
        ['transfer', 'adversarial', 'entropy']

    Note:
        Domain losses are the sums over both domains here, as in the authors' code, and not their means. The dropout of the
        auxiliary classifier is drawn once for the weights of the cross entropy and once for those of the game.
    """
    strength = sigmoid_ramp(steps, alpha=1.0) if strength is None else strength
    _checks.at_least(hidden, 1, "hidden")
    _checks.dropout(dropout)
    layers: list[nn.Module] = []
    for inputs in (features, hidden):
        layers += [nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout)]
    examples = ExampleWeights(nn.Sequential(*layers, nn.Linear(hidden, classes)))
    discriminator = DomainDiscriminator(features, hidden=hidden, batch_norm=False, dropout=dropout)
    game = ExampleAdversarialLoss(examples, DomainAdversarialLoss(discriminator, strength=strength))
    return Objective(
        transfer=Align(ExampleTransferLoss(examples, auxiliary_weight=auxiliary_weight), on=whole),
        adversarial=Align(game),
        entropy=OnTarget(EntropyLoss(), weight=entropy_weight),
    )
