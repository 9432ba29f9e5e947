"""Local maximum mean discrepancy: subdomain by subdomain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Gaussian
from dalib.losses._class_shares import class_shares, memberships, present
from dalib.losses._kernel_form import kernel_form
from dalib.losses._pooled import pool


@float32_island
def local_mmd_loss(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_probs: Tensor,
    *,
    bandwidths: Sequence[float] | Tensor | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared maximum mean discrepancy of each class, on average: the LMMD of DSAN [1]_.

    .. math::
        \frac{1}{|\mathcal C|} \sum_{c \in \mathcal C}
        \Bigl\| \sum_i w^s_{ic} \phi(s_i) - \sum_j w^t_{jc} \phi(t_j) \Bigr\|^2, \qquad
        w^s_{ic} \propto a_i [y_i = c], \quad w^t_{jc} \propto b_j p_{jc}

    where the weights of a class sum to one in each domain and :math:`\mathcal C` holds the classes that have a source row
    and a target row whose most probable class they are. Without such a class the loss is zero. The probabilities carry no
    gradient.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        source_labels: Class indices of the source rows, shape ``(n,)``.
        target_probs: Class probabilities of the target rows, shape ``(m, classes)``, not negative.
        bandwidths: Widths of the Gaussian kernel. Default: as in :func:`~dalib.losses.mmd_loss`, of the pooled sample.
        source_weights: One weight a source row, shape ``(n,)``; rescaled to sum to one in each class.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, in ``[0, 2]``; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or the labels no integers.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row;
            if labels or probabilities do not fit; if weights are negative, all zero or not one a row; if a bandwidth is
            not positive.
        RuntimeError: In a second derivative with more than 4096 rows.

    References:
        .. [1] Zhu et al. Deep Subdomain Adaptation Network for Image Classification. IEEE Transactions on Neural Networks
           and Learning Systems 32, 2021.

    Example:
        >>> probs = torch.tensor([[1.0, 0.0]])
        >>> local_mmd_loss(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0]), probs, bandwidths=[1.0])  # 2 - 2/e
        tensor(1.2642)

    Note:
        The authors sum five kernels, so a factor of 1 there is 5 here, whose squared widths are half of those of the default
        here, and return zero in place of a NaN: here a class without mass is left out and no NaN arises.
    """
    pooled = pool(source, target, source_weights, target_weights, values=False)
    _check_probs(target_probs, target)
    probs = target_probs.detach().to(target.dtype)
    members = memberships(source_labels, probs.shape[1], source, "source_labels")
    # Of a row without any probability no class is the most probable.
    likely = torch.zeros_like(probs).scatter(1, probs.argmax(dim=1, keepdim=True), 1.0) * (probs > 0)
    shared = present(members, source_weights) & present(likely, target_weights)
    columns = torch.cat(
        [
            class_shares(members, source_weights, "source_weights"),
            -class_shares(probs, target_weights, "target_weights"),
        ]
    )
    form = kernel_form([pooled.parts], [Gaussian(bandwidths)], columns * shared, counts=pooled.weights)
    return form / shared.sum().clamp_min(1)


def _check_probs(probs: Tensor, rows: Tensor) -> None:
    _checks.matrix(probs, "target_probs")
    if len(probs) != len(rows):
        raise ValueError(f"target_probs must have one row for each of the {len(rows)} of target, got {len(probs)}")
    if probs.device != rows.device:
        raise ValueError(f"target_probs must be on {rows.device} like target, got {probs.device}")
    if _checks.values_are_checked(probs) and bool((probs < 0).any()):
        raise ValueError(
            f"target_probs must not be negative, got {float(probs.min()):g}; give probabilities, not logits"
        )


class LocalMMDLoss(nn.Module):
    """Module form of :func:`local_mmd_loss`: stores the options, calls the function.

    Args:
        bandwidths: As in :func:`local_mmd_loss`.

    Example:
        >>> probs = torch.tensor([[1.0, 0.0]])
        >>> LocalMMDLoss(bandwidths=[1.0])(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0]), probs)
        tensor(1.2642)
    """

    def __init__(self, *, bandwidths: Sequence[float] | None = None) -> None:
        super().__init__()
        self.bandwidths = Gaussian(bandwidths).bandwidths

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        source_labels: Tensor,
        target_probs: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, the labels of one and the class probabilities of the other."""
        return local_mmd_loss(
            source,
            target,
            source_labels,
            target_probs,
            bandwidths=self.bandwidths,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"bandwidths={self.bandwidths}"
