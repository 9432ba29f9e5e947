"""Contrastive domain discrepancy."""

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
def contrastive_domain_loss(
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
    r"""Contrastive domain discrepancy of CAN: a class nears itself and leaves the others across the domains [1]_.

    .. math::
        \frac{1}{|\mathcal C|} \sum_c D_{cc} - \frac{1}{|\mathcal C| (|\mathcal C| - 1)} \sum_{c \ne c'} D_{cc'}, \qquad
        D_{cc'} = \mathrm{MMD}^2(\{s_i : y^s_i = c\}, \{t_j : y^t_j = c'\})

    with the biased estimate of :func:`~dalib.losses.mmd_loss`, one bandwidth for all, and the classes :math:`\mathcal C`
    that both domains have rows of. With one class the second sum is left out; without any the loss is zero.

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
        Scalar tensor, in ``[-2, 2]``; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or the labels no integers.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row;
            if labels do not fit; if weights are negative, all zero or not one a row; if a bandwidth is not positive.
        RuntimeError: In a second derivative with more than 4096 rows.

    References:
        .. [1] Kang et al. Contrastive Adaptation Network for Unsupervised Domain Adaptation. CVPR 2019.

    Example:
        >>> rows, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1])
        >>> contrastive_domain_loss(rows, rows, labels, labels, 2, bandwidths=[1.0])  # 0 - (2 - 2 exp(-2))
        tensor(-1.7293)

    Note:
        skada's ``cdd_loss`` masks the classes on one axis only, so its value is another.
    """
    pooled = pool(source, target, source_weights, target_weights)
    a, b, shared = shares_by_labels(
        source, target, source_labels, target_labels, classes, source_weights, target_weights
    )
    own = torch.eye(classes, dtype=a.dtype, device=source.device)
    count = shared.sum().to(a.dtype).clamp_min(1)
    # Of the means of a domain's own classes both sums hold 1/|C|, so they cancel, unless there is one class alone.
    alone = (count < 1.5).to(a.dtype)
    across = own / count - (1 - own) * (1 - alone) / (count * (count - 1).clamp_min(1))
    mixing = torch.cat([torch.cat([alone * own, -across], dim=1), torch.cat([-across, alone * own], dim=1)])
    columns = torch.cat([torch.cat([a, torch.zeros_like(a)], dim=1), torch.cat([torch.zeros_like(b), b], dim=1)])
    return kernel_form([pooled.parts], [Gaussian(bandwidths)], columns, mixing, counts=pooled.weights)


class ContrastiveDomainLoss(nn.Module):
    """Module form of :func:`contrastive_domain_loss`: stores the options, calls the function.

    Args:
        classes: As in :func:`contrastive_domain_loss`.
        bandwidths: As in :func:`contrastive_domain_loss`.

    Example:
        >>> rows, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1])
        >>> ContrastiveDomainLoss(2, bandwidths=[1.0])(rows, rows, labels, labels)
        tensor(-1.7293)
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
        return contrastive_domain_loss(
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
