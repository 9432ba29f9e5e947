"""The methods that the command line runs unless others are named."""

from __future__ import annotations

from collections.abc import Mapping

from dalib.benchmark.kinds import CLOSED, OPEN, PARTIAL, UNIVERSAL

USUAL = ("source_only", "control", "dan", "deep_coral", "dann", "cdan", "mcc")
"""Methods of ``dalib run`` unless ``--methods`` names others."""

USUAL_BY_KIND: Mapping[str, tuple[str, ...]] = {
    CLOSED: USUAL,
    PARTIAL: ("source_only", "dann", "pada", "iwan", "etn"),
    OPEN: ("source_only", "dann", "osbp"),
    UNIVERSAL: ("source_only", "dann", "uan", "ovanet"),
}
"""The same by ``--scenario``."""
