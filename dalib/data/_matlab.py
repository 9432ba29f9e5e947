"""Matrices of numbers from a MATLAB file, without anything in it being run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HDF5 = b"\x89HDF\r\n\x1a\n"


def matlab_arrays(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """The variables ``names`` of a ``.mat`` file, or all of them: numbers, and text as an array of strings.

    Both formats are read, the old one with scipy, the one of version 7.3 with h5py. Cells of texts become strings;
    structures, objects and functions are refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the file is of version 7.3 and h5py is not installed.
        ValueError: If the file is damaged, or lacks a variable, or a variable is neither numbers nor text.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"path must be a .mat file, got {path}, which is {'a folder' if path.is_dir() else 'not there'}"
        )
    with path.open("rb") as file:
        head = file.read(1024)
    try:
        content = _version_73(path, names) if _HDF5 in (head[:8], head[512:520]) else _old_format(path, names)
    except ImportError:
        raise
    except Exception as error:  # a damaged file can break the parser anywhere
        raise ValueError(f"path must be a readable .mat file, got {path}: {error or type(error).__name__}") from error
    missing = [name for name in names or () if name not in content]
    if missing:
        raise ValueError(f"{path} must hold {', '.join(names or ())}, got no {', '.join(missing)}")
    return {name: _plain(value, f"{name} in {path}") for name, value in content.items()}


def matlab_column(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """A row or column of whole numbers as integers: MATLAB stores labels as a matrix, often of doubles."""
    flat = values.reshape(-1)
    if values.size != max(values.shape, default=0) or flat.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be one row or column of numbers, got shape {values.shape} and {values.dtype}")
    whole = flat.astype(np.float64)
    if not (np.isfinite(whole).all() and (whole == np.round(whole)).all()):
        raise ValueError(f"{name} must be whole numbers, got some that are not")
    return whole.astype(np.int64)


def _old_format(path: Path, names: Sequence[str] | None) -> dict[str, Any]:
    from scipy.io import loadmat

    read = loadmat(path, variable_names=None if names is None else list(names))
    return {name: value for name, value in read.items() if not name.startswith("__")}


def _version_73(path: Path, names: Sequence[str] | None) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{path} is a MATLAB file of version 7.3; reading it needs: pip install h5py") from error
    with h5py.File(path, "r") as file:
        chosen = [name for name in (file if names is None else names) if name in file and not name.startswith("#")]
        return {name: _hdf5_matrix(file[name]) for name in chosen}


def _hdf5_matrix(dataset: Any) -> NDArray[Any]:
    """A matrix of version 7.3, which is stored transposed; text is stored as numbers."""
    kind = dataset.attrs.get("MATLAB_class", b"")
    if not hasattr(dataset, "shape") or dataset.dtype.kind not in "fiub":
        raise ValueError(f"{dataset.name} is no matrix of numbers")
    values: NDArray[Any] = np.asarray(dataset[()]).T
    if kind == b"char":
        return np.array(["".join(chr(code) for code in row) for row in np.atleast_2d(values)])
    return values


def _plain(value: Any, name: str) -> NDArray[Any]:
    if hasattr(value, "toarray"):  # sparse
        value = value.toarray()
    array = np.asarray(value)
    if array.dtype == object:  # a cell
        cells = [np.asarray(cell).reshape(-1) for cell in array.reshape(-1)]
        if all(cell.dtype.kind == "U" and cell.size == 1 for cell in cells):
            return np.array([str(cell[0]) for cell in cells])
    if array.dtype.kind not in "fiubU":
        raise ValueError(f"{name} must be numbers or texts, got a MATLAB {_kind(array)}")
    return array


def _kind(array: NDArray[Any]) -> str:
    return "cell array" if array.dtype == object else "structure or object" if array.dtype.names else str(array.dtype)
