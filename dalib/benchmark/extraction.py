"""Features of images, extracted once, so that a full table takes minutes."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, get_worker_info

from dalib import _checks
from dalib.benchmark import identity
from dalib.benchmark.backbone import Backbone
from dalib.benchmark.randomness import kept_randomness, seed_everything
from dalib.benchmark.record import write_whole
from dalib.data import DomainSet, Inputs
from dalib.training import pooled

_PART = 256
"""Rows between two saves: what a kill can cost."""


@dataclass(frozen=True)
class Extracted:
    """How far an extraction has come.

    Args:
        rows: Rows that are done, those of an earlier start included.
        total: Rows of all domains.
        left: Estimate of the seconds that are left, or ``None`` before there is one.
    """

    rows: int
    total: int
    left: float | None


def extract_features(
    domain_set: DomainSet,
    backbone: Backbone,
    out: str | os.PathLike[str],
    *,
    batch_size: int = 64,
    device: str = "cpu",
    autocast: torch.dtype | None = None,
    workers: int = 0,
    progress: Callable[[Extracted], None] | None = None,
) -> Path:
    """Write the pooled outputs of a backbone for every row of every domain to a ``.npz`` file.

    The file is read by :func:`dalib.data.feature_file`. Its entry ``about`` holds what the features depend on: backbone,
    hash of its weights and of what the user's own classes hold and do beside them, transform, hash of the data, autocast.
    Where ``out`` was made of the same, nothing is done; an extraction that was stopped goes on behind the last 256 rows.
    Augmentation is off.

    Args:
        domain_set: Images, or any domains.
        backbone: What is below the bottleneck, in evaluation mode; see :func:`backbone`.
        out: The file, ending in ``.npz``; a folder ``<out>.parts`` stands beside it until it is whole.
        batch_size: Rows a forward pass. It does not change the features beyond rounding.
        device: Where the backbone runs.
        autocast: dtype for autocast of the forward pass, such as ``torch.bfloat16``; the file holds float32.
        workers: Processes that decode images; 0: this one.
        progress: Called after every saved part.

    Returns:
        The path of the file.

    Raises:
        ValueError: If ``out`` does not end in ``.npz``, holds features of something else or cannot be read, a number
            is out of range, or features are not finite.
        TypeError: If the backbone's output is not one that can be pooled.

    Example:
        >>> import tempfile
        >>> from dalib.data import arrays, feature_file
        >>> rows = np.ones((4, 3, 8, 8)), ["mug", "mug", "pen", "pen"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     office = arrays({"amazon": rows, "webcam": rows})
        ...     path = extract_features(office, Backbone("flat", nn.Flatten), f"{folder}/flat.npz")
        ...     feature_file(path).domains["webcam"].inputs.load([0]).shape
        torch.Size([1, 192])
    """
    path = Path(out)
    if path.suffix != ".npz":
        raise ValueError(f"out must be a file that ends in .npz, got {str(out)!r}")
    _checks.at_least(batch_size, 1, "batch_size")
    _checks.at_least(workers, 0, "workers")
    about = {
        "backbone": backbone.describe(),
        "data": {"name": domain_set.name, "fingerprint": domain_set.fingerprint()},
        "autocast": None if autocast is None else str(autocast).removeprefix("torch."),
    }
    key = identity.key(about)
    unfinished = path.with_name(f"{path.name}.parts")
    if path.exists():
        if _made_of(path) != key:
            raise ValueError(f"out must not hold features of something else, got {str(path)!r}; choose another name")
        shutil.rmtree(unfinished, ignore_errors=True)  # a kill may have come between file and folder
        return path
    with kept_randomness():
        seed_everything(0)  # random weights are those that weights_hash() saw
        network = _Network(backbone.build(), device, autocast)
    parts = unfinished / key[:16]
    shown = _Shown(sum(len(domain) for domain in domain_set.domains.values()), progress)
    content: dict[str, NDArray[Any]] = {}
    for number, (name, domain) in enumerate(domain_set.domains.items()):
        inputs = _prepared(domain.inputs, backbone)
        content[f"{name}_x"] = np.concatenate(
            list(_features(network, inputs, name, parts / str(number), batch_size, workers, shown))
        )
        content[f"{name}_y"] = domain.labels
    content |= {"classes": np.array(domain_set.classes), "about": np.array(json.dumps(about))}
    whole = io.BytesIO()
    np.savez(whole, **content)  # type: ignore[arg-type]
    write_whole(path, whole.getvalue())
    shutil.rmtree(unfinished, ignore_errors=True)
    return path


def _made_of(path: Path) -> str | None:
    """Key of what the features in a file were made of; ``None`` if it does not say.

    Raises:
        ValueError: If the file is damaged anywhere.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"out holds a file that cannot be read, {str(path)!r} ({error}); remove it") from None
    if damaged is not None:
        raise ValueError(f"out holds a file that cannot be read, {str(path)!r} ({damaged} is damaged); remove it")
    try:
        with np.load(path, allow_pickle=False) as file:
            return identity.key(json.loads(str(file["about"])))
    except (ValueError, KeyError):
        return None


