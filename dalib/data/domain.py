"""What a benchmark is made of: inputs, a domain (inputs with labels), and a set of domains that share their classes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib import _checks
from dalib.data._given import positions


@runtime_checkable
class Inputs(Protocol):
    """Rows that a model takes: whatever has these three methods, such as a feature matrix or a list of image files.

    Example:
        >>> isinstance(TensorInputs(torch.zeros(2, 3)), Inputs), isinstance(torch.zeros(2, 3), Inputs)
        (True, False)
    """

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def load(
        self,
        index: NDArray[np.int64] | Tensor,
        *,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The rows ``index`` as one CPU tensor; ``training`` asks for augmentation, drawn from ``generator`` alone."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of the content, in hexadecimal: equal for equal rows, wherever they are stored."""
        ...


class TensorInputs:
    """Rows in memory: a feature matrix ``(n, d)``, images ``(n, channels, height, width)``, or any ``(n, ...)``.

    Args:
        tensor: A finite floating-point tensor with at least one row; kept on the CPU, detached, not copied.

    Raises:
        TypeError: If ``tensor`` is not a floating-point tensor.
        ValueError: If it has no rows, no second dimension, or entries that are not finite.

    Example:
        >>> inputs = TensorInputs(torch.arange(6.0).reshape(3, 2))
        >>> inputs.load(torch.tensor([2, 0]))
        tensor([[4., 5.],
                [0., 1.]])
    """

    def __init__(self, tensor: Tensor) -> None:
        _checks.floating(tensor, "tensor")
        if tensor.ndim < 2 or tensor.numel() == 0:
            raise ValueError(f"tensor must have shape (rows, ...) with at least one row, got {tuple(tensor.shape)}")
        self.tensor = tensor.detach().cpu()
        _checks.finite(self.tensor, "tensor")

    def __len__(self) -> int:
        return len(self.tensor)

    def load(
        self,
        index: NDArray[np.int64] | Tensor,
        *,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The rows ``index``, copied; in-memory rows are not augmented.

        Raises:
            TypeError: If ``index`` holds no integers; a mask is none.
            ValueError: If a position is out of range.
        """
        return self.tensor.index_select(0, torch.from_numpy(positions(index, len(self))))

    def fingerprint(self) -> str:
        """SHA-256 of dtype, shape and values."""
        values = self.tensor.contiguous()
        digest = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


class SelectedRows:
    """Some rows of other inputs, in a given order, loaded when they are asked for; see :func:`select_rows`."""

    def __init__(self, inputs: Inputs, rows: NDArray[np.int64]) -> None:
        self._inputs = inputs
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def load(
        self,
        index: NDArray[np.int64] | Tensor,
        *,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The rows ``rows[index]`` of the inputs behind."""
        return self._inputs.load(self._rows[positions(index, len(self))], training=training, generator=generator)

    def fingerprint(self) -> str:
        """SHA-256 of the inputs behind and the selection."""
        return hashlib.sha256(self._inputs.fingerprint().encode() + self._rows.tobytes()).hexdigest()


def select_rows(inputs: Inputs, rows: NDArray[np.int64]) -> Inputs:
    """The inputs that consist of the rows ``rows`` of ``inputs``, in that order.

    Args:
        inputs: Rows in memory stay rows in memory; others are loaded on demand.
        rows: Positions in ``inputs``, shape ``(k,)`` with ``k >= 1``.

    Raises:
        TypeError: If ``rows`` holds no integers; a mask holds none.
        ValueError: If ``rows`` is empty, is no vector, or leaves the range ``0..len(inputs) - 1``.

    Example:
        >>> len(select_rows(TensorInputs(torch.zeros(5, 2)), np.array([4, 1])))
        2
    """
    rows = positions(rows, len(inputs), "rows")
    if len(rows) == 0:
        raise ValueError("rows must be a vector with at least one position, got an empty one")
    if isinstance(inputs, TensorInputs):
        return TensorInputs(inputs.load(rows))
    return SelectedRows(inputs, rows)


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain: inputs and the class of every row.

    Args:
        name: Name of the domain, such as ``"amazon"``.
        inputs: The rows.
        labels: Class indices, shape ``(n,)``; stored as a read-only int64 array.
        classes: Names of the classes; ``labels`` are positions in it. A class may have no row.

    Raises:
        TypeError: If inputs, labels or classes are of the wrong kind.
        ValueError: If there is no row, lengths differ, a label is out of range, a class name comes twice, or the name begins
            or ends with blanks.

    Example:
        >>> desk = Domain("desk", TensorInputs(torch.zeros(2, 3)), np.array([1, 0]), ("mug", "pen"))
        >>> len(desk), desk.classes[desk.labels[0]]
        (2, 'pen')
    """

    name: str
    inputs: Inputs
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name must be a non-empty string, got {self.name!r}")
        if self.name != self.name.strip():
            raise ValueError(f"name must not begin or end with blanks, got {self.name!r}")
        if not isinstance(self.inputs, Inputs):
            raise TypeError(
                f"inputs of domain {self.name!r} must have the methods of dalib.data.Inputs, got "
                f"{type(self.inputs).__name__}; wrap a tensor in TensorInputs"
            )
        object.__setattr__(self, "classes", _class_names(self.classes))
        object.__setattr__(self, "labels", _class_indices(self.labels, self.name, len(self.inputs), len(self.classes)))

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """SHA-256 of inputs, labels and class names; the name of the domain is not part of it."""
        parts = (self.inputs.fingerprint(), self.labels.tobytes().hex(), *self.classes)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class DomainSet:
    """Several domains with the same classes.

    Args:
        name: Name of the set, such as ``"office31"``.
        domains: The domains by name, in the order of tables.
        description: One line on where the rows come from.

    Raises:
        TypeError: If ``domains`` is no mapping of :class:`Domain`.
        ValueError: If it is empty, a key is not its domain's name, two names differ in case alone, or the domains differ
            in classes.

    Example:
        >>> rows = TensorInputs(torch.zeros(1, 2))
        >>> names = ("amazon", "webcam")
        >>> both = DomainSet("office", {name: Domain(name, rows, np.array([0]), ("mug",)) for name in names})
        >>> both.pairs(), both.short_names
        ([('amazon', 'webcam'), ('webcam', 'amazon')], {'amazon': 'A', 'webcam': 'W'})
    """

    name: str
    domains: Mapping[str, Domain]
    description: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.domains, Mapping):
            raise TypeError(f"domains must be a mapping from names to Domain, got {type(self.domains).__name__}")
        if not self.domains:
            raise ValueError("domains must hold at least one domain, got none")
        for key, domain in self.domains.items():
            if not isinstance(domain, Domain):
                raise TypeError(f"domains[{key!r}] must be a Domain, got {type(domain).__name__}")
            if key != domain.name:
                raise ValueError(f"domains must be keyed by their names, got key {key!r} for domain {domain.name!r}")
        folded: dict[str, str] = {}
        for key in self.domains:
            other = folded.setdefault(key.lower(), key)
            if other != key:
                raise ValueError(f"domains must have names that differ in more than case, got {other!r} and {key!r}")
        agreed_classes({key: domain.classes for key, domain in self.domains.items()})
        object.__setattr__(self, "domains", dict(self.domains))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the same for all domains."""
        return next(iter(self.domains.values())).classes

    @property
    def short_names(self) -> dict[str, str]:
        """Shortest capitalised prefixes that tell the domains apart: amazon -> A, dslr -> D; art, amazon -> Ar, Am.

        Each ends in a letter or digit if it can: new, new york -> New, New y.
        """
        return {name: _short_name(name, [other for other in self.domains if other != name]) for name in self.domains}

    def pairs(self) -> list[tuple[str, str]]:
        """All ordered pairs of different domains, as (source, target)."""
        return list(itertools.permutations(self.domains, 2))

    def fingerprint(self) -> str:
        """SHA-256 of the names and contents of all domains; the name of the set is not part of it."""
        parts = (f"{name} {domain.fingerprint()}" for name, domain in self.domains.items())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def agreed_classes(classes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The classes that all domains share, in their common order.

    Args:
        classes: Class names by domain.

    Raises:
        ValueError: If the domains differ in classes or in the order of classes.

    Example:
        >>> agreed_classes({"amazon": ("mug", "pen"), "webcam": ("mug", "pen")})
        ('mug', 'pen')
    """
    every = set().union(*classes.values())
    differences = [
        f"{name} lacks {', '.join(sorted(every - set(own)))}" for name, own in classes.items() if every - set(own)
    ]
    if differences:
        raise ValueError(
            f"domains must have the same classes, got {'; '.join(differences)}; "
            "name all classes with classes= if a domain may lack some"
        )
    first_name, first = next((name, tuple(own)) for name, own in classes.items())
    for name, own in classes.items():
        if tuple(own) != first:
            raise ValueError(
                f"domains must list their classes in one order, got different orders in {first_name} and {name}"
            )
    return first


def _short_name(name: str, others: Sequence[str]) -> str:
    for length in range(1, len(name)):
        shared = any(other.lower().startswith(name[:length].lower()) for other in others)
        if not shared and name[length - 1].isalnum():
            return name[:1].upper() + name[1:length]
    return name[:1].upper() + name[1:]


def _class_names(classes: object) -> tuple[str, ...]:
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise TypeError(f"classes must be a sequence of names, got {type(classes).__name__}")
    if not classes or not all(isinstance(name, str) and name for name in classes):
        raise ValueError(f"classes must hold at least one name and no empty one, got {tuple(classes)!r}")
    if len(set(classes)) != len(classes):
        twice = sorted({name for name in classes if list(classes).count(name) > 1})
        raise ValueError(f"classes must be different names, got twice: {', '.join(twice)}")
    return tuple(classes)


def _class_indices(labels: object, name: str, rows: int, classes: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"labels of domain {name!r} must be integers, got {array.dtype}")
    if rows == 0:
        raise ValueError(f"inputs of domain {name!r} must have at least one row, got none")
    if array.shape != (rows,):
        raise ValueError(f"labels of domain {name!r} must have shape ({rows},), one a row, got {array.shape}")
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(
            f"labels of domain {name!r} must lie in 0..{classes - 1}, got values in {array.min()}..{array.max()}"
        )
    array = array.astype(np.int64)
    array.flags.writeable = False
    return array
