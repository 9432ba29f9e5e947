"""DAN: deep adaptation network."""

from __future__ import annotations

from collections.abc import Sequence

from dalib.losses import MMDLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule


def dan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 5.0,
    bandwidths: Sequence[float] | None = None,
) -> Objective:
    """Multi-kernel MMD between the features of both domains [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the MMD. Default 5: the authors' code sums five kernels with a factor of 1, here they are averaged.
        bandwidths: Kernel widths; see :func:`~dalib.losses.mmd_loss` for the default.

    Returns:
        The objective.

    References:
        .. [1] Long et al. Learning Transferable Features with Deep Adaptation Networks. ICML 2015.

    Example:
        >>> list(dan(256, 31, 1000).terms)
        ['classification', 'mmd']

    Note:
        The paper learns the kernel's mixture and uses the linear-time estimate on three layers; its code, and this, one
        layer and fixed mixture weights. This is the quadratic-time biased estimate. The code's squared widths are half of
        those of the default here.
    """
    return Objective(classification=source_cross_entropy, mmd=Align(MMDLoss(bandwidths=bandwidths), weight=weight))