class _Network:
    """A backbone in evaluation mode: rows in, features as float32 out."""

    def __init__(self, module: nn.Module, device: str, autocast: torch.dtype | None) -> None:
        self._module = module.to(device).eval()
        self._device, self._autocast = torch.device(device), autocast

    def __call__(self, rows: torch.Tensor) -> NDArray[np.float32]:
        enabled = self._autocast is not None
        with torch.no_grad(), torch.autocast(self._device.type, dtype=self._autocast, enabled=enabled):
            features: NDArray[np.float32] = (
                pooled(self._module(rows.to(self._device, non_blocking=True))).flatten(1).float().cpu().numpy()
            )
        return features


class _Shown:
    """Counts rows and tells how long the rest will take, by the rows of this start alone."""

    def __init__(self, total: int, progress: Callable[[Extracted], None] | None) -> None:
        self._total, self._progress = total, progress
        self._done = self._new = 0
        self._start = time.monotonic()

    def __call__(self, rows: int, *, new: bool) -> None:
        self._done += rows
        self._new += rows if new else 0
        rate = self._new / max(time.monotonic() - self._start, 1e-9)
        left = (self._total - self._done) / rate if self._new else None
        if self._progress is not None:
            self._progress(Extracted(self._done, self._total, left))


def _prepared(inputs: Inputs, backbone: Backbone) -> Inputs:
    transformed = getattr(inputs, "with_transform", None)
    return inputs if backbone.transform is None or transformed is None else transformed(backbone.transform)


def _features(
    network: _Network, inputs: Inputs, name: str, folder: Path, batch_size: int, workers: int, shown: _Shown
) -> Iterator[NDArray[np.float32]]:
    """The features of a domain in order, part by part; whole parts that are there already are read."""
    parts = {first: folder / f"{first:08}.npy" for first in range(0, len(inputs), _PART)}
    batches = {first: _batches(first, min(first + _PART, len(inputs)), batch_size) for first in parts}
    there = {first: _part(file, min(_PART, len(inputs) - first)) for first, file in parts.items()}
    left = [batch for first, part in there.items() if part is None for batch in batches[first]]
    loaded = iter(DataLoader(_Batches(inputs, left), batch_size=None, num_workers=workers) if left else ())
    for first, file in parts.items():
        part = there[first]
        if part is None:
            part = np.concatenate([network(_rows(next(loaded))) for _ in batches[first]])
            _check_finite(part, first, name)
            content = io.BytesIO()
            np.save(content, part)
            write_whole(file, content.getvalue())
        shown(len(part), new=there[first] is None)
        yield part


def _rows(loaded: torch.Tensor | ValueError) -> torch.Tensor:
    if isinstance(loaded, ValueError):
        raise loaded
    return loaded


def _check_finite(part: NDArray[np.float32], first: int, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
    if len(bad):
        raise ValueError(
            f"backbone must give finite features, got NaN or infinity for row {first + bad[0]} of {name}; float16 "
            "autocast overflows where bfloat16 does not"
        )


def _part(file: Path, rows: int) -> NDArray[np.float32] | None:
    """A part that an earlier start saved; ``None`` if it is not there or not whole, so that it is made again."""
    try:
        part = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    whole = isinstance(part, np.ndarray) and part.dtype == np.float32 and part.ndim == 2 and len(part) == rows
    return part if whole else None


def _batches(first: int, last: int, size: int) -> list[NDArray[np.int64]]:
    return [np.arange(start, min(start + size, last)) for start in range(first, last, size)]


class _Batches(Dataset[torch.Tensor | ValueError]):
    """Batches as items, so that each is decoded whole by one worker.

    A picture that cannot be read is handed on as the error: one that a worker raises comes with the worker's traceback as
    its text.
    """

    def __init__(self, inputs: Inputs, batches: Sequence[NDArray[np.int64]]) -> None:
        self._inputs, self._batches = inputs, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> torch.Tensor | ValueError:
        try:
            return self._inputs.load(self._batches[number])
        except ValueError as error:
            if get_worker_info() is None:
                raise
            return ValueError(str(error))
