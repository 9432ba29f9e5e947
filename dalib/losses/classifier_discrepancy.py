"""Maximum classifier discrepancy: how far two heads disagree on the same rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.row_weights import shares


def _two_heads(first_logits: Tensor, second_logits: Tensor) -> None:
    _checks.matrix(first_logits, "first_logits")
    _checks.matrix(second_logits, "second_logits")
    _checks.same_kind(first_logits, second_logits, ("first_logits", "second_logits"))
    if first_logits.shape != second_logits.shape:
        raise ValueError(
            f"first_logits and second_logits must be of the same rows and classes, got shapes "
            f"{tuple(first_logits.shape)} and {tuple(second_logits.shape)}"
        )


@float32_island
def classifier_discrepancy_loss(
    first_logits: Tensor, second_logits: Tensor, *, weights: Tensor | None = None
) -> Tensor:
    r"""Mean absolute difference of the class probabilities of two heads on the same rows [1]_.

    .. math:: \sum_i w_i \frac1K \| \mathrm{softmax}(z_i) - \mathrm{softmax}(z'_i) \|_1

    with weights that sum to one.

    Args:
        first_logits: Logits of one head, shape ``(n, classes)``.
        second_logits: Logits of the other, same shape.
        weights: One weight a row, shape ``(n,)``; rescaled to sum to one. Default: all equal.

    Returns:
        Scalar tensor, in ``[0, 2 / classes]``.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype.
        ValueError: If the inputs are not finite matrices of one shape, or weights are negative, all zero or not one a row.

    References:
        .. [1] Saito et al. Maximum Classifier Discrepancy for Unsupervised Domain Adaptation. CVPR 2018.

    Example:
        >>> certain = 100 * torch.eye(2)
        >>> classifier_discrepancy_loss(certain, -certain)  # |1 - 0| everywhere
        tensor(1.)
    """
    _two_heads(first_logits, second_logits)
    difference = (torch.softmax(first_logits, dim=1) - torch.softmax(second_logits, dim=1)).abs().mean(dim=1)
    return shares(difference, weights, "weights") @ difference


class ClassifierDiscrepancyLoss(nn.Module):
    """Module form of :func:`classifier_discrepancy_loss`.

    Example:
        >>> certain = 100 * torch.eye(2)
        >>> ClassifierDiscrepancyLoss()(certain, -certain)
        tensor(1.)
    """

    def forward(self, first_logits: Tensor, second_logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """The loss of two heads' logits, shape ``(n, classes)`` each."""
        return classifier_discrepancy_loss(first_logits, second_logits, weights=weights)
