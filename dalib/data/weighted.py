"""Importance weights for a data set of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from dalib import _checks
from dalib.data._given import float32


class WeightedDataset(Dataset[Any]):
    """What :func:`with_weights` returns."""

    def __init__(self, dataset: Any, weights: Tensor) -> None:
        self.dataset = dataset
        self.weights = weights

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, position: int) -> Any:
        item, weight = self.dataset[position], self.weights[position]
        if isinstance(item, Mapping):
            return {**item, "weights": weight}
        if isinstance(item, tuple | list) and len(item) == 2:
            return (*item, weight)
        raise TypeError(
            f"items of dataset must be pairs (inputs, label) or dictionaries, got {type(item).__name__}"
            + (f" of length {len(item)}" if isinstance(item, tuple | list) else "")
        )


def with_weights(dataset: Any, weights: ArrayLike | Tensor) -> WeightedDataset:
    """The data set with one weight a row: ``(x, y)`` becomes ``(x, y, weight)``, a dictionary gets the key ``weights``.

    A ``DataLoader`` of it yields what :func:`dalib.training.pair_batches` takes, so that the weights reach the losses.

    Args:
        dataset: A map-style data set: it has ``len()`` and ``dataset[k]``.
        weights: One non-negative finite number a row, shape ``(n,)``, not all zero, such as ``fit(...).weights_``;
            stored as float32.

    Returns:
        The weighted data set.

    Raises:
        TypeError: If ``dataset`` has no length or no items, or the weights are no numbers.
        ValueError: If the weights are not one a row, negative, or not finite.

    Example:
        >>> pairs = [(torch.zeros(2), 0), (torch.ones(2), 1)]
        >>> with_weights(pairs, [0.5, 1.5])[1]
        (tensor([1., 1.]), 1, tensor(1.5000))
    """
    here = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not here or isinstance(dataset, IterableDataset):  # which inherits an empty __getitem__
        raise TypeError(f"dataset must be a map-style data set with len() and items, got {type(dataset).__name__}")
    tensor = float32(weights, "weights").clone()
    _checks.row_weights(tensor, torch.empty(len(dataset), 0), "weights")
    return WeightedDataset(dataset, tensor)
