"""Margin disparity discrepancy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal
from dalib.row_weights import shares
from dalib.schedules import Schedule


@float32_island
def margin_disparity_loss(
    source_logits: Tensor,
    target_logits: Tensor,
    source_labels: Tensor,
    target_labels: Tensor,
    *,
    margin: float = 4.0,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""What the adversarial head of MDD minimises [1]_: to agree on the source and to disagree on the target.

    .. math::
        \gamma \sum_i a_i \bigl[-\log \sigma_{y_i}(z^s_i)\bigr] + \sum_j b_j \bigl[-\log (1 - \sigma_{y_j}(z^t_j))\bigr]

    with the softmax :math:`\sigma` of the adversarial head's logits :math:`z`, the classes :math:`y` that the main head
    predicts, and weights that sum to one in each domain. :math:`-\log(1 - \sigma_y) = \mathrm{softplus}(z_y -
    \mathrm{logsumexp}_{k \ne y} z_k)`, so a certain head gives large finite numbers and a gradient, not infinities, and one
    that disagrees small numbers and not zero. Where both domains have one density the head is best at
    :math:`\sigma_y = \gamma / (1 + \gamma)`, 0.8 for ``margin=4``.

    Args:
        source_logits: Logits of the adversarial head on source rows, shape ``(n, classes)``, at least two classes.
        target_logits: Same on target rows, shape ``(m, classes)``; ``m`` may differ from ``n``.
        source_labels: Classes that the main head predicts for the source rows, shape ``(n,)``.
        target_labels: Same for the target rows, shape ``(m,)``.
        margin: The factor :math:`\gamma = e^\rho` of the margin :math:`\rho`, positive; 4 in the paper.
        source_weights: One weight a source row, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative.

    Raises:
        TypeError: If logits are not floating-point tensors of one dtype, or labels not integers.
        ValueError: If the logits are not two finite matrices of one width of at least 2, the labels do not fit them,
            ``margin`` is not positive, or weights are negative, all zero or not one a row.

    References:
        .. [1] Zhang et al. Bridging Theory and Algorithm for Domain Adaptation. ICML 2019.

    Example:
        >>> labels = torch.tensor([0])
        >>> margin_disparity_loss(torch.zeros(1, 2), torch.zeros(1, 2), labels, labels, margin=3.0)  # (3 + 1) log 2
        tensor(2.7726)

    Note:
        The authors' code takes ``log(1 - softmax)`` as it stands, which is minus infinity for a certain head; TLlib adds
        ``1e-6`` inside, which stops the gradient there.
    """
    _checks.matrix(source_logits, "source_logits")
    _checks.matrix(target_logits, "target_logits")
    _checks.same_kind(source_logits, target_logits, ("source_logits", "target_logits"))
    classes = source_logits.shape[1]
    if target_logits.shape[1] != classes or classes < 2:
        raise ValueError(
            f"source_logits and target_logits must have the same number of classes, at least 2, got {classes} and "
            f"{target_logits.shape[1]}"
        )
    _checks.labels(source_labels, classes, source_logits, "source_labels")
    _checks.labels(target_labels, classes, target_logits, "target_labels")
    _checks.positive(margin, "margin")
    agree = F.cross_entropy(source_logits, source_labels.long(), reduction="none")
    source = shares(source_logits, source_weights, "source_weights") @ agree
    target_labels = target_labels.long()
    chosen = target_logits.gather(1, target_labels[:, None])[:, 0]
    others = target_logits.masked_fill(F.one_hot(target_labels, classes).bool(), -torch.inf)
    disagree = F.softplus(chosen - torch.logsumexp(others, dim=1))
    return margin * source + shares(target_logits, target_weights, "target_weights") @ disagree


class MarginDisparityLoss(nn.Module):
    r"""The game of MDD in one loss of the outputs of two domains [1]_.

    .. math:: \min_{f'} \max_\psi \; \gamma\, \mathrm{CE}(f'(\psi(x_s)), f(\psi(x_s))) - \mathrm{E} \log\bigl(1 -
        \sigma_{f(\psi(x_t))}(f'(\psi(x_t)))\bigr)

    An adversarial head :math:`f'` learns where it may contradict the main head :math:`f` on the target without doing so on
    the source; the features :math:`\psi` take these places away from it. The features receive ``-strength`` times the
    gradient, the main head none: its predictions count as labels. The parameters of ``head`` must be in the optimizer.

    Args:
        head: Module from features ``(n, d)`` to logits ``(n, classes)``.
        margin: As in :func:`margin_disparity_loss`.
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``head`` is not a module.
        ValueError: If ``margin`` is not positive; in ``forward``, if the head has other classes than the model.

    References:
        .. [1] Zhang et al. Bridging Theory and Algorithm for Domain Adaptation. ICML 2019.

    Example:
        >>> head = torch.nn.Linear(2, 2, bias=False)
        >>> _ = torch.nn.init.zeros_(head.weight)
        >>> rows = Outputs(torch.ones(3, 2), torch.zeros(3, 2))
        >>> round(MarginDisparityLoss(head)(rows, rows).item(), 4)  # (4 + 1) log 2
        3.4657
    """

    def __init__(self, head: nn.Module, *, margin: float = 4.0, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        if not isinstance(head, nn.Module):
            raise TypeError(f"head must be a torch.nn.Module, got {type(head).__name__}")
        _checks.positive(margin, "margin")
        self.head = head
        self.margin = float(margin)
        self.reversal = GradientReversal(strength)

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the outputs of two domains; both pass through the head in one forward."""
        rows = [len(source.features), len(target.features)]
        _checks.takes(self.head, source.features.shape[1], "head")
        logits = self.head(self.reversal(torch.cat([source.features, target.features])))
        if logits.shape != (sum(rows), source.logits.shape[1]):
            raise ValueError(
                f"head must return logits of shape {(sum(rows), source.logits.shape[1])}, one column a class of the model, "
                f"got {tuple(logits.shape)}"
            )
        source_logits, target_logits = logits[: rows[0]], logits[rows[0] :]
        return margin_disparity_loss(
            source_logits,
            target_logits,
            source.logits.argmax(dim=1),
            target.logits.argmax(dim=1),
            margin=self.margin,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"margin={self.margin:g}"
