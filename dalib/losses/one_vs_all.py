"""One-versus-all losses of OVANet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dalib import _checks
from dalib._precision import float32_island
from dalib.row_weights import shares


@float32_island
def one_vs_all_loss(open_logits: Tensor, labels: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""A binary classifier for each class, trained with the hardest other class alone [1]_.

    .. math:: \sum_i w_i \tfrac12 \bigl[ -\log \sigma(o_{i y_i}) + \max_{k \ne y_i} -\log (1 - \sigma(o_{ik})) \bigr]

    with weights that sum to one.

    Args:
        open_logits: Logits :math:`o` of "is of class k", shape ``(n, classes)``, at least two classes.
        labels: Classes of the rows, shape ``(n,)``.
        weights: One weight a row, shape ``(n,)``; rescaled to sum to one.

    Returns:
        Scalar tensor, not negative.

    Raises:
        TypeError: If ``open_logits`` is not a floating-point tensor or ``labels`` not integers.
        ValueError: If ``open_logits`` is not a finite matrix of two or more columns, or labels or weights do not fit.

    References:
        .. [1] Saito and Saenko. OVANet: One-vs-All Network for Universal Domain Adaptation. ICCV 2021.

    Example:
        >>> one_vs_all_loss(torch.zeros(1, 3), torch.tensor([0]))  # (log 2 + log 2) / 2
        tensor(0.6931)
    """
    _checks.matrix(open_logits, "open_logits")
    if open_logits.shape[1] < 2:
        raise ValueError(f"open_logits must have at least two classes, got {open_logits.shape[1]}")
    _checks.labels(labels, open_logits.shape[1], open_logits, "labels")
    labels = labels.long()
    own = F.softplus(-open_logits.gather(1, labels[:, None])[:, 0])
    others = open_logits.masked_fill(F.one_hot(labels, open_logits.shape[1]).bool(), -torch.inf)
    hardest = F.softplus(others.max(dim=1).values)
    losses = (own + hardest) / 2
    return shares(losses, weights, "weights") @ losses


@float32_island
def open_entropy_loss(open_logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Mean entropy of binary classifiers, :math:`\sum_j w_j \frac1K \sum_k H(\sigma(o_{jk}))`, in nats [1]_.

    Args:
        open_logits: Logits :math:`o` of "is of class k", shape ``(m, classes)``.
        weights: One weight a row, shape ``(m,)``; rescaled to sum to one.

    Returns:
        Scalar tensor, in ``[0, log 2]``.

    Raises:
        TypeError: If ``open_logits`` is not a floating-point tensor.
        ValueError: If ``open_logits`` is not a finite matrix, or weights are wrong.

    References:
        .. [1] Saito and Saenko. OVANet: One-vs-All Network for Universal Domain Adaptation. ICCV 2021.

    Example:
        >>> open_entropy_loss(torch.zeros(2, 3))  # log 2
        tensor(0.6931)
    """
    _checks.matrix(open_logits, "open_logits")
    probs = torch.sigmoid(open_logits)
    entropies = (probs * F.softplus(-open_logits) + (1 - probs) * F.softplus(open_logits)).mean(dim=1)
    return shares(entropies, weights, "weights") @ entropies
