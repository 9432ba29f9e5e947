"""The reversal form of MCD: its game in one backward pass."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from dalib.conditioning import whole
from dalib.losses.classifier_discrepancy import classifier_discrepancy_loss
from dalib.methods._two_heads import look_again, second_head
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal, reverse_gradient, reversed_logits
from dalib.schedules import Schedule


class DisagreementLoss(nn.Module):
    """Two heads disagree on the target, the features receive ``-strength`` times the gradient: they agree.

    Args:
        second: The second head; the first is the model's, which the outputs have to know.
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.

    Example:
        >>> first, second = torch.nn.Identity(), torch.nn.Identity()  # two heads that agree
        >>> rows = Outputs(torch.ones(2, 3), torch.ones(2, 3), head=first)
        >>> bool(DisagreementLoss(second)(rows, rows) == 0)
        True
    """

    def __init__(self, second: nn.Module, *, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        self.second = second
        self.reversal = GradientReversal(strength)

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """Minus the discrepancy of both heads on the target; the weights of source rows do not concern it."""
        strength = self.reversal.strength()
        second = look_again(self.second, target, reverse_gradient(target.features, strength))
        return -classifier_discrepancy_loss(reversed_logits(target, strength), second, weights=target_weights)


class _SecondCrossEntropy(nn.Module):
    def __init__(self, second: nn.Module) -> None:
        super().__init__()
        self.second = second

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        return source_cross_entropy(dataclasses.replace(source, logits=look_again(self.second, source)))


def mcd_reversal(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule = 1.0,
    hidden: int | None = None,
) -> Objective:
    """MCD with gradient reversal instead of three phases: heads and features move at once.

    Not the published algorithm (that is :func:`~dalib.methods.mcd`), but its min-max game at a third or less of the cost.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps (not used).
        weight: Factor of the discrepancy.
        strength: Factor of the reversed gradient.
        hidden: Width of a hidden layer of the second head. Default: none.

    Returns:
        The objective. The second head's parameters are its parameters.

    Example:
        >>> list(mcd_reversal(256, 31, 1000).terms)
        ['classification', 'second', 'discrepancy']
    """
    second = second_head(features, classes, hidden)
    return Objective(
        classification=source_cross_entropy,
        second=_SecondCrossEntropy(second),
        discrepancy=Align(DisagreementLoss(second, strength=strength), on=whole, weight=weight),
    )
