"""Domains from arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib.data._given import dense, float32
from dalib.data.domain import Domain, DomainSet, TensorInputs, agreed_classes


def arrays(
    domains: Mapping[str, tuple[Any, Any]], *, classes: Sequence[str] | None = None, name: str = "arrays"
) -> DomainSet:
    """A set of domains from numpy arrays or torch tensors.

    Args:
        domains: ``(inputs, labels)`` by name of the domain: inputs of shape ``(n, ...)``, stored as float32; labels of
            shape ``(n,)``, integers or strings.
        classes: Names of the classes. Integer labels are then positions in ``classes`` and a domain may lack some.
            Default: the sorted values of the labels, which must be the same in every domain.
        name: Name of the set.

    Returns:
        The :class:`~dalib.data.DomainSet`, in the order of ``domains``.

    Raises:
        TypeError: If a value is no pair, inputs are no numbers, a tensor is not dense, or labels are neither integers nor
            strings.
        ValueError: If shapes, values or classes do not fit, or entries are masked.

    Example:
        >>> x = np.eye(2)
        >>> both = arrays({"shop": (x, ["mug", "pen"]), "desk": (x, ["pen", "mug"])})
        >>> both.classes, both.domains["desk"].labels.tolist()
        (('mug', 'pen'), [1, 0])
    """
    if not isinstance(domains, Mapping):
        raise TypeError(f"domains must be a mapping from names to (inputs, labels), got {type(domains).__name__}")
    labels: dict[str, Any] = {}
    for key, pair in domains.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"domains[{key!r}] must be a pair (inputs, labels), got {type(pair).__name__}")
        labels[key] = pair[1]
    names, indices = class_indices(labels, classes)
    built = {
        key: Domain(key, TensorInputs(_rows(inputs, key)), indices[key], names) for key, (inputs, _) in domains.items()
    }
    return DomainSet(name, built, "arrays in memory")


def class_indices(
    labels: Mapping[str, Any], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """The classes, and the positions in them of the labels of every domain.

    Args:
        labels: Integers or strings, by domain.
        classes: Names of the classes, or None for the sorted values of the labels.

    Raises:
        TypeError: If labels are neither integers nor strings, or ``classes`` is no sequence of names.
        ValueError: If the domains differ in their values and ``classes`` is None, or a label is no class.
    """
    checked = {key: _labels(own, key) for key, own in labels.items()}
    if classes is None:
        classes = _shared_values(checked)
        checked = {key: own.astype(str) for key, own in checked.items()}
    elif isinstance(classes, str) or not isinstance(classes, Sequence):
        raise TypeError(f"classes must be a sequence of names, got {type(classes).__name__}")
    return tuple(classes), {key: _positions(own, classes, key) for key, own in checked.items()}


def _labels(labels: Any, key: str) -> NDArray[Any]:
    dense(labels, f"labels of domain {key!r}")
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if array.dtype.kind == "T":  # texts of any length, which have no conversion of their own
        array = array.astype(object)
    if array.dtype == object and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype.kind == "U"):
        raise TypeError(f"labels of domain {key!r} must be integers or strings, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"labels of domain {key!r} must have shape (rows,), got {array.shape}")
    return array


def _shared_values(labels: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    kinds = {key: "strings" if own.dtype.kind == "U" else "integers" for key, own in labels.items()}
    if len(set(kinds.values())) > 1:
        raise TypeError(f"labels must be of one kind in all domains, got {kinds}")
    if not labels:
        return ()
    return agreed_classes({key: [str(value) for value in np.unique(own)] for key, own in labels.items()})


def _positions(labels: NDArray[Any], classes: Sequence[str], key: str) -> NDArray[np.int64]:
    if labels.dtype.kind != "U":
        return labels
    position = {name: number for number, name in enumerate(classes)}
    unknown = sorted(set(labels.tolist()) - set(position))
    if unknown:
        raise ValueError(f"labels of domain {key!r} must be among the classes, got {', '.join(unknown[:5])}")
    return np.array([position[label] for label in labels.tolist()], dtype=np.int64)


def _rows(inputs: Any, key: str) -> Tensor:
    tensor = float32(inputs, f"inputs of domain {key!r}")
    if tensor.ndim < 2 or tensor.numel() == 0:
        raise ValueError(
            f"inputs of domain {key!r} must have shape (rows, ...) with at least one row, got {tuple(tensor.shape)}"
        )
    bad = (~torch.isfinite(tensor)).flatten(1).any(1).nonzero().flatten()
    if len(bad):
        raise ValueError(
            f"inputs of domain {key!r} must be finite in float32, got NaN or infinity in {len(bad)} of {len(tensor)} "
            f"rows, the first is row {int(bad[0])}"
        )
    return tensor
