"""What a method may see of a scenario."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib.data import Inputs, TensorInputs, select_rows


@dataclass(frozen=True, eq=False)
class Task:
    """What a method may see: the source with labels, the target without.

    Target rows come in a shuffled order and, where they are files, without their paths, so neither positions nor
    folder names spell the labels. No attribute of a task leads to them. Rows in memory and labels are the task's own
    copies, which a method may write into.

    Args:
        name: Name of the scenario.
        classes: Names of the classes.
        source: Source rows to train on.
        source_labels: Their classes, shape ``(n,)``.
        target: Target rows.
        source_held_out: Source rows kept out of training, for validation; ``None`` where all are trained on.
        source_held_out_labels: Their classes.
    """

    name: str
    classes: tuple[str, ...]
    source: Inputs
    source_labels: NDArray[np.int64]
    target: Inputs
    source_held_out: Inputs | None = None
    source_held_out_labels: NDArray[np.int64] | None = None


class HiddenRows:
    """Rows of other inputs that give away their content alone: no paths, no order, no inputs behind them.

    The inputs behind are held in a closure; a method that digs through closures or the garbage collector can find them,
    as any code in the same process could. What is ruled out is finding labels by accident or by plain attributes.
    """

    __slots__ = ("_fingerprint", "_load", "_rows", "_transformed")

    def __init__(self, inputs: Inputs, rows: NDArray[np.int64]) -> None:
        rows = rows.copy()

        def load(index: NDArray[np.int64] | Tensor, training: bool, generator: torch.Generator | None) -> Tensor:
            return inputs.load(rows[np.asarray(index)], training=training, generator=generator)

        def transformed(transform: Any) -> HiddenRows:
            changed = getattr(inputs, "with_transform", None)
            if changed is None:
                raise TypeError(f"inputs must be image files to be transformed, got {type(inputs).__name__}")
            return HiddenRows(changed(transform), rows)

        def fingerprint() -> str:
            return hashlib.sha256(inputs.fingerprint().encode() + rows.tobytes()).hexdigest()

        self._rows = len(rows)
        self._load: Callable[..., Tensor] = load
        self._transformed: Callable[[Any], HiddenRows] = transformed
        self._fingerprint: Callable[[], str] = fingerprint

    def __len__(self) -> int:
        return self._rows

    def load(
        self,
        index: NDArray[np.int64] | Tensor,
        *,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The rows ``index`` as one CPU tensor."""
        return self._load(index, training, generator)

    def with_transform(self, transform: Any) -> HiddenRows:
        """The same rows, images passing through ``transform``."""
        return self._transformed(transform)

    def fingerprint(self) -> str:
        """SHA-256 of the inputs behind and the selection."""
        return self._fingerprint()


def hidden_rows(inputs: Inputs, rows: NDArray[np.int64]) -> Inputs:
    """The rows ``rows`` of ``inputs`` with nothing that leads back to them.

    Args:
        inputs: Rows in memory are copied; others are loaded on demand through :class:`HiddenRows`.
        rows: Positions, shape ``(k,)``.

    Example:
        >>> hidden = hidden_rows(TensorInputs(torch.tensor([[5.0], [7.0]])), np.array([1, 0]))
        >>> hidden.load(torch.tensor([0]))
        tensor([[7.]])
    """
    return select_rows(inputs, rows.copy()) if isinstance(inputs, TensorInputs) else HiddenRows(inputs, rows)
