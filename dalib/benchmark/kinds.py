"""Which classes two domains share decides what an adaptation is called and which number its tables show."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CLOSED, PARTIAL, OPEN, UNIVERSAL = "closed", "partial", "open", "universal"

KINDS: Mapping[str, str] = MappingProxyType(
    {
        CLOSED: "both domains have the same classes",
        PARTIAL: "the target lacks classes of the source",
        OPEN: "the target has classes that the source does not know",
        UNIVERSAL: "the target lacks classes of the source and has some that the source does not know",
    }
)
"""The kinds of scenarios."""

ROLES = ("shared", "source_private", "unknown")
"""What a class can be; a closed scenario's are all shared."""

HEADLINES: Mapping[str, str] = MappingProxyType(
    {CLOSED: "accuracy", PARTIAL: "accuracy", OPEN: "harmonic", UNIVERSAL: "harmonic"}
)
"""For each kind the number of a checkpoint that tables show and the oracle picks by.

Where there are unknown rows, accuracy would reward a method that rejects nothing, or everything: the harmonic mean of the
accuracies on known and unknown rows does not. Data sets that are reported by the mean accuracy of their classes have
``"class_accuracy"`` in the place of ``"accuracy"``."""


class Words(NamedTuple):
    """What tables and pictures call a headline."""

    noun: str
    """In a sentence: "the oracle's ..."."""
    measured: str
    """On an axis: "... in percent"."""
    explained: str = ""
    """A sentence for those who do not know it."""


WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "accuracy": Words("accuracy", "target accuracy"),
        "class_accuracy": Words(
            "class accuracy",
            "class accuracy on the target",
            "class accuracy: mean of the accuracies of the classes",
        ),
        "harmonic": Words("HOS", "HOS", "HOS: harmonic mean of the accuracies on known and unknown rows"),
    }
)
"""For each headline its words."""


def kind(source_private: tuple[str, ...], unknown: tuple[str, ...]) -> str:
    """The kind of a scenario by the classes that the source alone has and those that the target alone has.

    Example:
        >>> kind((), ()), kind(("mug",), ()), kind((), ("pen",)), kind(("mug",), ("pen",))
        ('closed', 'partial', 'open', 'universal')
    """
    if unknown:
        return UNIVERSAL if source_private else OPEN
    return PARTIAL if source_private else CLOSED
