"""SWD: MCD with the sliced Wasserstein discrepancy."""

from __future__ import annotations

from dalib import _checks
from dalib.losses.sliced_discrepancy import SlicedDiscrepancyLoss
from dalib.methods._two_heads import TwoHeadObjective, second_head
from dalib.objective import Objective
from dalib.schedules import Schedule


def swd_mcd(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    times: int = 4,
    directions: int = 128,
    hidden: int | None = None,
) -> Objective:
    """MCD whose heads are compared as clouds of predictions, by the sliced Wasserstein distance [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps (not used).
        weight: Factor of the discrepancy; 1 in the paper.
        times: Repetitions of the phase of agreement.
        directions: Number of random directions; 128 in the authors' code.
        hidden: Width of a hidden layer of the second head. Default: none.

    Returns:
        The objective. The second head's parameters are its parameters.

    References:
        .. [1] Lee et al. Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation. CVPR 2019.

    Example:
        >>> swd_mcd(256, 31, 1000).discrepancy
        SlicedDiscrepancyLoss(directions=128)
    """
    _checks.at_least(times, 1, "times")
    discrepancy = SlicedDiscrepancyLoss(directions=directions)
    return TwoHeadObjective(second_head(features, classes, hidden), discrepancy, weight, times)
