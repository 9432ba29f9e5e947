"""SWD: sliced Wasserstein distance between features."""

from __future__ import annotations

from dalib.losses import SlicedWassersteinLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule


def swd(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    projections: int = 128,
) -> Objective:
    """Sliced Wasserstein distance between the features of both domains [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the loss. Default 1, a choice of this library.
        projections: Number of random lines of a step; 128 in the paper.

    Returns:
        The objective.

    References:
        .. [1] Lee et al. Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation. CVPR 2019.

    Example:
        >>> list(swd(256, 31, 1000).terms)
        ['classification', 'sliced_wasserstein']

    Note:
        The paper compares the outputs of two classifiers on target rows by this distance, inside MCD: that is
        :func:`~dalib.methods.swd_mcd`. This aligns the features of the domains by it.
    """
    loss = SlicedWassersteinLoss(projections=projections)
    return Objective(classification=source_cross_entropy, sliced_wasserstein=Align(loss, weight=weight))
