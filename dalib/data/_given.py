"""What a user gives, as this library computes with it: numbers as float32 tensors, positions of rows as integers."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def float32(values: Any, name: str) -> Tensor:
    """Real numbers as a float32 tensor on the CPU, not copied where they are one already and can be written.

    Arrays may have any order of bytes and of memory.

    Raises:
        TypeError: If they are no real numbers, or a tensor is not dense.
        ValueError: If entries are masked.
    """
    dense(values, name)
    if isinstance(values, Tensor):
        if values.is_complex():
            raise TypeError(f"{name} must be real numbers, got dtype {values.dtype}")
        return values.detach().cpu().to(torch.float32)
    try:
        array = np.asarray(values)
    except ValueError as problem:
        raise TypeError(f"{name} must be numbers, got rows of unlike lengths") from problem
    if array.dtype == object and all(isinstance(entry, Real) for entry in array.flat):  # a frame of mixed columns
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # too large a number becomes infinity, which the caller refuses
        return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def dense(values: Any, name: str) -> None:
    """Raise unless every entry is there: numpy would drop a mask, torch fails on most sparse tensors."""
    if isinstance(values, Tensor) and (values.layout != torch.strided or values.is_nested):
        kind = "nested tensor" if values.is_nested else f"layout {values.layout}"
        raise TypeError(f"{name} must be a dense tensor, got a {kind}; a sparse one becomes dense by to_dense()")
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} must have no masked entries, got {int(np.ma.getmaskarray(values).sum())}; fill them or leave out their rows"
        )


def positions(index: Any, rows: int, name: str = "index") -> NDArray[np.int64]:
    """Positions of rows, from 0, as a vector of integers of its own; it may be empty.

    Raises:
        TypeError: If they are no integers: a mask would be taken for the rows 0 and 1.
        ValueError: If they are no vector, or one is out of range.
    """
    array = np.asarray(index)
    if array.size and array.dtype.kind not in "iu":
        mend = "; np.flatnonzero makes positions of a mask" if array.dtype.kind == "b" else ""
        raise TypeError(f"{name} must hold integers, got {array.dtype}{mend}")
    if array.ndim != 1:
        raise ValueError(f"{name} must be a vector of positions, got shape {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= rows):
        raise ValueError(f"{name} must lie in 0..{rows - 1}, got values in {array.min()}..{array.max()}")
    return array.astype(np.int64)
