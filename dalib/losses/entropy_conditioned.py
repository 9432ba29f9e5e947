"""Domain-adversarial loss whose rows count by the certainty of their predictions: the +E of CDAN+E."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.conditioning import multilinear
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal, reverse_gradient
from dalib.row_weights import relative
from dalib.schedules import Schedule


class EntropyConditionedLoss(nn.Module):
    r"""The game of CDAN+E in one loss of the outputs of two domains [1]_.

    .. math::
        \tfrac12 \Bigl[ \frac{\sum_i w_i \log(1 + e^{-z_i})}{\sum_i w_i} +
        \frac{\sum_j w_j \log(1 + e^{z_j})}{\sum_j w_j} \Bigr], \qquad w = 1 + e^{-H(p)}

    for the logits :math:`z` of a discriminator of :math:`f \otimes p`. As in the authors' code each domain is normalised
    by itself, the sums of the weights carry no gradient, and the gradient of the entropies is reversed like that of the
    features: rows that the discriminator finds hard become more certain, easy ones less.

    Args:
        discriminator: Module from the conditioned features to one logit a row, ``(n,)`` or ``(n, 1)``.
        on: From outputs to conditioned features: :func:`~dalib.conditioning.multilinear` or a
            :class:`~dalib.conditioning.RandomizedMultilinear`.
        strength: Factor of the reversed gradients: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``discriminator`` is not a module or ``on`` cannot be called.
        ValueError: In ``forward``, if the discriminator does not return one logit a row, or row weights are wrong.

    References:
        .. [1] Long et al. Conditional Adversarial Domain Adaptation. NeurIPS 2018.

    Example:
        >>> discriminator = torch.nn.Linear(4, 1)
        >>> _ = torch.nn.init.zeros_(discriminator.weight), torch.nn.init.zeros_(discriminator.bias)
        >>> rows = Outputs(torch.ones(3, 2), torch.zeros(3, 2))
        >>> round(EntropyConditionedLoss(discriminator)(rows, rows).item(), 4)  # chance: log 2
        0.6931

    Note:
        TLlib normalises over both domains together and lets no gradient through the weights.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        *,
        on: Callable[[Outputs], Tensor] = multilinear,
        strength: float | Schedule = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(discriminator, nn.Module):
            raise TypeError(f"discriminator must be a torch.nn.Module, got {type(discriminator).__name__}")
        if not callable(on):
            raise TypeError(f"on must be callable, got {type(on).__name__}")
        self.discriminator = discriminator
        self.on = on
        self.reversal = GradientReversal(strength)

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the outputs of two domains; row weights multiply the certainty weights."""
        first, second = self.on(source), self.on(target)
        _checks.two_samples(first, second)
        _checks.takes(self.discriminator, first.shape[1], "discriminator")
        rows = len(first)
        logits = self.discriminator(self.reversal(torch.cat([first, second])))
        logits = _checks.one_a_row(logits, rows + len(second), "discriminator")
        strength = self.reversal.strength()
        loss = _weighted(-logits[:rows], source.logits, strength, source_weights, "source_weights")
        return (loss + _weighted(logits[rows:], target.logits, strength, target_weights, "target_weights")) / 2


def _weighted(
    domain_logits: Tensor, class_logits: Tensor, strength: float | Tensor, weights: Tensor | None, name: str
) -> Tensor:
    if weights is not None:
        _checks.row_weights(weights, class_logits, name)
    # Before the island, which leaves two dtypes as they are: under autocast a model may give logits in float32.
    domain_logits = domain_logits.to(torch.promote_types(domain_logits.dtype, torch.float32))
    return _certainty_mean(domain_logits, class_logits, torch.as_tensor(strength), weights)


@float32_island
def _certainty_mean(domain_logits: Tensor, class_logits: Tensor, strength: Tensor, weights: Tensor | None) -> Tensor:
    log_probs = torch.log_softmax(class_logits.to(domain_logits.dtype), dim=1)
    entropy = -(log_probs.exp() * log_probs).sum(dim=1)
    certainty = 1 + torch.exp(-reverse_gradient(entropy, strength))
    if weights is not None:
        certainty = certainty * relative(weights, certainty.dtype)
    mean: Tensor = (certainty * F.softplus(domain_logits)).sum() / certainty.sum().detach()
    return mean
