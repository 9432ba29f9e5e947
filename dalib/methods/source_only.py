"""No adaptation: the source rows alone."""

from __future__ import annotations

from dalib.objective import Objective, SourceObjective, source_cross_entropy


def source_only(features: int, classes: int, steps: int) -> Objective:
    """Cross entropy of the source rows; the target is never forwarded, so not even batch norm sees it.

    Args:
        features: Width of the features (not used).
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).

    Returns:
        The objective.

    Example:
        >>> source_only(256, 31, 1000).needs_target
        False
    """
    return SourceObjective(classification=source_cross_entropy)
