"""Domain-adversarial loss of a discriminator for each class."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dalib import _checks
from dalib._precision import float32_island
from dalib.row_weights import shares


@float32_island
def class_adversarial_loss(
    source_logits: Tensor,
    target_logits: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Sum over classes of the cross entropies of their domain discriminators, source = 1 and target = 0 [1]_.

    .. math::
        \sum_k \tfrac12 \Bigl[ \sum_i a_i \log(1 + e^{-z^s_{ik}}) + \sum_j b_j \log(1 + e^{z^t_{jk}}) \Bigr]

    with weights that sum to one in each domain. Each network sees :math:`p_k f`, so the sum gives a row's features about
    the gradient that one discriminator gives.

    Args:
        source_logits: Shape ``(n, classes)``, one discriminator a column.
        target_logits: Shape ``(m, classes)``; ``m`` may differ from ``n``.
        source_weights: One weight a source row, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; ``classes * log 2`` at chance.

    Raises:
        TypeError: If the logits are not floating-point tensors of one dtype.
        ValueError: If the logits are not two finite matrices of one width, or weights are wrong.

    References:
        .. [1] Pei et al. Multi-Adversarial Domain Adaptation. AAAI 2018.

    Example:
        >>> class_adversarial_loss(torch.zeros(2, 3), torch.zeros(1, 3))  # 3 log 2
        tensor(2.0794)
    """
    _checks.two_samples(source_logits, target_logits)
    source = shares(source_logits, source_weights, "source_weights") @ F.softplus(-source_logits)
    target = shares(target_logits, target_weights, "target_weights") @ F.softplus(target_logits)
    return (source + target).sum() / 2
