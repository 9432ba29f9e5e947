"""Scenarios whose domains do not have the same classes: partial, open-set and universal, and the published splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from dalib.benchmark.kinds import CLOSED, KINDS, OPEN, PARTIAL, UNIVERSAL
from dalib.benchmark.scenario import Scenario, class_names, scenarios
from dalib.benchmark.task import hidden_rows
from dalib.data import Domain, DomainSet

_WITH_CALTECH = (
    *("back_pack", "bike", "calculator", "headphones", "keyboard"),
    *("laptop_computer", "monitor", "mouse", "mug", "projector"),
)
_FIRST_TEN = (
    *("bike_helmet", "bookcase", "bottle", "desk_chair", "desk_lamp"),
    *("desktop_computer", "file_cabinet", "letter_tray", "mobile_phone", "paper_notebook"),
)
_LAST_ELEVEN = (
    *("pen", "phone", "printer", "punchers", "ring_binder", "ruler"),
    *("scissors", "speaker", "stapler", "tape_dispenser", "trash_can"),
)


@dataclass(frozen=True)
class ClassSplit:
    """Which classes of a set both domains have, which the source alone, and which the target alone.

    Args:
        shared: At least one.
        source_private: Classes that the target is stripped of.
        unknown: Classes that the source is stripped of: to a method their rows are of no class.

    Raises:
        TypeError: If a role is no sequence of names.
        ValueError: If nothing is shared, or a class stands twice.

    Example:
        >>> ClassSplit(("mug",), ("pen",)).source
        ('mug', 'pen')
    """

    shared: Sequence[str]
    source_private: Sequence[str] = ()
    unknown: Sequence[str] = ()

    def __post_init__(self) -> None:
        for role in ("shared", "source_private", "unknown"):
            object.__setattr__(self, role, class_names(getattr(self, role), role))
        if not self.shared:
            raise ValueError("shared must name at least one class that both domains have, got none")
        everything = (*self.shared, *self.source_private, *self.unknown)
        twice = sorted({name for name in everything if everything.count(name) > 1})
        if twice:
            raise ValueError(f"shared, source_private and unknown must not overlap, got {', '.join(twice)} twice")

    @property
    def source(self) -> tuple[str, ...]:
        """The classes of the source."""
        return (*self.shared, *self.source_private)


PUBLISHED_SPLITS: Mapping[str, Mapping[str, ClassSplit]] = MappingProxyType(
    {
        "office31": MappingProxyType(
            {
                PARTIAL: ClassSplit(_WITH_CALTECH, (*_FIRST_TEN, *_LAST_ELEVEN)),
                OPEN: ClassSplit(_WITH_CALTECH, (), _LAST_ELEVEN),
                UNIVERSAL: ClassSplit(_WITH_CALTECH, _FIRST_TEN, _LAST_ELEVEN),
            }
        )
    }
)
"""The splits that papers use, by name of the set and kind.

Office-31: the ten classes that it shares with Caltech-256 are shared [1]_. Of the other 21 in alphabetical order, all are
private to the source in the partial split [2]_; the last eleven are unknown in the open-set split [3]_; the first ten are
private to the source and the last eleven unknown in the universal split [4]_.

