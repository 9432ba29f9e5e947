"""HoMM: higher-order moment matching."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib.losses import HoMMLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule


def bounded_features(outputs: Outputs) -> Tensor:
    """The features after a tanh: the loss wants them bounded.

    Example:
        >>> bounded_features(Outputs(torch.full((1, 1), 100.0), torch.zeros(1, 2)))
        tensor([[1.]])
    """
    return torch.tanh(outputs.features)


def homm(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 100.0,
    order: int = 3,
) -> Objective:
    """Distance of the third-order moment tensors of the features [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the loss. Default 100, a choice of this library: a mean over ``d ** order`` entries is small.
        order: Order of the moments; 3 and 4 in the paper.

    Returns:
        The objective.

    References:
        .. [1] Chen et al. HoMM: Higher-order Moment Matching for Unsupervised Domain Adaptation. AAAI 2020.

    Example:
        >>> list(homm(256, 31, 1000).terms)
        ['classification', 'moments']

    Note:
        The authors align a layer with a tanh; here the features pass through one on the way to the loss alone. Their code
        centres the features, which hides a shift from the loss; this is the formula of the paper, which does not. Without
        the clustering term of the paper.
    """
    return Objective(
        classification=source_cross_entropy, moments=Align(HoMMLoss(order=order), on=bounded_features, weight=weight)
    )
