"""Which runs with stored features and predictions a picture shows: ``source_only`` and some methods of one pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dalib.benchmark.group import Group
from dalib.benchmark.pictured import load_features
from dalib.benchmark.record import Run

Stored = dict[str, tuple[Run, dict[str, NDArray[Any]]]]
"""What a row is called -> its run and what is stored beside the record."""

_PREFERRED = ("dan", "dann", "cdan", "mcc", "deep_coral")
_MOST = 4


def stored_runs(group: Group, folder: Path, pair: str | None) -> Stored:
    """``source_only`` and up to three methods of one pair; empty if nothing is stored.

    Args:
        group: Records of one table.
        folder: Folder of the records.
        pair: Scenario to show. Default: the first with two methods.
    """
    stored = _by_pair(group, folder)
    for methods in stored.values() if pair is None else [stored.get(pair, {})]:
        order = [name for wish in ("source_only", *_PREFERRED) for name in methods if name.split(" ")[0] == wish]
        order += [name for name in methods if name not in order]
        if len(order) > 1 or pair is not None:
            return {name: methods[name] for name in order[:_MOST]}
    return {}


def check_pair(groups: Sequence[Group], folder: Path, pair: str) -> None:
    """Raise a ValueError unless something is stored of the pair in one of the tables of a folder."""
    there = sorted({name for group in groups for name in _by_pair(group, folder)})
    if pair not in there:
        raise ValueError(f"--pair must have stored features, got {pair!r}; there are: {', '.join(there) or 'none'}")


def _by_pair(group: Group, folder: Path) -> dict[str, Stored]:
    """Of every pair the first seed of each row that has something stored."""
    stored: dict[str, Stored] = {}
    for run in sorted(group.runs, key=lambda run: (run.scenario, run.seed)):
        features = None if run.supervised else load_features(folder, run.stem)
        if features is not None:
            stored.setdefault(run.scenario, {}).setdefault(group.label((run.method, run.mode)), (run, features))
    return stored
