"""The control: what the forward mode alone does."""

from __future__ import annotations

from dalib.objective import Objective, source_cross_entropy


def control(features: int, classes: int, steps: int) -> Objective:
    """Cross entropy of the source rows while the target rows pass through the same network, with no alignment term.

    Batch norm sees both domains, which by itself changes the target accuracy. What a method adds is its difference to
    the control of its own forward mode, not to :func:`~dalib.methods.source_only`.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).

    Returns:
        The objective.

    Example:
        >>> control(256, 31, 1000).needs_target
        True
    """
    return Objective(classification=source_cross_entropy)
