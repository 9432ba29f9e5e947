"""A source and a target domain, how their rows are split, and what of them a method may see."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dalib import _checks
from dalib.benchmark.kinds import kind
from dalib.benchmark.task import Task, hidden_rows
from dalib.data import Domain, DomainSet, Inputs, TensorInputs


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a scenario play which part; equal splits are equal keys of a dictionary.

    Args:
        seed: What the split was drawn from.
        holdout: Share of the source rows of every class that is kept out of training.
        source: Positions of the source rows to train on.
        source_held_out: Positions of the source rows kept out of training; empty for ``holdout=0``.
        target: Positions of the target rows in the order in which a method sees them.
        target_test: Positions of the target rows that no method sees and accuracy is measured on; empty in the transductive
            protocol, where it is measured on ``target``.
    """

    seed: int
    holdout: float
    source: NDArray[np.int64]
    source_held_out: NDArray[np.int64]
    target: NDArray[np.int64]
    target_test: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        for rows in (self.source, self.source_held_out, self.target, self.target_test):
            rows.flags.writeable = False

    @property
    def measured(self) -> NDArray[np.int64]:
        """Positions of the target rows that accuracy is measured on."""
        return self.target_test if len(self.target_test) else self.target

    def fingerprint(self) -> str:
        """SHA-256 of all positions, in hexadecimal."""
        test = (self.target_test,) if len(self.target_test) else ()
        parts = (self.source, self.source_held_out, self.target, *test)
        return hashlib.sha256(b"|".join(rows.astype("<i8").tobytes() for rows in parts)).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Split) and self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def describe(self) -> dict[str, object]:
        """What a record keeps of it."""
        counts = {name: len(getattr(self, name)) for name in ("source", "source_held_out", "target", "target_test")}
        return {
            "seed": self.seed,
            "holdout": self.holdout,
            "protocol": "inductive" if len(self.target_test) else "transductive",
            "rows": counts,
            "fingerprint": self.fingerprint(),
        }


