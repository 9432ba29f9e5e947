"""What Office-31 must consist of: its classes, its sizes, and a check of both."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from dalib.data.domain import DomainSet

OFFICE31_CLASSES = (
    "back_pack", "bike", "bike_helmet", "bookcase", "bottle", "calculator", "desk_chair", "desk_lamp",
    "desktop_computer", "file_cabinet", "headphones", "keyboard", "laptop_computer", "letter_tray", "mobile_phone",
    "monitor", "mouse", "mug", "paper_notebook", "pen", "phone", "printer", "projector", "punchers", "ring_binder",
    "ruler", "scissors", "speaker", "stapler", "tape_dispenser", "trash_can",
)  # fmt: skip
"""The 31 classes in their usual order, which is the alphabetical one."""

OFFICE31_COUNTS = MappingProxyType({
    "amazon": (92, 82, 72, 82, 36, 94, 91, 97, 97, 81, 99, 100, 100, 98, 100, 99,
               100, 94, 96, 95, 93, 100, 98, 98, 90, 75, 100, 99, 99, 96, 64),
    "dslr": (12, 21, 24, 12, 16, 12, 13, 14, 15, 15, 13, 10, 24, 16, 31, 22,
             12, 8, 10, 10, 13, 15, 23, 18, 10, 7, 18, 26, 21, 22, 15),
    "webcam": (29, 21, 28, 12, 16, 31, 40, 18, 21, 19, 27, 27, 30, 19, 30, 43,
               30, 27, 28, 32, 16, 20, 30, 27, 40, 11, 25, 30, 24, 23, 21),
})  # fmt: skip
"""Rows a class in each domain: 2817, 498 and 795 in all."""


def check_office31(domain_set: DomainSet) -> None:
    """Raise unless ``domain_set`` has the domains, the classes and the number of rows a class of Office-31 [1]_.

    Args:
        domain_set: What a reader returned.

    Raises:
        ValueError: Naming every domain and class that differs.

    References:
        .. [1] Saenko, Kulis, Fritz, Darrell. Adapting Visual Category Models to New Domains. ECCV 2010.

    Example:
        >>> sum(sum(counts) for counts in OFFICE31_COUNTS.values())
        4110
    """
    differences = _differences(domain_set)
    if differences:
        shown = "; ".join(differences[:6]) + (f"; and {len(differences) - 6} more" if len(differences) > 6 else "")
        raise ValueError(
            f"domain_set must be Office-31 (2817 + 498 + 795 rows of 31 classes), got {shown}; "
            "if this is meant, read the files with feature_file, image_folder or image_list, which check no counts"
        )


def _differences(domain_set: DomainSet) -> list[str]:
    names, expected = set(domain_set.domains), set(OFFICE31_COUNTS)
    found = [f"no domain {name}" for name in sorted(expected - names)]
    found += [f"an unexpected domain {name}" for name in sorted(names - expected)]
    if domain_set.classes != OFFICE31_CLASSES:
        missing = [name for name in OFFICE31_CLASSES if name not in domain_set.classes]
        extra = [name for name in domain_set.classes if name not in OFFICE31_CLASSES]
        parts = [f"no class {', '.join(missing)}"] if missing else []
        parts += [f"unexpected classes {', '.join(extra)}"] if extra else []
        return found + (parts or ["the classes in another than the alphabetical order"])
    for name in sorted(names & expected):
        counts = np.bincount(domain_set.domains[name].labels, minlength=len(OFFICE31_CLASSES))
        found += [
            f"{got} rows of {name}/{label} instead of {wanted}"
            for label, got, wanted in zip(OFFICE31_CLASSES, counts.tolist(), OFFICE31_COUNTS[name], strict=True)
            if got != wanted
        ]
    return found
