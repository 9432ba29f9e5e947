"""The boundary of the unknown class: open-set domain adaptation by backpropagation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal, reversed_logits
from dalib.row_weights import shares
from dalib.schedules import Schedule


@float32_island
def unknown_boundary_loss(logits: Tensor, *, boundary: float = 0.5, weights: Tensor | None = None) -> Tensor:
    r"""Binary cross entropy of the unknown class's probability on target rows [1]_.

    .. math:: \sum_j w_j \bigl[ -t \log p_j - (1 - t) \log (1 - p_j) \bigr], \qquad p = \mathrm{softmax}(z)_{K+1}

    with weights that sum to one. Least, :math:`H(t)`, where the last class has the probability ``t``. Computed from
    :math:`z_{K+1} - \mathrm{logsumexp}(z_1, \dots, z_K)`, the logit of :math:`p`.

    Args:
        logits: Shape ``(m, K + 1)``, the unknown class last.
        boundary: The probability :math:`t`, strictly between 0 and 1.
        weights: One weight a row, shape ``(m,)``; rescaled to sum to one.

    Returns:
        Scalar tensor, at least :math:`H(t)`: ``log 2`` for ``t = 1/2``.

    Raises:
        TypeError: If ``logits`` is not a floating-point tensor.
        ValueError: If ``logits`` is not a finite matrix of two or more columns, ``boundary`` is not between 0 and 1, or
            weights are wrong.

    References:
        .. [1] Saito et al. Open Set Domain Adaptation by Backpropagation. ECCV 2018.

    Example:
        >>> unknown_boundary_loss(torch.zeros(3, 2))  # one known class: probability 1/2
        tensor(0.6931)
    """
    _checks.matrix(logits, "logits")
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have a known and the unknown class, got {logits.shape[1]} column")
    _between(boundary)
    unknown = logits[:, -1] - torch.logsumexp(logits[:, :-1], dim=1)
    losses = boundary * F.softplus(-unknown) + (1 - boundary) * F.softplus(unknown)
    return shares(losses, weights, "weights") @ losses


def _between(boundary: float) -> None:
    _checks.positive(boundary, "boundary")
    if boundary >= 1:
        raise ValueError(f"boundary must be between 0 and 1, got {boundary:g}")


class UnknownBoundaryLoss(nn.Module):
    r"""The game of OSBP: the classifier keeps target rows at the boundary of the unknown class, the features push off.

    The model's own head minimises :func:`unknown_boundary_loss` of the target rows, the features receive ``-strength``
    times its gradient: they choose between the known classes and the unknown one. Source rows are not looked at. The
    outputs have to know their head.

    Args:
        boundary: As in :func:`unknown_boundary_loss`.
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.

    Example:
        >>> rows = Outputs(torch.zeros(3, 2), torch.zeros(3, 2), head=torch.nn.Identity())
        >>> UnknownBoundaryLoss()(rows, rows)
        tensor(0.6931)
    """

    def __init__(self, *, boundary: float = 0.5, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        _between(boundary)
        self.boundary = float(boundary)
        self.reversal = GradientReversal(strength)

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the target rows."""
        logits = reversed_logits(target, self.reversal.strength())
        return unknown_boundary_loss(logits, boundary=self.boundary, weights=target_weights)

    def extra_repr(self) -> str:
        """The options."""
        return f"boundary={self.boundary:g}"