@dataclass(frozen=True, eq=False)
class Scenario:
    """Adapt from ``source`` to ``target``: one column of a benchmark's table.

    Args:
        source: The domain whose labels a method sees.
        target: The domain whose labels only the harness sees.
        name: What tables call it. Default: the names of the domains with ``-`` between them.
        dataset: Name of the set that the domains belong to.
        source_private: Classes of the source that no target row is of. A method is not told which.
        unknown: Classes that only the target has, in the order in which they stand in its classes after those of the
            source. A method sees their rows and nothing of their names.

    Raises:
        TypeError: If ``source`` or ``target`` is no :class:`dalib.data.Domain`.
        ValueError: If the target's classes are not the source's and then the unknown ones, the source has only one class,
            or the target has no row of a shared class, a row of a private one, or no row of an unknown one.

    Example:
        >>> from dalib.data import arrays
        >>> rows = np.zeros((4, 2)), ["mug", "mug", "pen", "pen"]
        >>> office = arrays({"amazon": rows, "webcam": rows}, name="office")
        >>> scenario = scenarios(office)[0]
        >>> scenario.name, len(scenario.task(scenario.split(seed=0)).target)
        ('A-W', 4)
    """

    source: Domain
    target: Domain
    name: str = ""
    dataset: str = field(default="", kw_only=True)
    source_private: tuple[str, ...] = field(default=(), kw_only=True)
    unknown: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for name, domain in (("source", self.source), ("target", self.target)):
            if not isinstance(domain, Domain):
                raise TypeError(f"{name} must be a dalib.data.Domain, got {type(domain).__name__}")
        for role in ("source_private", "unknown"):
            object.__setattr__(self, role, class_names(getattr(self, role), role))
        if (*self.source.classes, *self.unknown) != self.target.classes:
            raise ValueError(_different_classes(self.source, self.target, self.unknown))
        shapes = [
            tuple(d.inputs.tensor.shape[1:]) for d in (self.source, self.target) if isinstance(d.inputs, TensorInputs)
        ]
        if len(set(shapes)) > 1:
            raise ValueError(f"source and target must have rows of one shape, got {shapes[0]} and {shapes[1]}")
        if len(self.source.classes) < 2:
            raise ValueError(f"source must have at least two classes, got {', '.join(self.source.classes)} alone")
        self._check_rows()
        if not self.name:
            object.__setattr__(self, "name", f"{self.source.name}-{self.target.name}")

    def _check_rows(self) -> None:
        """What the roles of the classes say must be so in the target's rows."""
        other = [name for name in self.source_private if name not in self.source.classes]
        if other:
            raise ValueError(f"source_private must be classes of the source, got {', '.join(other)}")
        counts = np.bincount(self.target.labels, minlength=len(self.target.classes))
        rows = dict(zip(self.target.classes, counts.tolist(), strict=True))
        there = [name for name in self.source_private if rows[name]]
        if there:
            raise ValueError(f"source_private must be classes without target rows, got rows of {', '.join(there)}")
        missing = [name for name in self.unknown if not rows[name]]
        if missing:
            raise ValueError(f"unknown must be classes with target rows, got none of {', '.join(missing)}")
        if not any(rows[name] for name in self.shared):
            raise ValueError("target must have rows of a class that both domains share, got none")

    @property
    def shared(self) -> tuple[str, ...]:
        """The classes that both domains have."""
        return tuple(name for name in self.source.classes if name not in self.source_private)

    @property
    def kind(self) -> str:
        """``"closed"``, ``"partial"``, ``"open"`` or ``"universal"``."""
        return kind(self.source_private, self.unknown)

    def split(self, seed: int, holdout: float = 0.0, target_test: float = 0.0) -> Split:
        """Draw which source rows are held out, which target rows, and in which order a method sees the others.

        Data sets are sorted by class, so the order of the target rows would spell their labels: it is shuffled.

        Args:
            seed: Seed of the draw, at least 0.
            holdout: Share of the source rows of every class to keep out of training, in ``[0, 1)``; every class keeps
                at least one row to train on.
            target_test: Share of the target rows, drawn without looking at labels, that no method sees and accuracy is
                measured on (the inductive protocol), in ``[0, 1)``. Default 0: it is measured on the rows that methods
                see without labels (the transductive protocol, the field's standard).

        Returns:
            The split: a function of the source's labels, the number of target rows and the arguments alone.

        Raises:
            ValueError: If a share is not in ``[0, 1)``, or ``target_test`` leaves no row on one side, or where there are
                unknown classes, no known or no unknown row to measure accuracy on.
        """
        check_share(holdout, "holdout")
        check_share(target_test, "target_test")
        held_out = stratified(self.source.labels, holdout, np.random.default_rng([seed, 0]))
        source = np.setdiff1d(np.arange(len(self.source)), held_out)
        target = np.random.default_rng([seed, 1]).permutation(len(self.target))
        test = round(target_test * len(target))
        if target_test and not 0 < test < len(target):
            raise ValueError(f"target_test must leave rows on both sides, got {target_test:g} of {len(target)} rows")
        unknown = int((self.target.labels[target[:test]] >= len(self.source.classes)).sum())
        if target_test and self.unknown and not 0 < unknown < test:
            raise ValueError(
                f"target_test must leave known and unknown rows to measure on, got {unknown} unknown ones of {test} with "
                f"seed {seed}; take a larger share"
            )
        return Split(seed, float(holdout), source, held_out, target[test:], target[:test])

    def task(self, split: Split) -> Task:
        """What a method may see of this scenario: no target labels, nor paths that spell them.

        Rows in memory and labels are copies, so that a method that writes into them changes its own run alone, and no row
        of the target or of another run lies in the same storage.
        """
        held_out = split.source_held_out
        return Task(
            name=self.name,
            classes=self.source.classes,
            source=hidden_rows(self.source.inputs, split.source),
            source_labels=self.source.labels[split.source],
            target=hidden_rows(self.target.inputs, split.target),
            source_held_out=hidden_rows(self.source.inputs, held_out) if len(held_out) else None,
            source_held_out_labels=self.source.labels[held_out] if len(held_out) else None,
        )

    def target_labels(self, split: Split) -> NDArray[np.int64]:
        """Labels of the rows that accuracy is measured on, for the harness alone: unknown classes follow the source's."""
        return self.target.labels[split.measured]

    def target_test(self, split: Split) -> Inputs | None:
        """The target rows that no method is trained on, for the harness alone; ``None`` in the transductive protocol."""
        return hidden_rows(self.target.inputs, split.target_test) if len(split.target_test) else None

    def fingerprint(self) -> str:
        """SHA-256 of both domains: their inputs, labels and classes."""
        return hashlib.sha256("\n".join(self.domain_fingerprints).encode()).hexdigest()

    @functools.cached_property
    def domain_fingerprints(
        self,
    ) -> tuple[str, str]:  # pickled along, so that worker processes do not hash the data again
        """SHA-256 of the source and of the target."""
        return self.source.fingerprint(), self.target.fingerprint()


