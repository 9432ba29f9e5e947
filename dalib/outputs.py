"""The two carriers of data: a batch before the model, its outputs after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib import _checks


class Batch(NamedTuple):
    """Rows of one domain, before the model.

    Example:
        >>> Batch(torch.zeros(2, 3), labels=torch.tensor([0, 1])).weights is None
        True
    """

    inputs: Any
    """What the model takes: a tensor, or for a transformers model a dictionary of tensors."""
    labels: Tensor | None = None
    """Class indices, shape ``(n,)``; ``None`` for the target domain."""
    weights: Tensor | None = None
    """One importance weight a row, shape ``(n,)``."""
    index: Tensor | None = None  # type: ignore[assignment]  # hides tuple.index, which a batch has no use for
    """Positions of the rows in their data set, shape ``(n,)``."""

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return Batch(*(_to(part, device) for part in self))


def _to(part: Any, device: torch.device | str) -> Any:
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=True)
    if isinstance(part, Mapping):
        return {key: _to(value, device) for key, value in part.items()}
    if isinstance(part, list | tuple):
        moved = [_to(value, device) for value in part]
        return type(part)(*moved) if hasattr(part, "_fields") else type(part)(moved)  # a named tuple takes its fields
    return part


@dataclass(frozen=True)
class Outputs:
    """What a model makes of a batch, with what the batch knew of its rows.

    Args:
        features: Shape ``(n, d)``.
        logits: Shape ``(n, classes)``, before the softmax.
        labels: Class indices, shape ``(n,)``, or ``None``.
        weights: One weight a row, shape ``(n,)``, or ``None``.
        index: Positions in the data set, shape ``(n,)``, or ``None``.
        head: The model's map from features to logits, for losses that classify features whose gradient is reversed;
            ``None`` where it is not known.

    Raises:
        TypeError: If features or logits are not floating-point tensors.
        ValueError: If features, logits, labels, weights and index do not have the same number of rows.

    Example:
        >>> Outputs(torch.zeros(1, 2), torch.zeros(1, 4)).probs
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    features: Tensor
    logits: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    index: Tensor | None = None
    head: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, part in (("features", self.features), ("logits", self.logits)):
            _checks.floating(part, name)
            if part.ndim != 2:
                raise ValueError(f"{name} must have shape (rows, width), got {tuple(part.shape)}")
        for name, rows in (
            ("logits", self.logits),
            ("labels", self.labels),
            ("weights", self.weights),
            ("index", self.index),
        ):
            if rows is None:
                continue
            _checks.tensor(rows, name)
            if rows.shape[:1] != self.features.shape[:1]:
                raise ValueError(
                    f"{name} must have one row for each of the {self.features.shape[0]} rows of features, "
                    f"got shape {tuple(rows.shape)}"
                )

    @property
    def probs(self) -> Tensor:
        """Class probabilities, shape ``(n, classes)``: the softmax of the logits, at least in float32."""
        logits = self.logits
        return torch.softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))

    def detach(self) -> Outputs:
        """The same values outside the graph."""
        return dataclasses.replace(self, features=self.features.detach(), logits=self.logits.detach())

    def cpu(self) -> Outputs:
        """The same values on the CPU, outside the graph and without the head, which stays on its device."""
        parts: dict[str, Any] = {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}
        tensors: dict[str, Any] = {
            name: part.detach().cpu() for name, part in parts.items() if isinstance(part, Tensor)
        }
        return Outputs(**tensors)
