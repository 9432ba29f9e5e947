"""The domain-adversarial loss of DANN and CDAN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.reversal import GradientReversal
from dalib.row_weights import shares
from dalib.schedules import Schedule


@float32_island
def domain_adversarial_loss(
    source_logits: Tensor,
    target_logits: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Binary cross entropy of a domain discriminator, source = 1 and target = 0 [1]_.

    .. math::
        \tfrac12 \Bigl[ \sum_i a_i \log(1 + e^{-z^s_i}) + \sum_j b_j \log(1 + e^{z^t_j}) \Bigr]

    for logits :math:`z` and weights that sum to one in each domain, so both domains count equally whatever their sizes.
    Computed from logits: a saturated discriminator still has a gradient.

    Args:
        source_logits: Discriminator logits of source rows, shape ``(n,)`` or ``(n, 1)``.
        target_logits: Same of target rows, shape ``(m,)`` or ``(m, 1)``; ``m`` may differ from ``n``.
        source_weights: One weight a source row, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; ``log 2`` for a discriminator at chance.

    Raises:
        TypeError: If the logits are not floating-point tensors of one dtype.
        ValueError: If the logits are not one finite number a row, there are no rows, or weights are negative, all zero
            or not one a row.

    References:
        .. [1] Ganin et al. Domain-Adversarial Training of Neural Networks. JMLR 17, 2016.

    Example:
        >>> domain_adversarial_loss(torch.zeros(3), torch.zeros(2))  # log 2
        tensor(0.6931)

    Note:
        The reversal of the gradient is not in here: see :class:`DomainAdversarialLoss`.
    """
    source_logits = _one_logit_a_row(source_logits, "source_logits")
    target_logits = _one_logit_a_row(target_logits, "target_logits")
    _checks.same_kind(source_logits, target_logits, ("source_logits", "target_logits"))
    source = shares(source_logits, source_weights, "source_weights") @ F.softplus(-source_logits)
    target = shares(target_logits, target_weights, "target_weights") @ F.softplus(target_logits)
    return (source + target) / 2


def _one_logit_a_row(logits: Tensor, name: str) -> Tensor:
    _checks.floating(logits, name)
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits = logits[:, 0]
    if logits.ndim != 1 or logits.shape[0] == 0:
        raise ValueError(
            f"{name} must have shape (rows,) or (rows, 1) with at least one row, got {tuple(logits.shape)}"
        )
    _checks.finite(logits, name)
    return logits


class DomainAdversarialLoss(nn.Module):
    r"""The min-max game of DANN in one loss: the discriminator minimises it, the features ascend it [1]_.

    .. math:: \min_D \max_f \; \tfrac12 \bigl[ \mathrm{BCE}(D(f(x_s)), 1) + \mathrm{BCE}(D(f(x_t)), 0) \bigr]

    The features receive ``-strength`` times the gradient. Both domains pass through the discriminator in one forward.
    Its parameters must be in the optimizer: ``gradient_step`` refuses one that lacks them.

    Args:
        discriminator: Module from features ``(n, d)`` to one logit a row, ``(n,)`` or ``(n, 1)``.
        strength: Factor :math:`\lambda` of the reversed gradient: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``discriminator`` is not a module.
        ValueError: In ``forward``, if the discriminator does not take these features or does not return one logit a row.

    References:
        .. [1] Ganin et al. Domain-Adversarial Training of Neural Networks. JMLR 17, 2016.

    Example:
        >>> discriminator = torch.nn.Linear(2, 1)
        >>> _ = torch.nn.init.zeros_(discriminator.weight), torch.nn.init.zeros_(discriminator.bias)
        >>> loss = DomainAdversarialLoss(discriminator)(torch.ones(3, 2), torch.zeros(5, 2))
        >>> round(loss.item(), 4)  # chance: log 2
        0.6931
    """

    def __init__(self, discriminator: nn.Module, *, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        if not isinstance(discriminator, nn.Module):
            raise TypeError(f"discriminator must be a torch.nn.Module, got {type(discriminator).__name__}")
        self.discriminator = discriminator
        self.reversal = GradientReversal(strength)

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
        rows = len(source) + len(target)
        logits = self.discriminator(self.reversal(torch.cat([source, target])))
        logits = _checks.one_a_row(logits, rows, "discriminator")
        return domain_adversarial_loss(
            *torch.split(logits, [len(source), len(target)]),
            source_weights=source_weights,
            target_weights=target_weights,
        )
