"""Published matrices of features as domains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.data._matlab import matlab_arrays, matlab_column
from dalib.data.arrays import arrays
from dalib.data.domain import DomainSet
from dalib.data.manifest import Manifest


def matlab_features(path: Path, inputs: str, labels: str, *, first: int, classes: int) -> tuple[NDArray[Any], Any]:
    """Rows and class indices of one ``.mat`` file; the file counts its classes from ``first``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds no such matrix and labels; file, variable and rows are named.
    """
    content = matlab_arrays(path, (inputs, labels).__contains__)
    missing = [name for name in (inputs, labels) if name not in content]
    if missing:
        raise ValueError(f"{path} must hold {inputs}, {labels}, got no {', '.join(missing)}")
    x, y = content[inputs], matlab_column(content[labels], f"{labels} in {path}")
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise ValueError(f"{inputs} in {path} must be a matrix of numbers, got shape {x.shape} and {x.dtype}")
    if len(y) and (y.min() < first or y.max() >= first + classes):
        raise ValueError(
            f"{labels} in {path} must lie in {first}..{first + classes - 1}, got values in {y.min()}..{y.max()}"
        )
    finite_rows(x, f"{inputs} in {path}")
    return x, y - first


def finite_rows(x: NDArray[Any], name: str) -> None:
    """Raise unless all entries are finite; the first row that is not is named."""
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {len(bad)} of {len(x)} rows, the first is row {bad[0]}"
        )


def checked(
    manifest: Manifest, domains: Mapping[str, tuple[NDArray[Any], Any]], description: str, place: Path
) -> DomainSet:
    """The domains as a set that is what its manifest says; errors name the place that was read."""
    try:
        read = arrays(domains, classes=manifest.classes, name=manifest.name)
        manifest.check(read)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place} is not usable: {error}") from error
    return DomainSet(read.name, read.domains, description)


def folder(root: str | Path, what: str) -> Path:
    """``root`` as a path to a folder that exists."""
    path = Path(root)
    if not path.is_dir():
        raise FileNotFoundError(
            f"root must be {what}, got {path}, which is {'a file' if path.exists() else 'not there'}"
        )
    return path


def one_file(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of ``names`` that is in the folder, in any case of letters."""
    there = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
    for name in names:
        if name.lower() in there:
            return there[name.lower()]
    raise FileNotFoundError(
        f"{folder} must hold {' or '.join(names)}, got neither"
        if len(names) > 1
        else f"{folder} must hold {names[0]}, got no such file"
    )
