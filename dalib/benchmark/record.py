"""The record of one run: a file that is complete or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalib.benchmark import identity
from dalib.benchmark.kinds import CLOSED, HEADLINES, OPEN, ROLES
from dalib.data import MANIFESTS
from dalib.data.manifest import MEAN_OF_CLASSES

SCHEMA = 1
"""Version of the record's fields; it is raised when their meaning changes."""

_LONGEST = 80
"""Characters of a name in the name of a file: two such names, seed, key and ending stay below 255."""

BESIDE = ("forward", "forward_function", "evaluation_batch_size")
"""What of a protocol may differ within one table: the forward mode is a row's, the other changes rounding alone."""


@dataclass(frozen=True)
class Run:
    """One method on one scenario with one seed: everything that tables and pictures are made of.

    Args:
        method: Name of the method in tables.
        scenario: Name of the scenario, such as ``"A-W"``.
        dataset: Name of the set of domains.
        seed: Seed of split, initial weights and batches.
        mode: Forward mode: ``"joint"``, ``"separate"``, ``"source"`` for methods that see source rows alone, or ``""``
            for methods that do not say.
        supervised: Whether the model was trained on target labels.
        key: SHA-256 of configuration, data and code; see :mod:`dalib.benchmark.identity`.
        config: Description of the method, its options and the protocol.
        data: Domains and the hash of their content; kind of the scenario, names of the source's classes and their roles.
        split: Which rows were trained on and which were scored.
        checkpoints: For each checkpoint ``step``, target ``accuracy`` (share of all scored rows) and ``class_accuracy``
            (mean over classes), with unknown classes also ``known`` (OS*), ``unknown`` (UNK), ``overall`` (OS) and
            ``harmonic`` (HOS), for the last one ``per_class`` and perhaps ``sweep``, see :mod:`dalib.benchmark.judge`;
            ``scores`` and ``descriptions`` by name, ``losses`` and ``notes``; a number that is not finite is ``None``.
        seconds: Wall time of ``training`` and ``evaluation``.
        environment: Versions, commit, device, machine and number of threads.
        finished: Time of the end, ISO 8601 in UTC.
        schema: Version of these fields.
    """

    method: str
    scenario: str
    dataset: str
    seed: int
    mode: str
    supervised: bool
    key: str
    config: dict[str, Any]
    data: dict[str, Any]
    split: dict[str, Any]
    checkpoints: list[dict[str, Any]]
    seconds: dict[str, float]
    environment: dict[str, Any]
    finished: str
    schema: int = SCHEMA

    @property
    def stem(self) -> str:
        """Name of the record's file without ending."""
        return file_stem(self.method, self.scenario, self.seed, self.key)

    @property
    def protocol(self) -> str | None:
        """Hash of the protocol but for the forward mode and the rows of an evaluation batch, which stand in one table.

        ``None`` for methods that follow a protocol of their own.
        """
        if "protocol" not in self.config:
            return None
        return identity.key({name: entry for name, entry in self.config["protocol"].items() if name not in BESIDE})

    @property
    def kind(self) -> str:
        """Kind of the scenario: ``"closed"``, ``"partial"``, ``"open"`` or ``"universal"``."""
        return str(self.data.get("kind", CLOSED))

    @property
    def title(self) -> str:
        """Name of the data set, and of the kind of the scenario if it is not closed: ``"office31, open-set"``."""
        kind = {CLOSED: "", OPEN: ", open-set"}.get(self.kind, f", {self.kind}")
        return f"{self.dataset or 'Benchmark'}{kind}"

    @property
    def roles(self) -> tuple[tuple[str, ...], ...]:
        """Classes that are shared, private to the source, and unknown; empty for a closed scenario."""
        return tuple(tuple(self.data.get(role, ())) for role in ROLES)

    @property
    def headline(self) -> str:
        """The number of a checkpoint that tables show: ``"harmonic"`` with unknown classes, else ``"accuracy"``.

        ``"class_accuracy"`` in the place of the latter for data sets that are reported by it, such as VisDA-2017.
        """
        usual, manifest = HEADLINES[self.kind], MANIFESTS.get(self.dataset)
        by_class = usual == "accuracy" and manifest is not None and manifest.metric == MEAN_OF_CLASSES
        return "class_accuracy" if by_class else usual

    def save(self, folder: Path) -> Path:
        """Write the record into ``folder``: whole under another name first, then renamed into place."""
        fields = dataclasses.asdict(self)
        fields["checksum"] = identity.key(fields)
        return write_whole(folder / f"{self.stem}.json", json.dumps(fields, indent=1, allow_nan=False).encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a record.

        Raises:
            ValueError: If the file is no record, of another schema, or damaged.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            raise ValueError(f"{path} must be the record of a run, got a file that cannot be read ({error})") from None
        if not isinstance(fields, dict) or "checksum" not in fields or "schema" not in fields:
            raise ValueError(f"{path} must be the record of a run, got other JSON")
        if fields["schema"] != SCHEMA:
            raise ValueError(f"{path} must have schema {SCHEMA}, got {fields['schema']}; run it again")
        checksum = fields.pop("checksum")
        if checksum != identity.key(fields):
            raise ValueError(f"{path} must match its checksum, got changed or damaged content; delete it and run again")
        return cls(**fields)


def file_stem(method: str, scenario: str, seed: int, key: str) -> str:
    """Name of a record's file without ending, made of safe characters, short enough for every file system.

    Example:
        >>> file_stem("my method", "A-W", 0, "0123456789abcdef")
        'my_method__A-W__0__0123456789ab'
    """
    return "__".join(map(safe_name, (method, scenario, str(seed), key[:12])))


def safe_name(part: str) -> str:
    """Part of a file's name, of safe characters; where it is too long for one, its beginning and a hash of the whole."""
    part = re.sub(r"[^A-Za-z0-9._+-]", "_", part).lstrip(".")
    if len(part) <= _LONGEST:
        return part
    return f"{part[: _LONGEST - 13]}-{hashlib.sha256(part.encode()).hexdigest()[:12]}"


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that it is complete or not there, also if the process is killed or the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # a full disk names no file
            error.filename = str(path)
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return path


def finished_run(folder: Path, stem: str, key: str) -> Run | None:
    """The valid record of this name and key in ``folder``; ``None`` if there is none, or a damaged one."""
    path = folder / f"{stem}.json"
    if not path.is_file():
        return None
    try:
        run = Run.load(path)
    except ValueError:
        return None
    return run if run.key == key else None


def load_runs(folder: str | os.PathLike[str]) -> tuple[list[Run], list[str]]:
    """All records in a folder and below it.

    Args:
        folder: Where ``benchmark(..., out=folder)`` or ``dalib run --out`` wrote.

    Returns:
        The records, and one sentence for each ``.json`` file that is none.

    Raises:
        ValueError: If the folder is missing or holds no record.

    Example:
        >>> import tempfile
        >>> from dalib.benchmark import Protocol, benchmark, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> methods = {"source_only": trained(source_only, Protocol(steps=30))}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = benchmark(methods, pair, seeds=1, out=folder)
        ...     runs, damaged = load_runs(folder)
        >>> [run.scenario for run in runs], damaged
        (['A-W', 'W-A'], [])
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(
            f"folder must be an existing folder of records, got {str(folder)!r}; make some with: dalib run"
        )
    runs, damaged = [], []
    for path in _records(root):
        try:
            runs.append(Run.load(path))
        except ValueError as error:
            damaged.append(str(error))
    if not runs:
        first = f"; {damaged[0]}" if damaged else "; make some with: dalib run"
        raise ValueError(f"folder must hold records of runs, got none in {str(folder)!r}{first}")
    return runs, damaged


def _records(root: Path) -> Iterator[Path]:
    yield from sorted(path for path in root.rglob("*.json") if not path.name.startswith("."))