.. [1] Gong et al. Geodesic Flow Kernel for Unsupervised Domain Adaptation. CVPR 2012.
.. [2] Cao et al. Partial Transfer Learning with Selective Adversarial Networks. CVPR 2018.
.. [3] Saito et al. Open Set Domain Adaptation by Backpropagation. ECCV 2018.
.. [4] You et al. Universal Domain Adaptation. CVPR 2019.
"""


def partial_scenarios(
    domain_set: DomainSet, *, shared: Sequence[str], pairs: Iterable[tuple[str, str]] | None = None
) -> list[Scenario]:
    """Scenarios whose target has some of the source's classes: it is stripped of all but the shared ones.

    Args:
        domain_set: The domains, with all their classes.
        shared: Names of the classes that the target keeps.
        pairs: As for :func:`scenarios`. Default: all ordered pairs.

    Returns:
        One scenario a pair. A method sees all classes of the source and target rows of the shared ones.

    Raises:
        TypeError: If ``shared`` is no sequence of names.
        ValueError: If a name is no class of the set, or all classes are shared, or none.

    Example:
        >>> from dalib.data import arrays
        >>> rows = np.zeros((4, 2)), ["mug", "mug", "pen", "ruler"]
        >>> (first, _) = partial_scenarios(arrays({"amazon": rows, "webcam": rows}), shared=["mug"])
        >>> first.kind, len(first.source), len(first.target), first.task(first.split(seed=0)).classes
        ('partial', 4, 2, ('mug', 'pen', 'ruler'))
    """
    split = ClassSplit(shared, _others(domain_set, shared))
    if not split.source_private:
        raise ValueError("shared must leave out a class of the source, got all of them; such scenarios are closed")
    return _split_scenarios(domain_set, split, pairs)


def open_set_scenarios(
    domain_set: DomainSet,
    *,
    shared: Sequence[str],
    unknown: Sequence[str] | None = None,
    pairs: Iterable[tuple[str, str]] | None = None,
) -> list[Scenario]:
    """Scenarios whose target has all the source's classes and more: the source is stripped of all but the shared ones.

    Args:
        domain_set: The domains, with all their classes.
        shared: Names of the classes of both domains.
        unknown: Names of the classes of the target alone. Default: all others.
        pairs: As for :func:`scenarios`. Default: all ordered pairs.

    Returns:
        One scenario a pair. A method sees the shared classes and rows of all classes of the target.

    Raises:
        TypeError: If ``shared`` or ``unknown`` is no sequence of names.
        ValueError: If a name is no class of the set, stands twice, or nothing is shared or unknown.

    Example:
        >>> from dalib.data import arrays
        >>> rows = np.zeros((4, 2)), ["mug", "mug", "pen", "ruler"]
        >>> (first, _) = open_set_scenarios(arrays({"amazon": rows, "webcam": rows}), shared=["mug", "pen"])
        >>> first.kind, len(first.source), len(first.target), first.task(first.split(seed=0)).classes
        ('open', 3, 4, ('mug', 'pen'))
    """
    split = ClassSplit(shared, (), _others(domain_set, shared) if unknown is None else unknown)
    _check_unknown(split)
    return _split_scenarios(domain_set, split, pairs)


def universal_scenarios(
    domain_set: DomainSet,
    *,
    shared: Sequence[str],
    source_private: Sequence[str],
    unknown: Sequence[str] | None = None,
    pairs: Iterable[tuple[str, str]] | None = None,
) -> list[Scenario]:
    """Scenarios whose domains share some classes and have some alone.

    Args:
        domain_set: The domains, with all their classes.
        shared: Names of the classes of both domains.
        source_private: Names of the classes of the source alone.
        unknown: Names of the classes of the target alone. Default: all others.
        pairs: As for :func:`scenarios`. Default: all ordered pairs.

    Returns:
        One scenario a pair. A method is not told which of the source's classes are shared.

    Raises:
        TypeError: If a role is no sequence of names.
        ValueError: If a name is no class of the set, stands twice, or a role is empty.

    Example:
        >>> from dalib.data import arrays
        >>> rows = np.zeros((4, 2)), ["mug", "mug", "pen", "ruler"]
        >>> office = arrays({"amazon": rows, "webcam": rows})
        >>> (first, _) = universal_scenarios(office, shared=["mug"], source_private=["pen"])
        >>> first.kind, first.task(first.split(seed=0)).classes, first.target_labels(first.split(seed=0)).tolist()
        ('universal', ('mug', 'pen'), [2, 0, 0])
    """
    private = class_names(source_private, "source_private")
    if not private:
        raise ValueError("source_private must name at least one class, got none; such scenarios are open-set ones")
    known = (*class_names(shared, "shared"), *private)
    split = ClassSplit(shared, private, _others(domain_set, known) if unknown is None else unknown)
    _check_unknown(split)
    return _split_scenarios(domain_set, split, pairs)


def published_scenarios(
    domain_set: DomainSet, kind: str, pairs: Iterable[tuple[str, str]] | None = None
) -> list[Scenario]:
    """The scenarios of a kind with the classes that papers use; see ``PUBLISHED_SPLITS``.

    Args:
        domain_set: The domains, with all their classes; its name says which split.
        kind: ``"closed"``, ``"partial"``, ``"open"`` or ``"universal"``.
        pairs: As for :func:`scenarios`. Default: all ordered pairs.

    Raises:
        ValueError: If ``kind`` is another, or no split of the set is published.

    Example:
        >>> from dalib.data import arrays
        >>> rows = np.zeros((4, 2)), ["mug", "mug", "pen", "ruler"]
        >>> published_scenarios(arrays({"amazon": rows, "webcam": rows}, name="mine"), "open")
        Traceback (most recent call last):
        ...
        ValueError: kind must be closed for the set mine, got open: no split is published; choose its classes in Python ...
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == CLOSED:
        return scenarios(domain_set, pairs)
    published = PUBLISHED_SPLITS.get(domain_set.name, {})
    if kind not in published:
        maker = {PARTIAL: "partial_scenarios", OPEN: "open_set_scenarios", UNIVERSAL: "universal_scenarios"}[kind]
        raise ValueError(
            f"kind must be {' or '.join([CLOSED, *published])} for the set {domain_set.name}, got {kind}: no split is "
            f"published; choose its classes in Python with dalib.benchmark.{maker}(domain_set, shared=...)"
        )
    return _split_scenarios(domain_set, published[kind], pairs)


def _others(domain_set: DomainSet, known: Sequence[str]) -> tuple[str, ...]:
    known = class_names(known, "shared")
    return tuple(name for name in domain_set.classes if name not in known)


def _check_unknown(split: ClassSplit) -> None:
    if not split.unknown:
        raise ValueError("unknown must name at least one class of the target alone, got none")


def _split_scenarios(
    domain_set: DomainSet, split: ClassSplit, pairs: Iterable[tuple[str, str]] | None
) -> list[Scenario]:
    strange = [name for name in (*split.source, *split.unknown) if name not in domain_set.classes]
    if strange:
        raise ValueError(
            f"shared, source_private and unknown must be classes of {domain_set.name or 'the set'}, got "
            f"{', '.join(map(repr, strange))}; there are: {', '.join(domain_set.classes)}"
        )
    source, unknown = (
        tuple(name for name in domain_set.classes if name in names) for names in (split.source, split.unknown)
    )
    return [
        Scenario(
            _stripped(pair.source, source, source),
            _stripped(pair.target, (*split.shared, *unknown), (*source, *unknown)),
            pair.name,
            dataset=pair.dataset,
            source_private=tuple(name for name in source if name in split.source_private),
            unknown=unknown,
        )
        for pair in scenarios(domain_set, pairs)
    ]


def _stripped(domain: Domain, kept: Sequence[str], classes: tuple[str, ...]) -> Domain:
    """The rows of some classes, with labels that are positions in ``classes``; nothing in it leads to the others."""
    places = np.array([classes.index(name) if name in kept else -1 for name in domain.classes], dtype=np.int64)
    rows = np.flatnonzero(places[domain.labels] >= 0)
    if not len(rows):
        raise ValueError(f"domain {domain.name} must have rows of some of {', '.join(kept)}, got none")
    return Domain(domain.name, hidden_rows(domain.inputs, rows), places[domain.labels[rows]], classes)
