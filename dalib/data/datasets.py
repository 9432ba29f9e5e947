"""Domains from map-style data sets of torch, such as those of torchvision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from dalib.data._given import float32, positions
from dalib.data.arrays import class_indices
from dalib.data.domain import Domain, DomainSet


def datasets(domains: Mapping[str, Any], *, classes: Sequence[str] | None = None, name: str = "datasets") -> DomainSet:
    """A set of domains from data sets with ``len`` and ``[k]``, whose items are ``(input, label)``.

    Labels are read once: from the attribute ``targets`` where the data set has one a row, as torchvision's do, no
    transform of targets and a first item with that label; else by reading every item. Inputs are read when they are
    asked for.

    Args:
        domains: The data set of every domain, by its name. An input is a tensor or array of one shape; an item must be
            the same at every read, so no augmentation that draws at random.
        classes: Names of the classes. Integer labels are then positions in ``classes`` and a domain may lack some.
            Default: the sorted values of the labels, which must be the same in every domain.
        name: Name of the set.

    Returns:
        The :class:`~dalib.data.DomainSet`, in the order of ``domains``.

    Raises:
        TypeError: If a value is no map-style data set, or its items are no pairs.
        ValueError: If it is empty, an item changes from read to read, or labels do not fit.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> rows = TensorDataset(torch.eye(2), torch.tensor([1, 0]))
        >>> both = datasets({"shop": rows, "desk": rows}, classes=["mug", "pen"])
        >>> both.domains["desk"].labels, both.domains["desk"].inputs.load(torch.tensor([1]))
        (array([1, 0]), tensor([[0., 1.]]))
    """
    if not isinstance(domains, Mapping):
        raise TypeError(f"domains must be a mapping from names to data sets, got {type(domains).__name__}")
    labels = {key: _labels(dataset, key) for key, dataset in domains.items()}
    names, indices = class_indices(labels, classes)
    built = {key: Domain(key, DatasetInputs(dataset, key), indices[key], names) for key, dataset in domains.items()}
    return DomainSet(name, built, "data sets in memory")


class DatasetInputs:
    """The inputs of a map-style data set, read when they are asked for; see :func:`datasets`."""

    def __init__(self, dataset: Any, name: str) -> None:
        self.dataset = dataset
        self.name = name
        self._content: str | None = None
        if not torch.equal(self._row(0), self._row(0)):
            raise ValueError(
                f"items of domain {name!r} must be the same at every read, got two different ones at position 0; "
                "take random augmentation out of the data set"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def load(
        self,
        index: NDArray[np.int64] | Tensor,
        *,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The inputs of the items ``index`` as one float32 tensor.

        Raises:
            TypeError: If ``index`` holds no integers; a mask is none.
            ValueError: If a position is out of range, or the inputs are not of one shape, or not finite; the item is
                named.
        """
        chosen = positions(index, len(self)).tolist()
        rows = [self._row(k) for k in chosen]
        odd = next((k for k, row in enumerate(rows) if row.shape != rows[0].shape), None)
        if odd is not None:
            raise ValueError(
                f"items of domain {self.name!r} must have one shape, got {tuple(rows[0].shape)} and "
                f"{tuple(rows[odd].shape)} at position {chosen[odd]}"
            )
        return torch.stack(rows)

    def fingerprint(self) -> str:
        """SHA-256 of all inputs in order; reads every item once."""
        if self._content is None:
            digest = hashlib.sha256()
            for k in range(len(self)):
                row = self._row(k)
                digest.update(f"{tuple(row.shape)}".encode())
                digest.update(row.contiguous().numpy().tobytes())
            self._content = digest.hexdigest()
        return self._content

    def _row(self, k: int) -> Tensor:
        item = self.dataset[k]
        x = item[0] if isinstance(item, tuple | list) and len(item) == 2 else item
        if not isinstance(x, Tensor | np.ndarray) or x.ndim == 0:
            raise TypeError(
                f"items of domain {self.name!r} must be pairs (input, label) with a tensor or array as input, got "
                f"{type(x).__name__} at position {k}; turn pictures into tensors with the data set's transform"
            )
        row = float32(x, f"the input of domain {self.name!r} at position {k}")
        if not bool(torch.isfinite(row).all()):
            raise ValueError(f"items of domain {self.name!r} must be finite, got NaN or infinity at position {k}")
        return row


def _labels(dataset: Any, key: str) -> NDArray[Any]:
    here = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not here or isinstance(dataset, IterableDataset):  # which inherits an empty __getitem__
        raise TypeError(f"domains[{key!r}] must be a map-style data set with len and [k], got {type(dataset).__name__}")
    rows = len(dataset)
    if rows == 0:
        raise ValueError(f"domains[{key!r}] must have at least one item, got none")
    targets = getattr(dataset, "targets", None)
    listed = isinstance(targets, Tensor | np.ndarray | Sequence) and not isinstance(targets, str)
    if targets is not None and listed and len(targets) == rows and _as_in_items(targets, dataset):
        return np.asarray(targets)
    labels = []
    for k in range(rows):
        item = dataset[k]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise TypeError(f"items of domain {key!r} must be pairs (input, label), got {type(item).__name__} at {k}")
        label = _scalar(item[1])
        if isinstance(label, Tensor | np.ndarray | list | tuple):
            got = f"shape {tuple(label.shape)}" if isinstance(label, Tensor | np.ndarray) else f"{label!r}"
            raise ValueError(
                f"labels of domain {key!r} must be one integer or string an item, got {got} at position {k}; "
                "take the argmax of one-hot labels"
            )
        labels.append(label)
    return np.asarray(labels)


def _as_in_items(targets: Any, dataset: Any) -> bool:
    """Whether nothing seems to stand between ``targets`` and the labels of the items."""
    joint = getattr(dataset, "transforms", None)  # torchvision: of input and target, with a part for each or as one
    if getattr(dataset, "target_transform", None) is not None or getattr(joint, "target_transform", joint) is not None:
        return False
    first = dataset[0]
    if not isinstance(first, tuple | list) or len(first) != 2:
        return True  # items of inputs alone
    ours, theirs = _scalar(targets[0]), _scalar(first[1])
    return type(ours) is type(theirs) and np.ndim(ours) == 0 and bool(ours == theirs)


def _scalar(label: Any) -> Any:
    """The Python value of an array of one entry; others stay."""
    if isinstance(label, Tensor):
        return label.item() if label.numel() == 1 else label
    return label.item() if isinstance(label, np.ndarray | np.generic) and label.size == 1 else label
