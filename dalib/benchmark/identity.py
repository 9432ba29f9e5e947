"""What a run is configured with, as text that can be hashed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import pickle
import random
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dalib.benchmark.variables import (
    NO_VALUES,
    attributes_of,
    constants_of,
    functions_of,
    globals_read,
    is_installed,
    is_own,
    module_attributes,
    plain,
)


def describe(value: object) -> Any:
    """Whatever a method is configured with, as values that JSON can hold.

    Objects with a ``describe()`` of their own are asked. Functions become their qualified names, with what they close
    over; those of the user (outside of dalib and of installed packages) also with their defaults and the values of the
    globals that they read, and so on through the functions among these. Arrays and tensors become a hash; other objects
    their class and attributes, slots included, or what pickle takes of them; modules of torch their state and what they
    hold beside it; modules of Python their name. Equal configurations give equal text in every process.

    Example:
        >>> describe({"rate": 0.1, "function": sorted, "shape": (2, 3)})
        {'rate': 0.1, 'function': 'builtins.sorted', 'shape': [2, 3]}
    """
    return _Description().of(value)


_SHARED = (np.random.get_state.__self__, torch.default_generator, random.getstate.__self__)  # type: ignore[attr-defined]
"""The process's own generators: where they stand is no setting."""
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


class _Description:
    """One walk through a value: it ends at objects that hold themselves, and goes into a function once."""

    def __init__(self) -> None:
        self._above: list[object] = []
        self._met: list[object] = []

    def of(self, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return {"class": "builtins.float", "value": str(float(value))}  # JSON has no such number
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, torch.Tensor | np.ndarray) and not _holds_objects(value):
            return _array(value)
        if isinstance(value, torch.dtype | torch.device | Path):
            return str(value)
        if isinstance(value, np.generic) and not isinstance(plain_value := value.item(), np.generic):
            return self.of(plain_value)
        if isinstance(value, types.ModuleType):
            return {"module": value.__name__}
        if isinstance(value, NO_VALUES):
            return {"class": _kind(value)}
        if any(value is other for other in self._above):
            return {"class": _kind(value), "again": True}
        self._above.append(value)
        try:
            return self._compound(value)
        finally:
            self._above.pop()

    def _compound(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self._name(key): self.of(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(entry) for entry in value]
        if isinstance(value, np.ndarray):
            return {"shape": list(value.shape), "objects": [self.of(entry) for entry in value.flat]}
        if isinstance(value, set | frozenset):
            return sorted((describe(entry) for entry in value), key=str)
        if not (isinstance(value, type) or is_installed(type(value))) and callable(getattr(value, "describe", None)):
            return self.of(value.describe())
        if isinstance(value, functools.partial):
            return {"partial": self.of(value.func), "args": self.of(value.args), "keywords": self.of(value.keywords)}
        if isinstance(value, types.MethodType):
            return {"method": self.of(value.__func__), "of": self.of(value.__self__)}
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            beside = self._class(value)
            return {"type": _qualified(value), **beside} if beside else _qualified(value)
        if isinstance(value, _BUILT_IN):
            return _qualified(value)
        if isinstance(value, np.ufunc):
            return f"numpy.{value.__name__}"
        return {"class": _kind(value), **self._object(value), **self._class(type(value))}

    def _name(self, key: object) -> str:
        return key if isinstance(key, str) else json.dumps([self.of(key)], sort_keys=True)  # 1 is not "1"

    def _object(self, value: Any) -> dict[str, Any]:
        if isinstance(value, torch.nn.Module):
            beside = self.of(module_attributes(value))
            text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses are others in each process
            state = {"repr": text, "state": self.of(dict(value.state_dict()))}
            return {**state, "attributes": beside} if beside else state
        if dataclasses.is_dataclass(value):
            return {entry.name: self.of(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
        if any(value is generator for generator in _SHARED):
            return {}
        attributes = attributes_of(value)
        if (attributes or hasattr(value, "__dict__")) and not isinstance(value, random.Random):
            return {"attributes": self.of(attributes)}
        text = repr(value)  # such as of bytes, patterns and ranges; with an address it says nothing
        return {"parts": self.of(_pickled(value))} if " at 0x" in text else {"value": text}

    def _function(self, function: types.FunctionType) -> Any:
        name = _qualified(function)
        if self._again(function):
            return name
        parts: dict[str, Any] = {"closure": [self._cell(cell) for cell in function.__closure__ or ()]}
        if is_own(function):
            parts |= self._variables(function)
        found = {part: described for part, described in parts.items() if described}
        return {"function": name, **found} if found else name

    def _variables(self, function: types.FunctionType) -> dict[str, Any]:
        reads = {name: self._read(value) for name, value in globals_read(function).items()}
        return {
            "defaults": self.of(function.__defaults__ or ()),
            "keywords": self.of(function.__kwdefaults__ or {}),
            "attributes": self.of({key: entry for key, entry in vars(function).items() if key != "__wrapped__"}),
            "reads": reads,
        }

    def _read(self, value: Any) -> Any:
        """A global; of objects of installed packages plain attributes alone, as others may change from start to start."""
        kind = type(value)
        if kind.__module__.partition(".")[0] == "dalib" and callable(getattr(value, "fingerprint", None)):
            return {"class": _kind(value), "fingerprint": value.fingerprint()}
        known = (
            torch.nn.Module | torch.Tensor | torch.dtype | torch.device | np.ndarray | np.generic | np.dtype | np.ufunc
        )
        if not is_installed(kind) or isinstance(value, known | Mapping | type):
            return self.of(value)
        return {"class": _kind(value), "attributes": self.of(plain(attributes_of(value) or {}))}

    def _class(self, kind: type) -> dict[str, Any]:
        """What a class of the user's holds and reads beside its code."""
        if not is_own(kind) or self._again(kind):
            return {}
        variables = [(function, self._function(function)) for function in functions_of(kind)]
        functions = {f.__qualname__: described for f, described in variables if not isinstance(described, str)}
        parts = {"constants": self.of(constants_of(kind)), "functions": functions}
        return {part: described for part, described in parts.items() if described}

    def _again(self, value: object) -> bool:
        """Whether the walk has been in a function or class of the user's."""
        if not is_own(value):
            return False
        if any(value is other for other in self._met):
            return True
        self._met.append(value)
        return False

    def _cell(self, cell: types.CellType) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:  # an empty cell
            return None
        return self.of(content)


def _array(value: torch.Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        dense = tensor if tensor.layout == torch.strided else tensor.to_dense()
        content = dense.resolve_conj().resolve_neg().flatten().view(torch.uint8).numpy()  # numpy has no bfloat16
    else:
        content = np.ascontiguousarray(value)
    digest = hashlib.sha256(content.tobytes()).hexdigest()
    return {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape), "sha256": digest}


def _pickled(value: object) -> Any:
    """What pickle takes of an object without attributes, such as a generator of random numbers; ``None`` if it takes none."""
    try:
        return value.__reduce_ex__(2)
    except (TypeError, NotImplementedError, pickle.PicklingError):
        return None


def _holds_objects(value: torch.Tensor | np.ndarray[Any, Any]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.hasobject  # the bytes of these are addresses


def _kind(value: object) -> str:
    return _qualified(type(value))


def _qualified(value: object) -> str:
    return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', '?')}"


def key(parts: Mapping[str, Any]) -> str:
    """SHA-256 of a description, whatever the order of its names.

    Example:
        >>> key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
