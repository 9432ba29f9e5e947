"""OSBP: open-set domain adaptation by backpropagation."""

from __future__ import annotations

from torch import Tensor

from dalib.conditioning import whole
from dalib.losses.unknown_boundary import UnknownBoundaryLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule


class OpenSetObjective(Objective):
    """An objective whose model has a last class for what the source does not know."""

    extra_outputs = 1

    @staticmethod
    def unknown(outputs: Outputs) -> Tensor:
        """Which rows are unknown, shape ``(n,)``: those whose largest logit is the last."""
        return outputs.logits.argmax(dim=1) == outputs.logits.shape[1] - 1


def osbp(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    boundary: float = 0.5,
    strength: float | Schedule = 1.0,
) -> OpenSetObjective:
    """For a target with classes that the source lacks: the features choose between known and unknown [1]_.

    The model has one output more than the source has classes, the last: no source row is of it, and target rows that it
    wins are unknown (``objective.unknown(outputs)``).

    Args:
        features: Width of the features (not used).
        classes: Number of outputs of the model (not used): those of the source and one more.
        steps: Number of optimizer steps (not used).
        weight: Factor of the game on the target; 1 in the paper.
        boundary: The unknown class's probability at which the classifier holds target rows; 0.5 in the paper.
        strength: Factor of the reversed gradient; 1 in the paper.

    Returns:
        The objective. It has no parameters, but needs a model whose outputs know their head.

    References:
        .. [1] Saito et al. Open Set Domain Adaptation by Backpropagation. ECCV 2018.

    Example:
        >>> list(osbp(256, 11, 1000).terms)
        ['classification', 'boundary']
    """
    game = UnknownBoundaryLoss(boundary=boundary, strength=strength)
    return OpenSetObjective(classification=source_cross_entropy, boundary=Align(game, on=whole, weight=weight))
