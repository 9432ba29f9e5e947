"""What a run writes down on its way, so that the same command goes on inside it after a kill."""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dalib.benchmark.record import write_whole

SAVE_EVERY = 10.0
"""Seconds between two saves at least: a state is some 20 MB, and less work than that is soon done again."""

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Progressed:
    """How far a run has come.

    Args:
        checkpoints: The record's entries so far.
        seconds: Wall time so far.
        state: State of the method at the last of these checkpoints.
    """

    checkpoints: list[dict[str, Any]]
    seconds: dict[str, float]
    state: Mapping[str, Any]


class Unfinished:
    """The file ``.unfinished/STEM.pt`` of one run: there from its first long stretch until its record is written.

    It begins with the SHA-256 of the rest, since a changed byte inside a tensor would be served as another state.

    Args:
        folder: Folder of the records.
        stem: Name of the record.
        key: Key of the run; the state of a run with another key is not served.
    """

    def __init__(self, folder: Path, stem: str, key: str) -> None:
        self.path = folder / ".unfinished" / f"{stem}.pt"
        self._key = key
        self._saved = time.monotonic()

    def load(self) -> Progressed | None:
        """What was saved; ``None`` if there is nothing, or nothing that fits; a damaged file is warned of."""
        try:
            written = self.path.read_bytes()
        except OSError:  # none, or removed in the meantime
            return None
        digest, state = written[:_DIGEST], written[_DIGEST:]
        if hashlib.sha256(state).digest() != digest:
            warnings.warn(f"{self.path} is damaged or of another version; its run starts again", stacklevel=2)
            return None
        try:
            content = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            return None
        if not isinstance(content, dict) or content.get("key") != self._key:
            return None
        return Progressed(content["checkpoints"], content["seconds"], content["state"])

    def save(self, progressed: Progressed) -> None:
        """Write it down, whole or not at all, if the last time was long enough ago."""
        if not progressed.state or time.monotonic() - self._saved < SAVE_EVERY:
            return
        content = io.BytesIO()
        torch.save({"key": self._key, **vars(progressed)}, content)
        state = content.getvalue()
        write_whole(self.path, hashlib.sha256(state).digest() + state)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """The run is finished: its record is all that stays."""
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()  # fails while other runs are unfinished
