"""Objectives that one backward pass cannot minimise: a step of theirs has phases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from dalib.objective import Losses, Objective
from dalib.outputs import Batch, Outputs


class Phase(NamedTuple):
    """One part of a step: a loss, and the parameters that descend it while all others stay.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(()))
        >>> Phase("shrink", lambda source, target: weight**2, [weight]).times
        1
    """

    name: str
    """What it is called in logs and errors."""
    loss: Callable[[Batch, Batch], Tensor]
    """``loss(source, target) -> scalar``; called anew for each repetition."""
    parameters: Iterable[nn.Parameter]
    """What moves. The optimizer has to hold them; the momentum of the others rests."""
    times: int = 1
    """How often it is repeated on the same batches."""


class PhasedObjective(Objective):
    """An objective whose step is a sequence of phases, for methods such as MCD and ADDA.

    ``gradient_step`` runs it like any other objective: for each phase it computes the loss, lets the gradient into the
    phase's parameters alone, and makes an optimizer step. It cannot be called on outputs: the sum of its phases' losses
    is not what anything minimises. Write your own by overriding :meth:`phases`.

    Args:
        **parts: Modules that it owns, such as a second head; their parameters are its parameters.

    Raises:
        TypeError: If a part is not a module; if it is called on outputs.
    """

    def __init__(self, **parts: nn.Module) -> None:
        nn.Module.__init__(self)
        for name, part in parts.items():
            if not isinstance(part, nn.Module):
                raise TypeError(f"part {name!r} must be a torch.nn.Module, got {type(part).__name__}")
        self.parts = nn.ModuleDict(parts)

    def phases(
        self, model: nn.Module, forward: Callable[[nn.Module, Batch, Batch], tuple[Outputs, Outputs]]
    ) -> Sequence[Phase]:
        """The phases of the next step.

        Args:
            model: ``model(inputs) -> (features, logits)``.
            forward: How the model sees two batches: ``joint_forward`` or ``separate_forward``.
        """
        raise TypeError(f"{type(self).__name__} must override phases(model, forward), got none")

    def forward(self, source: Any, target: Any) -> Losses:
        """Refused: see the class."""
        raise TypeError(
            f"{type(self).__name__} must be trained by gradient_step(model, objective, optimizer), got a call on "
            f"outputs; it has phases, and no single loss"
        )


def head_of(model: nn.Module) -> nn.Module:
    """The map of a model from features to logits.

    Args:
        model: A ``FeatureClassifier``, or a model of your own with an attribute ``head``.

    Returns:
        The module.

    Raises:
        TypeError: If the model has none.

    Example:
        >>> from dalib.training import FeatureClassifier
        >>> head_of(FeatureClassifier(torch.nn.Identity(), 3, bottleneck=None, width=2))
        Linear(in_features=2, out_features=3, bias=True)
    """
    head = getattr(getattr(model, "module", model), "head", None)
    if not isinstance(head, nn.Module):
        raise TypeError(
            f"model must have a module head from features to logits, got {type(model).__name__} without; "
            f"use FeatureClassifier or give yours this attribute"
        )
    return head


def below_head(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of a model that make its features: all but those of its head.

    Args:
        model: As in :func:`head_of`.

    Returns:
        The parameters.

    Example:
        >>> from dalib.training import FeatureClassifier
        >>> len(below_head(FeatureClassifier(torch.nn.Linear(2, 2), 3, bottleneck=None, width=2)))
        2
    """
    above = {id(parameter) for parameter in head_of(model).parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in above]
