"""Domain confusion: features on which a domain classifier is undecided."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses import DomainDiscriminator, domain_adversarial_loss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.row_weights import shares
from dalib.schedules import Schedule, Scheduled


class DomainConfusionLoss(nn.Module):
    r"""The domain classifier learns the domains, the features learn to leave it undecided [1]_.

    .. math::
        \underbrace{\tfrac12 \bigl[ \mathrm{BCE}(D(\bar f_s), 1) + \mathrm{BCE}(D(\bar f_t), 0) \bigr]}_{\text{moves } D
        \text{ alone}} + \lambda \underbrace{\tfrac12 \sum_{f_s, f_t} \bigl[ -\tfrac12 \log \bar D(f) - \tfrac12 \log (1 -
        \bar D(f)) \bigr]}_{\text{moves the features alone}}

    (a bar stops the gradient). Unlike a reversed gradient the confusion does not ask for exchanged labels, and is largest
    where the classifier is most certain. Both parts use the parameters of the last step, as in the paper.

    Args:
        discriminator: Module from features to one logit a row.
        confusion: The factor :math:`\lambda`: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``discriminator`` is not a module.

    References:
        .. [1] Tzeng et al. Simultaneous Deep Transfer Across Domains and Tasks. ICCV 2015.

    Example:
        >>> discriminator = torch.nn.Linear(2, 1)
        >>> _ = torch.nn.init.zeros_(discriminator.weight), torch.nn.init.zeros_(discriminator.bias)
        >>> loss = DomainConfusionLoss(discriminator, confusion=0.5)(torch.ones(3, 2), torch.zeros(5, 2))
        >>> round(loss.item(), 4)  # (1 + 0.5) log 2
        1.0397
    """

    def __init__(self, discriminator: nn.Module, *, confusion: float | Schedule = 1.0) -> None:
        super().__init__()
        if not isinstance(discriminator, nn.Module):
            raise TypeError(f"discriminator must be a torch.nn.Module, got {type(discriminator).__name__}")
        self.discriminator = discriminator
        self.confusion = Scheduled(confusion, name="confusion")

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
        _checks.takes(self.discriminator, source.shape[1], "discriminator")
        rows = len(source)
        both = torch.cat([source, target])
        learnt = _checks.one_a_row(self.discriminator(both.detach()), len(both), "discriminator")
        frozen = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        seen = torch.func.functional_call(self.discriminator, frozen, (both,)).flatten()
        apart = domain_adversarial_loss(
            learnt[:rows], learnt[rows:], source_weights=source_weights, target_weights=target_weights
        )
        first = _confusion(seen[:rows], weights=source_weights, name="source_weights")
        second = _confusion(seen[rows:], weights=target_weights, name="target_weights")
        confusion: float | Tensor = self.confusion()
        return apart + confusion * (first + second) / 2


@float32_island
def _confusion(logits: Tensor, *, weights: Tensor | None, name: str) -> Tensor:
    """The mean over rows of how far a classifier is from undecided."""
    each = (F.softplus(logits) + F.softplus(-logits)) / 2
    return shares(each, weights, name) @ each


def domain_confusion(
    features: int,
    classes: int,
    steps: int,
    *,
    confusion: float | Schedule = 0.01,
    hidden: int = 1024,
) -> Objective:
    """A domain classifier learns the domains, the features learn to leave it undecided [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        confusion: Factor of the confusion; 0.01 in the paper.
        hidden: Width of the domain classifier's hidden layers.

    Returns:
        The objective. The domain classifier's parameters are its parameters.

    References:
        .. [1] Tzeng et al. Simultaneous Deep Transfer Across Domains and Tasks. ICCV 2015.

    Example:
        >>> list(domain_confusion(256, 31, 1000).terms)
        ['classification', 'confusion']

    Note:
        The paper's other part, soft labels, needs some labelled target rows and is not in here.
    """
    loss = DomainConfusionLoss(DomainDiscriminator(features, hidden=hidden), confusion=confusion)
    return Objective(classification=source_cross_entropy, confusion=Align(loss))
