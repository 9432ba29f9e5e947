"""What functions, classes and objects carry beside their code: defaults, globals that they read, slots, attributes."""

from __future__ import annotations

import dataclasses
import dis
import functools
import logging
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from dalib.kernels import Kernel

_LIBRARY = Path(__file__).resolve().parents[1]
_INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_PACKAGES = {"site-packages", "dist-packages"}
_MACHINERY = frozenset(vars(torch.nn.Module()))
NO_VALUES = (types.ModuleType, logging.Logger, logging.Handler, logging.LoggerAdapter, threading.Thread)
"""Kinds of objects that hold no setting, and through which a walk would reach the whole process."""

_SETTINGS = frozenset(
    [
        "abc",
        "argparse",
        "builtins",
        "collections",
        "configparser",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "operator",
        "pathlib",
        "re",
        "types",
    ]
)
"""Modules of Python whose objects hold what a user puts into them; others, such as locks and aliases of types, are left out."""
_STANDARD = sys.stdlib_module_names - {"__main__"}

_FILLING = frozenset("add append appendleft clear discard extend insert pop popleft remove setdefault update".split())  # noqa: SIM905

Plain = bool | int | float | complex | str | bytes


def is_own(value: Any) -> bool:
    """Whether a function or class is the user's: not of dalib, of Python or of an installed package.

    Example:
        >>> is_own(is_own), is_own(sorted), is_own(torch.nn.Linear), is_own(lambda: 1)
        (False, False, False, True)
    """
    if isinstance(value, types.FunctionType):
        return own_file(value.__code__.co_filename)
    module = getattr(value, "__module__", None) or "builtins"
    if module.partition(".")[0] in {*_STANDARD, "dalib", "torch", "numpy"}:
        return False
    return own_file(getattr(sys.modules.get(module), "__file__", None) or "<input>")


def is_installed(kind: type) -> bool:
    """Whether a class is of an installed package beside dalib and Python.

    Example:
        >>> is_installed(torch.nn.Linear), is_installed(dict), is_installed(type("Mine", (), {"__module__": "mine"}))
        (True, False, False)
    """
    return kind.__module__.partition(".")[0] not in {*_STANDARD, "dalib"} and not is_own(kind)


@functools.cache
def own_file(name: str) -> bool:
    """Whether a file of code is the user's: not of dalib, of Python or of an installed package.

    Example:
        >>> own_file(__file__), own_file("methods.py"), own_file("<stdin>")
        (False, True, True)
    """
    if name.startswith("<"):  # typed in, or a cell of a notebook
        return not name.startswith("<frozen")
    path = Path(name).resolve()
    if _LIBRARY in path.parents or _PACKAGES.intersection(path.parts):
        return False
    return not _INSTALLED.intersection(path.parents)


def globals_read(function: types.FunctionType) -> dict[str, Any]:
    """The variables of its module that a function and those within it read, but for modules and what they fill themselves.

    Example:
        >>> def scaled(x):
        ...     return [factor * entry for entry in x]
        >>> factor = 3
        >>> globals_read(types.FunctionType(scaled.__code__, {"factor": factor}))
        {'factor': 3}
    """
    uses = set(_names(function.__code__))
    names = sorted({name for name, _ in uses} - {name for name, changed in uses if changed})
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    return {name: value for name, value in found.items() if not isinstance(value, NO_VALUES) and _told(value)}


def _names(code: types.CodeType) -> Iterator[tuple[str, bool]]:
    """Every use of a global, and whether it changes the global: one that is filled or counted up is no setting."""
    steps = list(dis.get_instructions(code))
    for step, after, then in zip(steps, [*steps[1:], None], [*steps[2:], None, None], strict=False):
        if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            yield str(step.argval), True
        elif step.opname.startswith("LOAD") and ("GLOBAL" in step.opname or step.opname == "LOAD_NAME"):
            called = after is not None and after.opname in ("LOAD_ATTR", "LOAD_METHOD") and after.argval in _FILLING
            yield str(step.argval), called or (then is not None and then.opname == "STORE_SUBSCR")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _told(value: Any) -> bool:
    """Whether a global is a value: not an object of Python's own that has a life, such as a lock or a file."""
    home = type(value).__module__.partition(".")[0]
    return home not in _STANDARD or home in _SETTINGS


def functions_of(kind: type) -> Iterator[types.FunctionType]:
    """The functions that a class of the user's and its bases of the user's define, properties included."""
    for base in kind.__mro__:
        if is_own(base):
            for _, entry in sorted(vars(base).items()):
                parts = (entry.fget, entry.fset) if isinstance(entry, property) else (entry,)
                for part in parts:
                    inside = part.__func__ if isinstance(part, staticmethod | classmethod) else part
                    if isinstance(inside, types.FunctionType) and is_own(inside) and not _generated(base, inside):
                        yield inside


def _generated(base: type, function: types.FunctionType) -> bool:
    """Whether a dataclass made the function by itself."""
    return dataclasses.is_dataclass(base) and function.__code__.co_filename == "<string>"


def constants_of(kind: type) -> dict[str, Any]:
    """The numbers and texts that a class of the user's and its bases of the user's hold themselves."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if is_own(base):
            found |= {
                name: entry for name, entry in vars(base).items() if isinstance(entry, Plain) and name[:2] != "__"
            }
    return found


def attributes_of(value: object) -> dict[str, Any] | None:
    """The attributes that an object holds itself, in its dictionary and its slots; ``None`` for one without either.

    Example:
        >>> class Pair:
        ...     __slots__ = ("left", "right")
        >>> pair = Pair()
        >>> pair.left = 3
        >>> attributes_of(pair), attributes_of(3)
        ({'left': 3}, None)
    """
    slots = [(base, name) for base in type(value).__mro__ for name in _slots(base)]
    if not slots and not hasattr(value, "__dict__"):
        return None
    found = dict(getattr(value, "__dict__", {}))
    for base, name in slots:
        private = name.startswith("__") and not name.endswith("__")
        name = f"_{base.__name__.lstrip('_')}{name}" if private else name
        if name not in ("__dict__", "__weakref__") and hasattr(value, name):
            found[name] = getattr(value, name)
    return found


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def module_attributes(module: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """What the parts of a module hold beside parameters, buffers and parts.

    That is all of it for the user's modules; for others plain values, and for dalib's the kernels among them.

    Example:
        >>> module_attributes(torch.nn.Sequential(torch.nn.Dropout(0.5)))
        {'0': {'p': 0.5, 'inplace': False}}
    """
    found = {}
    for name, part in module.named_modules():
        held = {entry: value for entry, value in vars(part).items() if entry not in _MACHINERY}
        found[name] = held if is_own(type(part)) else plain(held) | _kernels(held)
    return {name: held for name, held in found.items() if held}


def _kernels(held: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are kernels, or sequences of them: they may hold functions of the user's."""
    found = {name: value if isinstance(value, list | tuple) else [value] for name, value in held.items()}
    return {
        name: list(values) for name, values in found.items() if values and all(isinstance(x, Kernel) for x in values)
    }


def plain(held: Mapping[str, Any]) -> dict[str, Any]:
    """The public entries that are numbers, texts, arrays, or sequences of them."""
    return {name: value for name, value in held.items() if not name.startswith("_") and _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return value is None or isinstance(value, Plain) or type(value).__module__ in ("numpy", "torch")
