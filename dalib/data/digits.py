"""USPS and MNIST as images of one size."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dalib import _checks
from dalib.data._feature_matrix import finite_rows, folder
from dalib.data.arrays import arrays
from dalib.data.domain import DomainSet

_IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_SIZES = {("usps", "train"): 7291, ("usps", "test"): 2007, ("mnist", "train"): 60000, ("mnist", "test"): 10000}
_CLASSES = tuple("0123456789")


def digits(root: str | Path, *, size: int = 28, channels: int = 1) -> DomainSet:
    """Read USPS [1]_ and MNIST [2]_: grey digits in ``[0, 1]``, white on black, resized to one size.

    Args:
        root: The folder that holds, in itself or up to two folders below, ``usps.h5`` (groups ``train`` and ``test``
            with ``data`` and ``target``) and MNIST's four files ``*-ubyte``, packed (``.gz``) or not. One of MNIST's two
            parts is enough. Everything found is read, training part first; what was found is in the description.
        size: Height and width of the pictures, by bilinear interpolation with antialiasing. Default 28: MNIST's own;
            USPS is 16 x 16.
        channels: How often the grey value is repeated, for networks that take colours. Default 1.

    Returns:
        The :class:`~dalib.data.DomainSet` with usps (9298 rows) and mnist (70000, or 10000 of the test part alone),
        rows of shape ``(channels, size, size)``.

    Raises:
        FileNotFoundError: If a file is not there.
        ImportError: If h5py is not installed.
        TypeError: If ``size`` or ``channels`` is no integer.
        ValueError: If a file is damaged, or has not as many rows as was published.

    References:
        .. [1] Hull. A Database for Handwritten Text Recognition Research. TPAMI 16(5), 1994.
        .. [2] LeCun, Bottou, Bengio, Haffner. Gradient-Based Learning Applied to Document Recognition.
               Proceedings of the IEEE 86(11), 1998.

    Example:
        >>> digits("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of usps.h5 and MNIST's *-ubyte files, got no/such/folder...
    """
    _checks.at_least(size, 1, "size")
    _checks.at_least(channels, 1, "channels")
    place = folder(root, "the folder of usps.h5 and MNIST's *-ubyte files")
    parts = {"usps": _usps(place), "mnist": _mnist(place)}
    domains, found = {}, []
    for name, read in parts.items():
        for part, (x, _) in read.items():
            if len(x) != _SIZES[name, part]:
                raise ValueError(f"{part} of {name} must have {_SIZES[name, part]} rows, got {len(x)} in {place}")
        x = np.concatenate([x for x, _ in read.values()])
        domains[name] = (_resized(x, size, channels), np.concatenate([y for _, y in read.values()]))
        found.append(f"{name} {' and '.join(read)}")
    read_set = arrays(domains, classes=_CLASSES, name="digits")
    return DomainSet("digits", read_set.domains, f"{'; '.join(found)}; {size} x {size} pixels")


def _resized(x: NDArray[np.float32], size: int, channels: int) -> Tensor:
    """Images ``(n, channels, size, size)``; the channels share their memory."""
    images = torch.from_numpy(x)[:, None]
    if images.shape[-1] != size:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
    return images.expand(-1, channels, -1, -1)


def _found(place: Path, names: tuple[str, ...]) -> Path | None:
    for depth in ("", "*/", "*/*/"):
        for name in names:
            for path in sorted(place.glob(depth + name)):
                if path.is_file():
                    return path
    return None


def _usps(place: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    path = _found(place, ("usps.h5",))
    if path is None:
        raise FileNotFoundError(f"{place} must hold usps.h5, in itself or up to two folders below, got no such file")
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading usps.h5 needs h5py: pip install 'dalib[hdf5]'") from error
    read = {}
    try:
        with h5py.File(path, "r") as file:
            for part in ("train", "test"):
                read[part] = (np.asarray(file[part]["data"][()]), np.asarray(file[part]["target"][()]))
    except Exception as error:  # a damaged file can break the parser anywhere
        raise ValueError(
            f"{path} must be a file of HDF5 with train and test, each with data and target: {error}"
        ) from error
    return {part: _checked(x.reshape(len(x), -1), y, 16, f"{part} in {path}") for part, (x, y) in read.items()}


def _checked(x: NDArray[Any], y: NDArray[Any], side: int, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if x.dtype.kind not in "fiu" or x.shape[1:] != (side * side,):
        raise ValueError(f"{name} must have {side * side} numbers a row, got shape {x.shape} and {x.dtype}")
    if y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
        raise ValueError(f"{name} must have one integer label a row, got shape {y.shape} and {y.dtype}")
    if len(y) and (y.min() < 0 or y.max() > 9):
        raise ValueError(f"labels of {name} must lie in 0..9, got values in {y.min()}..{y.max()}")
    finite_rows(x, name)
    if len(x) and (x.min() < 0 or x.max() > 1):
        raise ValueError(f"{name} must have grey values in [0, 1], got values in [{x.min():g}, {x.max():g}]")
    return x.reshape(-1, side, side).astype(np.float32), y.astype(np.int64)


def _mnist(place: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    read = {}
    for part, names in _IDX.items():
        files = [_found(place, (name, f"{name}.gz", name.replace("-idx", ".idx"))) for name in names]
        images, labels = files
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            lacks = names[files.index(None)]
            raise FileNotFoundError(f"{place} must hold both files of MNIST's {part} part, got no {lacks}[.gz]")
        x = _idx(images, 3).reshape(-1, 784).astype(np.float32) / 255
        read[part] = _checked(x, _idx(labels, 1), 28, f"{part} of MNIST in {images.parent}")
    if not read:
        raise FileNotFoundError(
            f"{place} must hold MNIST's files, such as {_IDX['test'][0]}[.gz], in itself or up to two folders below, "
            "got none"
        )
    return read


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The bytes of a file in MNIST's format: two zeros, the type (8: bytes), the dimensions, their sizes, the values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} must be a whole gzip file, got one that breaks: {error}") from error
    head = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < head:
        raise ValueError(f"{path} must be a file of bytes in MNIST's format with {dimensions} dimensions, got another")
    shape = tuple(int(number) for number in np.frombuffer(content[4:head], dtype=">u4"))
    if len(content) - head != int(np.prod(shape, dtype=object)):
        raise ValueError(f"{path} must hold {shape} values, got {len(content) - head} bytes; is it cut off?")
    return np.frombuffer(content, dtype=np.uint8, offset=head).reshape(shape)
