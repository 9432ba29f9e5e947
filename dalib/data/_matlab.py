"""Matrices of numbers from a MATLAB file, without anything in it being run.

Read here byte by byte: scipy's reader ends the whole process on some damaged files, and reads what is not wanted.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HDF5 = b"\x89HDF\r\n\x1a\n"
# Codes of stored values, and of the classes of variables, in files of version 5 to 7.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_CELL, _CHARACTERS = 1, 4
_OTHERS = {2: "structure", 3: "object", 5: "sparse matrix: save full(x)", 16: "function", 17: "object"}
_MATRIX, _COMPRESSED = 14, 15


def matlab_arrays(path: Path, wanted: Callable[[str], bool]) -> dict[str, NDArray[Any]]:
    """The variables of a ``.mat`` file whose names are ``wanted``: numbers, and text as an array of strings.

    Versions 5 to 7 are read here, 7.3 with h5py. Cells of texts become strings; structures, objects, functions, complex
    and sparse matrices are refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the file is of version 7.3 and h5py is not installed.
        ValueError: If the file is damaged, or a variable is neither numbers nor text.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"path must be a .mat file, got {path}, which is {'a folder' if path.is_dir() else 'not there'}"
        )
    content = path.read_bytes()
    try:
        if _HDF5 in (content[:8], content[512:520]):
            return _version_73(path, wanted)
        return dict(_variables(content, wanted))
    except ImportError:
        raise
    except Exception as error:  # a damaged file can break a parser anywhere
        raise ValueError(f"path must be a readable .mat file, got {path}: {error or type(error).__name__}") from error


def matlab_column(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """A row or column of whole numbers as integers: MATLAB stores labels as a matrix, often of doubles."""
    flat = values.reshape(-1)
    if values.size != max(values.shape, default=0) or flat.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be one row or column of numbers, got shape {values.shape} and {values.dtype}")
    whole = flat.astype(np.float64)
    if not (np.isfinite(whole).all() and (whole == np.round(whole)).all()):
        raise ValueError(f"{name} must be whole numbers, got some that are not")
    return whole.astype(np.int64)


def _variables(content: bytes, wanted: Callable[[str], bool]) -> Iterator[tuple[str, NDArray[Any]]]:
    """All wanted variables behind the 128 bytes of the header, whose last two tell the order of bytes."""
    orders = {b"IM": "<", b"MI": ">"}
    if content[126:128] not in orders:
        raise ValueError("no file of MATLAB's version 5 to 7.3")
    order = orders[content[126:128]]
    for kind, part in _elements(content[128:], order):
        element = next(_elements(zlib.decompress(part), order)) if kind == _COMPRESSED else (kind, part)
        if element[0] != _MATRIX:
            raise ValueError("something that is no variable")
        name, read = _variable(element[1], order)
        if wanted(name):
            try:
                yield name, read()
            except ValueError as error:
                raise ValueError(f"{name} in it must be numbers or texts, got {error}") from error


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of every element; short ones keep both in eight bytes."""
    position = 0
    while position < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        start = position + 8
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, kind >> 16, position + 4, position + 8
        else:
            end = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(data):
            raise ValueError("an end before all was read; is it cut off?")
        yield kind, data[start : start + size]
        position = end


def _variable(data: bytes, order: str) -> tuple[str, Callable[[], NDArray[Any]]]:
    """Name of a variable, and what reads it."""
    parts = _elements(data, order)
    flags = struct.unpack_from(f"{order}I", next(parts)[1])[0]
    kind = flags & 0xFF
    sizes = np.frombuffer(next(parts)[1], f"{order}i4").astype(int).tolist() if kind != 17 else []
    name = next(parts)[1].decode("latin-1")

    def read() -> NDArray[Any]:
        if kind in _OTHERS or flags & 0x800:
            raise ValueError(f"a MATLAB {_OTHERS.get(kind, 'complex matrix')}")
        if any(size < 0 for size in sizes):
            raise ValueError("negative sizes")
        if kind == _CELL:
            return _texts([_variable(part, order)[1]() for _, part in parts])
        stored, values = next(parts, (0, b""))
        if kind == _CHARACTERS:
            return _rows_of_text(stored, values, sizes, order)
        numbers = np.frombuffer(values, order + _STORED[stored])
        if len(numbers) != math.prod(sizes):
            raise ValueError(f"{len(numbers)} values for the sizes {sizes}")
        return numbers.astype(_NUMBERS[kind]).reshape(sizes, order="F")

    return name, read


def _texts(cell: list[NDArray[Any]]) -> NDArray[Any]:
    """The texts in a cell."""
    if not all(text.dtype.kind == "U" and text.size == 1 for text in cell):
        raise ValueError("a MATLAB cell array of other things than texts")
    return np.array([str(text[0]) for text in cell])


def _rows_of_text(stored: int, values: bytes, sizes: list[int], order: str) -> NDArray[Any]:
    encoding = _TEXT[stored]
    text = values.decode(encoding + {"<": "-le", ">": "-be"}[order] if encoding in ("utf-16", "utf-32") else encoding)
    if len(sizes) != 2:
        raise ValueError(f"texts in {len(sizes)} dimensions")
    signs = np.array(list(text), dtype="U1").reshape(sizes, order="F")
    return np.array(["".join(row) for row in signs])


def _version_73(path: Path, wanted: Callable[[str], bool]) -> dict[str, NDArray[Any]]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("a MATLAB file of version 7.3 needs h5py: pip install 'dalib[hdf5]'") from error
    with h5py.File(path, "r") as file:
        return {name: _hdf5_matrix(file[name]) for name in file if wanted(name)}


def _hdf5_matrix(dataset: Any) -> NDArray[Any]:
    """A matrix of version 7.3, which is stored transposed; text is stored as numbers, a cell as references."""
    kind = dataset.attrs.get("MATLAB_class", b"")
    if kind == b"cell":
        return _texts([_hdf5_matrix(dataset.file[part]) for part in dataset[()].reshape(-1)])
    if not hasattr(dataset, "shape") or dataset.dtype.kind not in "fiub":
        raise ValueError(f"{dataset.name} in it must be numbers or texts")
    values: NDArray[Any] = np.asarray(dataset[()]).T
    if dataset.attrs.get("MATLAB_empty", 0):  # stored are its sizes
        values = np.empty(values.astype(int).reshape(-1), values.dtype)
    if kind == b"char":
        return np.array(["".join(chr(code) for code in row) for row in np.atleast_2d(values)])
    return values
