"""What a run is configured with, as text that can be hashed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


def describe(value: object) -> Any:
    """Whatever a method is configured with, as values that JSON can hold.

    Objects with a ``describe()`` of their own are asked. Functions become their qualified names, with what they close
    over; arrays and tensors a hash; other objects their class and attributes. Equal configurations give equal text in
    every process.

    Example:
        >>> describe({"rate": 0.1, "function": sorted, "shape": (2, 3)})
        {'rate': 0.1, 'function': 'builtins.sorted', 'shape': [2, 3]}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [describe(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return sorted((describe(entry) for entry in value), key=str)
    if isinstance(value, torch.Tensor | np.ndarray):
        return _array(value)
    if isinstance(value, torch.dtype | torch.device | Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    return _callable_or_object(value)


def _array(value: torch.Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": content}


def _callable_or_object(value: Any) -> Any:
    if not isinstance(value, type) and callable(getattr(value, "describe", None)):
        return describe(value.describe())
    if isinstance(value, functools.partial):
        return {"partial": describe(value.func), "args": describe(value.args), "keywords": describe(value.keywords)}
    if isinstance(value, types.MethodType):
        return {"method": describe(value.__func__), "of": describe(value.__self__)}
    name = f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', '?')}"
    if isinstance(value, types.FunctionType):
        cells = [_cell(cell) for cell in value.__closure__ or ()]
        return {"function": name, "closure": cells} if cells else name
    if isinstance(value, type | types.BuiltinFunctionType):
        return name
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, torch.nn.Module):
        return {"class": kind, "repr": repr(value), "state": describe(dict(value.state_dict()))}
    if dataclasses.is_dataclass(value):
        names = [entry.name for entry in dataclasses.fields(value)]
        return {"class": kind, **{entry: describe(getattr(value, entry)) for entry in names}}
    attributes = getattr(value, "__dict__", None)
    return {"class": kind, "attributes": describe(attributes)} if attributes is not None else {"class": kind}


def _cell(cell: types.CellType) -> Any:
    try:
        return describe(cell.cell_contents)
    except ValueError:  # an empty cell
        return None


def key(parts: Mapping[str, Any]) -> str:
    """SHA-256 of a description, whatever the order of its names.

    Example:
        >>> key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
