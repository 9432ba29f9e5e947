"""Log-CORAL: correlation alignment along the geodesic of covariances."""

from __future__ import annotations

from dalib.losses import LogCORALLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.schedules import Schedule


def log_coral(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 10.0,
    ridge: float = 1e-3,
) -> Objective:
    """Log-Euclidean distance between the feature covariances of both domains [1]_.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the loss. Default 10, as in :func:`~dalib.methods.deep_coral`: a choice of this library; the
            paper picks the factor of the smallest target entropy.
        ridge: What is added to all eigenvalues; see :func:`~dalib.losses.log_coral_loss`.

    Returns:
        The objective.

    References:
        .. [1] Morerio, Cavazza and Murino. Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain
           Adaptation. ICLR 2018.

    Example:
        >>> list(log_coral(256, 31, 1000).terms)
        ['classification', 'log_coral']

    Note:
        The paper has no ridge and needs more rows than features in a batch.
    """
    return Objective(classification=source_cross_entropy, log_coral=Align(LogCORALLoss(ridge=ridge), weight=weight))
