"""DeepJDOT: joint distribution optimal transport."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.distances import squared_distances
from dalib.losses.exact_transport import exact_coupling
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.row_weights import shares
from dalib.schedules import Schedule


class JointTransport(nn.Module):
    r"""The least cost of moving labelled source rows onto target rows [1]_.

    .. math:: \min_P \sum_{ij} P_{ij} \bigl[ \alpha \| f_i - f_j \|^2 + \beta\, \mathrm{CE}(z_j, y_i) \bigr]

    over plans with the row weights as sums (equal by default). The costs are computed in float64. The plan is found exactly
    on each pair of batches and held fixed in the gradient.

    Args:
        features: The factor :math:`\alpha`, not negative.
        labels: The factor :math:`\beta`, not negative.

    Raises:
        TypeError: If a factor is not a number.
        ValueError: If a factor is negative; in ``forward``, if the source has no labels, or features or logits are no
            finite matrices of fitting widths.

    References:
        .. [1] Damodaran et al. DeepJDOT: Deep Joint Distribution Optimal Transport for Unsupervised Domain Adaptation.
           ECCV 2018.

    Example:
        >>> source = Outputs(torch.zeros(1, 2), torch.zeros(1, 2), labels=torch.tensor([0]))
        >>> target = Outputs(torch.ones(1, 2), torch.zeros(1, 2))
        >>> JointTransport(features=0.5, labels=1.0)(source, target)  # 0.5 * 2 + log 2
        tensor(1.6931)
    """

    def __init__(self, *, features: float = 0.01, labels: float = 1.0) -> None:
        super().__init__()
        for factor, name in ((features, "features"), (labels, "labels")):
            _checks.not_negative(factor, name)
        self.features = features
        self.labels = labels

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The cost of two batches."""
        if source.labels is None:
            raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
        _checks.labels(source.labels, target.logits.shape[1], source.features, "source.labels")
        _checks.two_samples(source.features, target.features)
        _checks.matrix(target.logits, "target.logits")
        n = len(source.features)
        rows = torch.cat([source.features, target.features]).double()
        surprise = -F.log_softmax(target.logits.double(), dim=1)[:, source.labels.long()].mT
        cost = self.features * squared_distances(rows)[:n, n:] + self.labels * surprise
        a = shares(rows[:n], source_weights, "source_weights")
        b = shares(rows[n:], target_weights, "target_weights")
        plan: Tensor = exact_coupling(cost, a, b)
        value = (plan * cost).sum().to(torch.promote_types(source.features.dtype, torch.float32))
        _checks.finite_loss(value, source.features, target.features)
        return value

    def extra_repr(self) -> str:
        """The options."""
        return f"features={self.features:g}, labels={self.labels:g}"


def deepjdot(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    feature_cost: float = 0.01,
    label_cost: float = 1.0,
) -> Objective:
    """Target rows take features and labels of the source rows that transport sends to them [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the transport cost.
        feature_cost: Factor of the squared distance of features; 0.01 in the authors' code, 0.001 in the paper.
        label_cost: Factor of the cross entropy of a target row with a source label; 1 in the authors' code, 0.0001 in the
            paper.

    Returns:
        The objective.

    References:
        .. [1] Damodaran et al. DeepJDOT: Deep Joint Distribution Optimal Transport for Unsupervised Domain Adaptation.
           ECCV 2018.

    Example:
        >>> list(deepjdot(256, 31, 1000).terms)
        ['classification', 'transport']

    Note:
        The authors draw source batches with equal numbers of all classes, since a plan of two batches moves all of one to
        the other whatever their classes are. The solver runs on the CPU.
    """
    transport = Align(JointTransport(features=feature_cost, labels=label_cost), on=whole, weight=weight)
    return Objective(classification=source_cross_entropy, transport=transport)
