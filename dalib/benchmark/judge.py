"""What measures a checkpoint on the target: the one place of a run where target labels are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dalib.benchmark.checkpoint import Checkpoint
from dalib.benchmark.kinds import HEADLINES
from dalib.data import Inputs
from dalib.metrics import open_set_accuracy, per_class_accuracy
from dalib.outputs import Outputs

REJECTION = 0.5
"""Rows whose largest class probability is below it are unknown, for methods that have no rule of their own."""

SWEEP = tuple(round(0.05 * number, 2) for number in range(1, 20))
"""Thresholds that such a method is measured with beside that one: 0.05 to 0.95."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The labels of a task's target rows.

    Args:
        labels: Shape ``(n,)``; ``classes`` or above means of a class that the source does not know.
        classes: Number of source classes.
        kind: Kind of the scenario; only where there are unknown classes can a row be rejected.
        test: The rows that the labels are of, where the method did not see them; ``None`` where they are the task's.
    """

    labels: NDArray[np.int64]
    classes: int
    kind: str
    test: Inputs | None = None

    def accuracies(self, checkpoint: Checkpoint, target: Outputs) -> tuple[dict[str, float], dict[str, Any]]:
        """Accuracies of a checkpoint on the target.

        Args:
            checkpoint: Its own rule tells unknown rows, if it has one.
            target: Its outputs on the target rows.

        Returns:
            ``accuracy``, the share of right rows (a rejected unknown row is right), and ``class_accuracy``, its mean over
            classes; with unknown classes also ``known``, ``unknown``, ``overall`` and ``harmonic`` of
            :func:`dalib.metrics.open_set_accuracy`. Then what only the last checkpoint's record keeps: ``per_class``, the
            accuracy of every source class and of the unknown rows together (``None`` without rows); and for methods
            without a rule of their own ``sweep``, the harmonic mean by rejection threshold.
        """
        predicted = target.logits[:, : self.classes].argmax(dim=1).numpy()
        if HEADLINES[self.kind] == "accuracy":
            return self._shares(predicted, self.labels), {"per_class": self._per_class(predicted, self.classes)}
        verdict = self.predicted(checkpoint, target)
        found = open_set_accuracy(verdict, self.labels, known=self.classes)._asdict()
        details: dict[str, Any] = {"per_class": self._per_class(verdict, self.classes + 1)}
        if checkpoint.unknown is None:
            details["sweep"] = {f"{threshold:.2f}": self._harmonic(predicted, target, threshold) for threshold in SWEEP}
        return {**self._shares(verdict, np.minimum(self.labels, self.classes)), **found}, details

    def predicted(self, checkpoint: Checkpoint, target: Outputs) -> NDArray[np.int64]:
        """The class of each row; with unknown classes, the number of source classes for a row that is rejected."""
        known: NDArray[np.int64] = target.logits[:, : self.classes].argmax(dim=1).numpy()
        if HEADLINES[self.kind] == "accuracy":
            return known
        return np.where(self._rejected(checkpoint, target), self.classes, known)

    def _rejected(self, checkpoint: Checkpoint, target: Outputs) -> NDArray[np.bool_]:
        if checkpoint.unknown is None:
            return uncertain(target, self.classes, REJECTION)
        verdict = checkpoint.unknown(target)
        if (
            not isinstance(verdict, torch.Tensor)
            or verdict.dtype != torch.bool
            or verdict.shape != (len(target.logits),)
        ):
            got = (
                f"{verdict.dtype} {tuple(verdict.shape)}"
                if isinstance(verdict, torch.Tensor)
                else type(verdict).__name__
            )
            raise ValueError(
                f"unknown of a checkpoint must return booleans of shape ({len(target.logits)},), got {got}"
            )
        return verdict.cpu().numpy()

    def _harmonic(self, predicted: NDArray[np.int64], target: Outputs, threshold: float) -> float:
        verdict = np.where(uncertain(target, self.classes, threshold), self.classes, predicted)
        return open_set_accuracy(verdict, self.labels, known=self.classes).harmonic

    def _shares(self, predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
        accuracy, class_accuracy = accuracies(predicted, labels)
        return {"accuracy": accuracy, "class_accuracy": class_accuracy}

    def _per_class(self, predicted: NDArray[np.int64], classes: int) -> list[float | None]:
        shares = per_class_accuracy(predicted, np.minimum(self.labels, classes - 1), classes)
        return [None if np.isnan(share) else round(float(share), 6) for share in shares]


def uncertain(outputs: Outputs, classes: int, threshold: float) -> NDArray[np.bool_]:
    """Which rows have no class probability of ``threshold`` or more.

    Example:
        >>> rows = Outputs(torch.zeros(2, 1), torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]))
        >>> uncertain(rows, 3, 0.5)
        array([ True, False])
    """
    largest: NDArray[np.bool_] = (outputs.probs[:, :classes].amax(dim=1) < threshold).numpy()
    return largest


def accuracies(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Share of rows predicted right, and the mean of that share over the classes that have rows.

    Example:
        >>> accuracies(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
        (0.75, 0.75)
        >>> accuracies(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]))
        (0.75, 0.5)
    """
    right = predicted == labels
    rows = np.bincount(labels)
    hits = np.bincount(labels, weights=right)
    return float(right.mean()), float((hits[rows > 0] / rows[rows > 0]).mean())
