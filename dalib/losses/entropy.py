"""Entropy of the predictions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.row_weights import shares


@float32_island
def entropy_loss(logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Mean Shannon entropy of the class probabilities, in nats [1]_.

    .. math:: \sum_i w_i H(p_i), \qquad H(p) = -\sum_k p_k \log p_k, \quad p_i = \mathrm{softmax}(z_i)

    with weights that sum to one. Computed from log-softmax, so confident rows give zero and not NaN.

    Args:
        logits: Shape ``(n, classes)``.
        weights: One weight a row, shape ``(n,)``; rescaled to sum to one. Default: all equal.

    Returns:
        Scalar tensor, in ``[0, log classes]``.

    Raises:
        TypeError: If ``logits`` is not a floating-point tensor.
        ValueError: If ``logits`` is not a finite matrix, or weights are negative, all zero or not one a row.

    References:
        .. [1] Grandvalet and Bengio. Semi-supervised Learning by Entropy Minimization. NeurIPS 2004.

    Example:
        >>> entropy_loss(torch.zeros(3, 2))  # log 2
        tensor(0.6931)
    """
    _checks.matrix(logits, "logits")
    log_probs = torch.log_softmax(logits, dim=1)
    entropies = -(log_probs.exp() * log_probs).sum(dim=1)
    return shares(logits, weights, "weights") @ entropies


class EntropyLoss(nn.Module):
    """Module form of :func:`entropy_loss`.

    Example:
        >>> EntropyLoss()(torch.zeros(3, 2))
        tensor(0.6931)
    """

    def forward(self, logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """The loss of logits, shape ``(n, classes)``."""
        return entropy_loss(logits, weights=weights)
