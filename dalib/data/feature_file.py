"""Domains from one file of features."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.data._matlab import matlab_arrays, matlab_column
from dalib.data.arrays import arrays
from dalib.data.domain import DomainSet


def feature_file(path: str | Path, *, name: str | None = None) -> DomainSet:
    """Read a ``.npz`` or ``.mat`` file that holds ``<domain>_x`` and ``<domain>_y`` of every domain, and ``classes``.

    Such a file is written by ``np.savez(path, amazon_x=..., amazon_y=..., webcam_x=..., webcam_y=..., classes=...)``,
    or in MATLAB by ``save`` with variables of these names. Pickled objects are never read, so a file from a stranger
    cannot run code. Tables in ``.csv`` and ``.parquet`` are read by :func:`~dalib.data.table_file`.

    Args:
        path: The file. ``<domain>_x``: numbers of shape ``(n, ...)``, read as float32. ``<domain>_y``: integers of
            shape ``(n,)``, positions in ``classes`` from 0 (in ``.mat`` a column or row of them, from 0 too).
            ``classes``: strings of shape ``(c,)``. Other keys are ignored.
        name: Name of the set. Default: the file's name without its ending.

    Returns:
        The :class:`~dalib.data.DomainSet`, domains in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, a key is missing, or shapes, values or labels do not fit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "tiny.npz")
        ...     np.savez(file, shop_x=np.eye(2), shop_y=[0, 1], desk_x=np.eye(2), desk_y=[1, 0], classes=["mug", "pen"])
        ...     tiny = feature_file(file)
        >>> tiny.name, list(tiny.domains), tiny.classes
        ('tiny', ['shop', 'desk'], ('mug', 'pen'))
    """
    path = Path(path)
    content, found = _matlab(path) if path.suffix.lower() == ".mat" else _content(path)
    domains = _domain_names(content, found, path)
    classes = content["classes"]
    if classes.dtype.kind != "U" or classes.ndim != 1:
        raise ValueError(
            f"classes in {path} must be a vector of strings, got shape {classes.shape} and dtype {classes.dtype}"
        )
    try:
        read = arrays(
            {domain: (content[f"{domain}_x"], content[f"{domain}_y"]) for domain in domains},
            classes=tuple(classes.tolist()),
            name=path.stem if name is None else name,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a usable feature file: {error}") from error
    return DomainSet(read.name, read.domains, f"features from {path.name}")


def _wanted(key: str) -> bool:
    return key == "classes" or key.endswith(("_x", "_y"))


def _content(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """What is wanted of a file, and the names of all that is in it."""
    if not path.is_file():
        raise FileNotFoundError(
            f"path must be a .npz or .mat file, got {path}, which is {'a folder' if path.is_dir() else 'not there'}"
        )
    if path.suffix.lower() in (".csv", ".parquet"):
        raise ValueError(f"path must be a .npz or .mat file, got {path}; read it with table_file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"path must be a .npz file written by numpy.savez, got {path}, which is no such archive")
    key = ""
    content: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in filter(_wanted, archive.files):
                content[key] = np.asarray(archive[key])
            return content, archive.files
    except MemoryError as error:  # a damaged header may ask for any size
        raise ValueError(f"{path} must fit into memory, which key {key!r} does not: {error}") from error
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = "pickled objects, which are not read" if "allow_pickle" in str(error) else str(error)
        raise ValueError(f"path must be a readable .npz file, got {path}, broken at key {key!r}: {reason}") from error


def _matlab(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    found: list[str] = []

    def wanted(key: str) -> bool:
        found.append(key)
        return _wanted(key)

    content = matlab_arrays(path, wanted)
    for key, value in content.items():
        if value.dtype.kind == "U":
            content[key] = np.char.rstrip(value.reshape(-1))  # MATLAB fills texts up to one length
        elif key.endswith("_y"):
            content[key] = matlab_column(value, f"{key} in {path}")
    return content, found


def _domain_names(content: dict[str, NDArray[Any]], found: list[str], path: Path) -> list[str]:
    domains = list(dict.fromkeys(key[:-2] for key in content if key.endswith(("_x", "_y")) and len(key) > 2))
    missing = [f"{domain}{end}" for domain in domains for end in ("_x", "_y") if f"{domain}{end}" not in content]
    missing += [key for key in ("classes",) if key not in content]
    if not domains:
        missing.insert(0, "<domain>_x and <domain>_y")
    if missing:
        raise ValueError(
            f"{path} must hold <domain>_x and <domain>_y for every domain, and classes; "
            f"missing: {', '.join(missing)}; found: {', '.join(found) or 'nothing'}"
        )
    return domains
