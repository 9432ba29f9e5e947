"""Every committed result has the fields that docs/benchmark.md names, with numbers that can be numbers."""

import json
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = (ROOT / "docs" / "benchmark.md").read_text("utf-8").partition("Fields of a record")[2].partition("##")[0]
FIELDS = dict(re.findall(r"^\| `([\w.]+)` \| ([\w ]+) \|", TABLE, re.MULTILINE))
FOLDERS = sorted({path.parent for path in RESULTS.rglob("*__*.json")})


def number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


KINDS = {
    "text": lambda value: isinstance(value, str),
    "whole number": lambda value: number(value) and isinstance(value, int) and value >= 0,
    "number": lambda value: number(value) and value >= 0,
    "share": lambda value: number(value) and 0 <= value <= 1,
    "truth": lambda value: isinstance(value, bool),
    "hash": lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value),
    "time": lambda value: isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", value),
    "object": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list) and len(value) > 0,
    "numbers": lambda value: (
        isinstance(value, dict) and all(entry is None or number(entry) for entry in value.values())
    ),
}


def faults(record):
    """What a record has that the table does not know, lacks, or holds as something else."""
    found = [f"{name} is not in the table" for name in record if name not in FIELDS]
    for field, kind in FIELDS.items():
        outer, _, inner = field.partition(".")
        if outer not in record:
            found.append(f"{outer} is missing")
        elif not inner:
            found += [] if KINDS[kind](record[outer]) else [f"{field} is no {kind}: {record[outer]!r}"]
        else:
            entries = record[outer] if isinstance(record[outer], list) else [record[outer]]
            wrong = [entry for entry in entries if inner not in entry or not KINDS[kind](entry[inner])]
            found += [f"{field} is no {kind}: {entry.get(inner)!r}" for entry in wrong[:1]]
    steps = [entry.get("step") for entry in record.get("checkpoints", [])]
    if steps != sorted(set(steps)):
        found.append(f"steps are not in order: {steps}")
    return found


def read(path):
    def refuse(constant):
        raise ValueError(f"{path.name} holds {constant}, which is no JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_records_have_the_documented_fields(folder):
    for path in sorted(folder.glob("*__*.json")):
        assert not faults(read(path)), path.name


def test_other_results_are_json_that_says_something():
    for path in sorted(RESULTS.rglob("*.json")):
        if "__" not in path.name:
            assert read(path), path.name


def test_the_check_can_fail():
    record = read(sorted(FOLDERS[0].glob("*__*.json"))[0])
    assert len(FIELDS) > 25
    assert not faults(record)
    last = record["checkpoints"][-1]
    for change, fault in (
        ({"seed": -1}, "seed is no whole number: -1"),
        ({"seed": True}, "seed is no whole number: True"),
        ({"key": "abc"}, "key is no hash: 'abc'"),
        ({"more": 1}, "more is not in the table"),
        ({"checkpoints": []}, "checkpoints is no list: []"),
        ({"checkpoints": [{**last, "accuracy": 71.0}]}, "checkpoints.accuracy is no share: 71.0"),
        (
            {"checkpoints": [{**last, "scores": {"entropy": "high"}}]},
            "checkpoints.scores is no numbers: {'entropy': 'high'}",
        ),
        ({"checkpoints": [last, last]}, f"steps are not in order: [{last['step']}, {last['step']}]"),
        ({"finished": "today"}, "finished is no time: 'today'"),
    ):
        assert fault in faults({**record, **change})
    del record["environment"]
    assert "environment is missing" in faults(record)
