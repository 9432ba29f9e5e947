"""Two heads on the same features: what MCD and its variants are made of."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from dalib import _checks
from dalib.objective import source_cross_entropy
from dalib.outputs import Batch, Outputs
from dalib.schedules import Schedule, Scheduled
from dalib.training import Forward, Phase, PhasedObjective, outputs_of, separate_forward
from dalib.training.phases import below_head, head_of


class TwoHeadObjective(PhasedObjective):
    """The three phases of MCD, for any discrepancy of two heads.

    Args:
        second: The second head, from features ``(n, d)`` to logits ``(n, classes)``; the first is the model's.
        discrepancy: ``discrepancy(first_logits, second_logits) -> scalar``; row weights of the target are handed to it
            as ``weights=``, and refused if it does not take them.
        weight: Factor of the discrepancy.
        times: How often the features step towards agreement in each step.
    """

    def __init__(
        self,
        second: nn.Module,
        discrepancy: Callable[..., Tensor],
        weight: float | Schedule,
        times: int,
    ) -> None:
        super().__init__(second=second)
        self.discrepancy = discrepancy
        self.weight = Scheduled(weight, name="weight")
        self.times = times

    def phases(self, model: nn.Module, forward: Forward) -> Sequence[Phase]:
        """Classify with all, disagree with the heads, agree with the features."""
        second = self.parts["second"]

        def apart(outputs: Outputs) -> Tensor:
            weight: float | Tensor = self.weight()
            value: Tensor = self.discrepancy(outputs.logits, look_again(second, outputs), **self._weights_of(outputs))
            return weight * value

        def classify(source: Batch, target: Batch) -> Tensor:
            return two_cross_entropies(_source_of(model, source, target, forward), second)

        def disagree(source: Batch, target: Batch) -> Tensor:
            first, other = forward(model, source, target)
            return two_cross_entropies(first, second) - apart(other)

        def agree(source: Batch, target: Batch) -> Tensor:
            return apart(_target_of(model, source, target, forward))

        heads = [*head_of(model).parameters(), *second.parameters()]
        features = below_head(model)
        return [
            Phase("classify", classify, [*features, *heads]),
            Phase("disagree", disagree, heads),
            Phase("agree", agree, features, times=self.times),
        ]

    def _weights_of(self, outputs: Outputs) -> dict[str, Tensor]:
        if outputs.weights is None:
            return {}
        taken = inspect.signature(getattr(self.discrepancy, "forward", self.discrepancy)).parameters
        if "weights" not in taken:
            raise TypeError(
                f"discrepancy must take weights= because the target rows have weights, got "
                f"{type(self.discrepancy).__name__} which does not; leave the weights out of the target's batches"
            )
        return {"weights": outputs.weights}


def _source_of(model: nn.Module, source: Batch, target: Batch, forward: Forward) -> Outputs:
    return outputs_of(model, source) if forward is separate_forward else forward(model, source, target)[0]


def _target_of(model: nn.Module, source: Batch, target: Batch, forward: Forward) -> Outputs:
    return outputs_of(model, target) if forward is separate_forward else forward(model, source, target)[1]


def two_cross_entropies(source: Outputs, second: nn.Module) -> Tensor:
    """The source cross entropy of both heads, summed."""
    return source_cross_entropy(source) + source_cross_entropy(
        dataclasses.replace(source, logits=look_again(second, source))
    )


def look_again(second: nn.Module, outputs: Outputs, features: Tensor | None = None) -> Tensor:
    """The second head's logits of the features of some outputs, or of others in their place."""
    _checks.takes(second, outputs.features.shape[1], "the second head")
    logits: Tensor = second(outputs.features if features is None else features)
    if logits.shape != outputs.logits.shape:
        raise ValueError(
            f"the second head must return logits of shape {tuple(outputs.logits.shape)}, one column a class of the model, "
            f"got {tuple(logits.shape)}"
        )
    return logits


def second_head(features: int, classes: int, hidden: int | None) -> nn.Module:
    """A linear head, or one with a hidden layer; it starts elsewhere than the model's."""
    if hidden is None:
        return nn.Linear(features, classes)
    _checks.at_least(hidden, 1, "hidden")
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
