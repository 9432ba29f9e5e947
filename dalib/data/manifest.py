"""What a published data set must consist of, and a check of it that says what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from dalib.data.domain import Domain, DomainSet

MEAN_OF_CLASSES = "mean accuracy of the classes"


@dataclass(frozen=True)
class Manifest:
    """Domains, classes and numbers of rows of a published data set.

    Args:
        name: Name of the set in records, such as ``"office31"``.
        title: Its name in print, such as ``"Office-31"``.
        classes: Names of the classes, in order; empty where only their number is known, which the rows then tell.
        rows: Of every domain the number of rows, or the number of rows of each class.
        paper: Where it was published.
        metric: What its results are by custom: ``"accuracy"``, or ``"mean accuracy of the classes"``; the benchmark's
            tables show it.
        seen: Whether dalib's reader was run on the real set; otherwise on small trees of the published layout alone.
        folders: Other names of a domain's folder, by domain.
        lists: Names of the lists of images that define the set, where lists do: one or more files a domain, with
            ``{domain}`` for its name; several such conventions, the first that is found is taken.

    Example:
        >>> from dalib.data import arrays
        >>> tiny = Manifest("tiny", "Tiny", ("mug", "pen"), {"shop": (1, 2), "desk": 4})
        >>> tiny.check(arrays({"shop": (np.eye(3), [0, 1, 1]), "desk": (np.eye(3), [0, 1, 1])}, classes=tiny.classes))
        Traceback (most recent call last):
        ...
        ValueError: domain_set must be Tiny (3 + 4 rows of 2 classes), got 3 rows of desk instead of 4; ...
    """

    name: str
    title: str
    classes: tuple[str, ...]
    rows: Mapping[str, int | tuple[int, ...]]
    paper: str = ""
    metric: str = "accuracy"
    seen: bool = False
    folders: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    lists: Sequence[Sequence[str]] = ()

    def class_count(self) -> int:
        """Number of classes."""
        return len(self.classes) or max(len(rows) for rows in self.rows.values() if isinstance(rows, tuple))

    def totals(self) -> dict[str, int]:
        """Number of rows of every domain."""
        return {name: rows if isinstance(rows, int) else sum(rows) for name, rows in self.rows.items()}

    def only(self, domains: Sequence[str] | None) -> Manifest:
        """The same of some domains alone, in the order given; of all for None.

        Raises:
            TypeError: If ``domains`` is no sequence of names.
            ValueError: If there is none, or one that the set has not.
        """
        if domains is None:
            return self
        if isinstance(domains, str) or not isinstance(domains, Sequence):
            raise TypeError(f"domains must be a sequence of names, got {type(domains).__name__}")
        unknown = [name for name in domains if name not in self.rows]
        if unknown or not domains:
            raise ValueError(
                f"domains must be among {', '.join(self.rows)} of {self.title}, got {', '.join(unknown) or 'none'}"
            )
        return replace(self, rows={name: self.rows[name] for name in domains})

    def check(self, domain_set: DomainSet) -> None:
        """Raise unless ``domain_set`` has these domains, these classes in this order, and these numbers of rows.

        Raises:
            TypeError: If ``domain_set`` is no :class:`~dalib.data.DomainSet`.
            ValueError: Naming every domain and class that differs.
        """
        if not isinstance(domain_set, DomainSet):
            raise TypeError(f"domain_set must be a DomainSet, got {type(domain_set).__name__}")
        found = self._differences(domain_set)
        if found:
            shown = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
            sizes = " + ".join(str(total) for total in self.totals().values())
            raise ValueError(
                f"domain_set must be {self.title} ({sizes} rows of {self.class_count()} classes), got {shown}; "
                "if this is meant, read the files with feature_file, image_folder or image_list, which check no counts"
            )

    def _differences(self, domain_set: DomainSet) -> list[str]:
        found = [f"no domain {name}" for name in self.rows if name not in domain_set.domains]
        found += [f"an unexpected domain {name}" for name in domain_set.domains if name not in self.rows]
        if len(domain_set.classes) != self.class_count() and not self.classes:
            return [*found, f"{len(domain_set.classes)} classes"]
        if self.classes and domain_set.classes != self.classes:
            missing = [name for name in self.classes if name not in domain_set.classes]
            extra = [name for name in domain_set.classes if name not in self.classes]
            parts = [f"no class {', '.join(missing[:5])}{_more(missing, 5)}"] if missing else []
            parts += [f"unexpected classes {', '.join(extra[:5])}{_more(extra, 5)}"] if extra else []
            return found + (parts or [f"the classes in another order than {', '.join(self.classes[:3])}, ..."])
        for name, rows in self.rows.items():
            if name in domain_set.domains:
                found += self._counts(domain_set.domains[name], rows)
        return found

    def _counts(self, domain: Domain, rows: int | tuple[int, ...]) -> list[str]:
        if isinstance(rows, int):
            return [] if len(domain) == rows else [f"{len(domain)} rows of {domain.name} instead of {rows}"]
        counts = np.bincount(domain.labels, minlength=len(rows)).tolist()
        return [
            f"{got} rows of {domain.name}/{label} instead of {wanted}"
            for label, got, wanted in zip(domain.classes, counts, rows, strict=True)
            if got != wanted
        ]


def _more(names: Sequence[str], shown: int) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""
