"""What a score may look at: a model's outputs on both domains, with labels of the source alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dalib.outputs import Outputs


@dataclass(frozen=True)
class Evaluation:
    """A model's outputs at one checkpoint: in evaluation mode, outside the graph, on the CPU.

    There is no place for target labels, so a score cannot see them. Every ``*_score(evaluation)`` takes one of these.

    Args:
        source: Outputs of source rows that the model was trained on, with labels.
        target: Outputs of the target rows, without labels.
        source_held_out: Outputs of source rows kept out of training, with labels; ``None`` where all were trained on.
        predict: The model, for scores that need new forward passes: ``inputs -> Outputs``.
        target_inputs: What ``predict`` made ``target`` of, in the same order and without labels: ``len(inputs)`` rows,
            ``inputs.load(index)``; ``None`` where it is not at hand.

    Raises:
        TypeError: If a part is not of the type above.
        ValueError: If source outputs lack labels, if target outputs or inputs carry labels, or if the class counts
            differ.

    Example:
        >>> import torch
        >>> rows = torch.zeros(2, 3)
        >>> evaluation = Evaluation(source=Outputs(rows, rows, labels=torch.tensor([0, 1])), target=Outputs(rows, rows))
        >>> evaluation.target.labels is None
        True
    """

    source: Outputs
    target: Outputs
    source_held_out: Outputs | None = None
    predict: Callable[[Any], Outputs] | None = None
    target_inputs: Any = None

    def __post_init__(self) -> None:
        for name, part in (("source", self.source), ("target", self.target), ("source_held_out", self.source_held_out)):
            if part is None and name == "source_held_out":
                continue
            if not isinstance(part, Outputs):
                raise TypeError(f"{name} must be dalib.outputs.Outputs, got {type(part).__name__}")
            if part.logits.shape[1] != self.source.logits.shape[1]:
                raise ValueError(
                    f"{name} must have logits for {self.source.logits.shape[1]} classes like source, "
                    f"got {part.logits.shape[1]}"
                )
            if (part.labels is None) != (name == "target"):
                raise ValueError(
                    "target must not carry labels, got some; only the harness that measures accuracy may hold them"
                    if name == "target"
                    else f"{name} must carry labels, got None"
                )
        if getattr(self.target_inputs, "labels", None) is not None:
            raise ValueError("target_inputs must not carry labels, got some; pass the inputs of a domain alone")