def scenarios(domain_set: DomainSet, pairs: Iterable[tuple[str, str]] | None = None) -> list[Scenario]:
    """The scenarios of a set of domains.

    Args:
        domain_set: The domains.
        pairs: ``(source, target)`` names, full or short (``("A", "W")``). Default: all ordered pairs.

    Returns:
        One scenario a pair, named by the short names of its domains: ``"A-W"``.

    Raises:
        ValueError: If a name is not a domain of the set, or a pair has the same domain twice.

    Example:
        >>> from dalib.data import arrays
        >>> rows = np.zeros((4, 2)), ["mug", "mug", "pen", "pen"]
        >>> [scenario.name for scenario in scenarios(arrays({"amazon": rows, "dslr": rows, "webcam": rows}))]
        ['A-D', 'A-W', 'D-A', 'D-W', 'W-A', 'W-D']
    """
    short = domain_set.short_names
    if len(short) < 2:
        raise ValueError(f"domain_set must have at least two domains, got {', '.join(short)} alone")
    full = {name.lower(): name for name in short} | {name.lower(): long for long, name in short.items()}
    chosen = []
    for pair in domain_set.pairs() if pairs is None else pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"pairs must hold pairs (source, target) of names, got {pair!r}")
        for name in pair:
            if name.lower() not in full:
                known = ", ".join(f"{long} ({name})" for long, name in short.items())
                raise ValueError(f"pairs must name domains of {domain_set.name}, got {name!r}; known: {known}")
        source, target = (full[name.lower()] for name in pair)
        if source == target:
            raise ValueError(f"pairs must have two different domains, got {source} twice")
        name = f"{short[source]}-{short[target]}"
        chosen.append(Scenario(domain_set.domains[source], domain_set.domains[target], name, dataset=domain_set.name))
    return chosen


def check_share(share: float, name: str) -> None:
    """Raise unless ``share`` is a number in ``[0, 1)``."""
    _checks.number(share, name)
    if not 0 <= share < 1:
        raise ValueError(f"{name} must be in [0, 1), got {share:g}")


def stratified(labels: NDArray[np.int64], share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Sorted positions of ``share`` of the rows of every class, never all rows of one.

    Args:
        labels: Class indices, shape ``(n,)``.
        share: Share of each class, in ``[0, 1)``; rounded to whole rows.
        generator: Source of randomness.

    Example:
        >>> chosen = stratified(np.repeat([0, 1], 10), 0.2, np.random.default_rng(0))
        >>> np.bincount(np.repeat([0, 1], 10)[chosen])
        array([2, 2])
    """
    if share == 0:
        return np.empty(0, np.int64)
    groups = (generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels))
    return np.sort(np.concatenate([rows[: min(round(share * len(rows)), len(rows) - 1)] for rows in groups]))


def class_names(names: object, argument: str) -> tuple[str, ...]:
    """Names of classes as a tuple of different, non-empty strings."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"{argument} must be a sequence of class names, got {type(names).__name__}")
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must hold names of classes, got {type(name).__name__}")
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise ValueError(f"{argument} must name every class once, got {', '.join(twice)} again")
    return found


def _different_classes(source: Domain, target: Domain, unknown: tuple[str, ...]) -> str:
    if unknown:
        return (
            f"target must have the classes of the source and then the unknown ones, got {', '.join(target.classes)}; "
            "make such scenarios with open_set_scenarios or universal_scenarios"
        )
    lacks = sorted(set(source.classes) - set(target.classes)), sorted(set(target.classes) - set(source.classes))
    if not any(lacks):
        return f"source and target must list their classes in one order, got {source.classes} and {target.classes}"
    only = [f"only in {d.name}: {', '.join(names)}" for d, names in zip((source, target), lacks, strict=True) if names]
    return f"source and target must have the same classes, got some in one domain alone ({'; '.join(only)})"
