"""DSAN: deep subdomain adaptation network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dalib.conditioning import whole
from dalib.losses import LocalMMDLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule, sigmoid_ramp


class SubdomainTerm(nn.Module):
    """Local MMD of the outputs of two domains: labels of the source, probabilities of the target.

    Args:
        bandwidths: As in :func:`~dalib.losses.local_mmd_loss`.

    Raises:
        ValueError: In ``forward``, if the source has no labels.

    Example:
        >>> rows = Outputs(torch.zeros(2, 3), torch.zeros(2, 4), labels=torch.tensor([0, 3]))
        >>> SubdomainTerm()(rows, rows)
        tensor(0.)
    """

    def __init__(self, *, bandwidths: Sequence[float] | None = None) -> None:
        super().__init__()
        self.loss = LocalMMDLoss(bandwidths=bandwidths)

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the features."""
        if source.labels is None:
            raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
        value: Tensor = self.loss(
            source.features,
            target.features,
            source.labels,
            target.probs,
            source_weights=source_weights,
            target_weights=target_weights,
        )
        return value


def dsan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule | None = None,
    bandwidths: Sequence[float] | None = None,
) -> Objective:
    """Local MMD: each class of the source meets the target rows that are predicted to be of it [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the local MMD. Default: the authors' ramp from 0 to 2.5, ``sigmoid_ramp(steps, high=2.5)``: their
            0.5 for the sum of five kernels, which are averaged here.
        bandwidths: Kernel widths; see :func:`~dalib.losses.mmd_loss` for the default.

    Returns:
        The objective.

    References:
        .. [1] Zhu et al. Deep Subdomain Adaptation Network for Image Classification. IEEE Transactions on Neural Networks
           and Learning Systems 32, 2021.

    Example:
        >>> list(dsan(256, 31, 1000).terms)
        ['classification', 'local_mmd']

    Note:
        The ramp moves with every step, the authors' with every epoch; their kernel's squared widths are half of those of the
        default here.
    """
    weight = sigmoid_ramp(steps, high=2.5) if weight is None else weight
    local = Align(SubdomainTerm(bandwidths=bandwidths), on=whole, weight=weight)
    return Objective(classification=source_cross_entropy, local_mmd=local)
