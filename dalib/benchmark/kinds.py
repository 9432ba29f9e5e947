"""Which classes two domains share decides what an adaptation is called and which number its tables show."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
accuracies on known and unknown rows does not."""


def kind(source_private: tuple[str, ...], unknown: tuple[str, ...]) -> str:
    """The kind of a scenario by the classes that the source alone has and those that the target alone has.

    Example:
        >>> kind((), ()), kind(("mug",), ()), kind((), ("pen",)), kind(("mug",), ("pen",))
        ('closed', 'partial', 'open', 'universal')
    """
    if unknown:
        return UNIVERSAL if source_private else OPEN
    return PARTIAL if source_private else CLOSED
