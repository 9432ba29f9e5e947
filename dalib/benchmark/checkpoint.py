"""What a method yields, and how the harness evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib import _checks
from dalib.benchmark.task import Task, hidden_rows
from dalib.data import Inputs
from dalib.evaluation import Evaluation
from dalib.outputs import Outputs

_SOURCE_ROWS = 1000
"""Trained source rows that are evaluated at most: their accuracy is known to a percent, and the target costs enough."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model at one moment; valid until the method is asked for the next.

    Args:
        step: Optimizer steps done, at least 0.
        predict: The model in evaluation mode: ``Inputs -> Outputs``, on the CPU, outside the graph, without labels.
        losses: Mean of every term over the steps since the checkpoint before.
        state: What resuming needs; not copied, so write it down before the method goes on.
        notes: Numbers on the training that a record should keep, such as the spread of estimated weights.
        unknown: The model's own rule for rows of classes that the source does not know: the outputs of ``predict`` ->
            booleans, one a row. Default: the harness rejects rows whose largest class probability is below 0.5.
        extra_outputs: Number of logits beyond those of the source's classes.

    Raises:
        TypeError: If ``step`` is no integer.
        ValueError: If it is negative.

    Example:
        >>> Checkpoint(step=0, predict=lambda inputs: Outputs(torch.zeros(len(inputs), 1), torch.zeros(len(inputs), 2))).step
        0
    """

    step: int
    predict: Callable[[Inputs], Outputs]
    losses: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    unknown: Callable[[Outputs], Tensor] | None = None
    extra_outputs: int = 0

    def __post_init__(self) -> None:
        _checks.at_least(self.step, 0, "step")
        object.__setattr__(self, "step", int(self.step))  # of NumPy, JSON does not know it


Method = Callable[[Task, int], Iterator[Checkpoint]]
"""Benchmark task, seed -> checkpoints, in order. Any such function or generator stands beside the built-in methods.

One that takes ``state=`` is called with the state of its last saved checkpoint after a kill, and goes on from there; the
states must hold what ``torch.load(weights_only=True)`` reads. Others start again."""


def evaluate(checkpoint: Checkpoint, task: Task) -> Evaluation:
    """The outputs of a checkpoint on all target rows, all held-out source rows and at most 1000 trained source rows.

    Args:
        checkpoint: What the method yielded.
        task: The task that it was given.

    Returns:
        What scores look at.

    Raises:
        TypeError: If the checkpoint's prediction is not ``Outputs``.
        ValueError: If it has not one row an input, or not one logit a class and as many more as the checkpoint says.

    Example:
        >>> from dalib.benchmark import Protocol, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))[0]
        >>> task = pair.task(pair.split(seed=0))
        >>> (last,) = trained(source_only, Protocol(steps=2, checkpoints=1))(task, 0)
        >>> evaluate(last, task).target.labels is None  # a score cannot see them
        True
    """
    rows = np.linspace(0, len(task.source) - 1, min(_SOURCE_ROWS, len(task.source))).round().astype(np.int64)
    source = task.source if len(rows) == len(task.source) else hidden_rows(task.source, rows)
    held_out = task.source_held_out
    return Evaluation(
        source=_labelled(outputs_on(checkpoint, source, task, "source"), task.source_labels[rows]),
        target=outputs_on(checkpoint, task.target, task, "target"),
        source_held_out=None
        if held_out is None or task.source_held_out_labels is None
        else _labelled(outputs_on(checkpoint, held_out, task, "source_held_out"), task.source_held_out_labels),
        predict=checkpoint.predict,
        target_inputs=task.target,
    )


def _labelled(outputs: Outputs, labels: NDArray[np.int64]) -> Outputs:
    return replace(outputs, labels=torch.from_numpy(np.array(labels)))


def outputs_on(checkpoint: Checkpoint, inputs: Inputs, task: Task, name: str) -> Outputs:
    """The outputs of a checkpoint on some rows, on the CPU and without labels; refused if they do not fit the task."""
    outputs = checkpoint.predict(inputs)
    if not isinstance(outputs, Outputs):
        raise TypeError(f"predict of a checkpoint must return dalib.outputs.Outputs, got {type(outputs).__name__}")
    width = len(task.classes) + checkpoint.extra_outputs
    if outputs.logits.shape != (len(inputs), width):
        raise ValueError(
            f"predict of a checkpoint must return logits of shape ({len(inputs)}, {width}) for the {name} "
            f"rows, got {tuple(outputs.logits.shape)}"
        )
    return replace(outputs.cpu(), labels=None)
