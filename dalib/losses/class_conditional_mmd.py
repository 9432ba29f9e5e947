"""Class-conditional maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Gaussian
from dalib.losses._class_shares import shares_by_labels
from dalib.losses._kernel_form import kernel_form
from dalib.losses._pooled import pool


@float32_island
def class_conditional_mmd_loss(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_labels: Tensor,
    classes: int,
    *,
    bandwidths: Sequence[float] | Tensor | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared maximum mean discrepancy between the rows of each class, on average over the classes [1]_.

    .. math:: \frac{1}{|\mathcal C|} \sum_{c \in \mathcal C} \mathrm{MMD}^2(\{s_i : y^s_i = c\}, \{t_j : y^t_j = c\})

    with the biased estimate of :func:`~dalib.losses.mmd_loss`, one bandwidth for all classes, and the classes
    :math:`\mathcal C` that both domains have rows of. Without such a class the loss is zero.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        source_labels: Class indices of the source rows, shape ``(n,)``.
        target_labels: Class indices of the target rows, shape ``(m,)``: pseudo-labels, since the target has none.
        classes: Number of classes.
        bandwidths: Widths of the Gaussian kernel. Default: as in :func:`~dalib.losses.mmd_loss`, of the pooled sample.
        source_weights: One weight a source row, shape ``(n,)``; rescaled to sum to one in each class.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, in ``[0, 2]``; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or the labels no integers.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row;
            if labels do not fit; if weights are negative, all zero or not one a row; if a bandwidth is not positive.
        RuntimeError: In a second derivative with more than 4096 rows.

    References:
        .. [1] Long et al. Transfer Feature Learning with Joint Distribution Adaptation. ICCV 2013.

    Example:
        >>> zero = torch.tensor([0])
        >>> class_conditional_mmd_loss(torch.zeros(1, 2), torch.ones(1, 2), zero, zero, 2, bandwidths=[1.0])  # 2 - 2/e
        tensor(1.2642)

    Note:
        The hard-label form of :func:`~dalib.losses.local_mmd_loss`.
    """
    pooled = pool(source, target, source_weights, target_weights)
    a, b, shared = shares_by_labels(
        source, target, source_labels, target_labels, classes, source_weights, target_weights
    )
    form = kernel_form([pooled.parts], [Gaussian(bandwidths)], torch.cat([a, -b]), counts=pooled.weights)
    return form / shared.sum().clamp_min(1)


class ClassConditionalMMDLoss(nn.Module):
    """Module form of :func:`class_conditional_mmd_loss`: stores the options, calls the function.

    Args:
        classes: As in :func:`class_conditional_mmd_loss`.
        bandwidths: As in :func:`class_conditional_mmd_loss`.

    Example:
        >>> zero = torch.tensor([0])
        >>> ClassConditionalMMDLoss(2, bandwidths=[1.0])(torch.zeros(1, 2), torch.ones(1, 2), zero, zero)
        tensor(1.2642)
    """

    def __init__(self, classes: int, *, bandwidths: Sequence[float] | None = None) -> None:
        super().__init__()
        _checks.at_least(classes, 1, "classes")
        self.classes = classes
        self.bandwidths = Gaussian(bandwidths).bandwidths

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        source_labels: Tensor,
        target_labels: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices and the labels of both."""
        return class_conditional_mmd_loss(
            source,
            target,
            source_labels,
            target_labels,
            self.classes,
            bandwidths=self.bandwidths,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.classes}, bandwidths={self.bandwidths}"
