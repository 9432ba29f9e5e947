"""The code behind a run, as a hash: what would have to be run again after a change, and nothing else."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dalib.benchmark.variables import attributes_of, functions_of

_HARNESS = ("dalib.benchmark.run", "dalib.benchmark.trained")
"""Where every run passes through; what these import comes along."""


def code(value: object) -> str:
    """SHA-256 of the code behind a method: its modules in dalib with all that they import there, and the user's own.

    Docstrings and comments do not count, nor do modules of dalib that the method does not reach: a new loss makes no
    record of another method stale. Of a user's function the whole module that defines it is hashed as it is (in a
    notebook: the function); what that module imports from elsewhere than dalib is not followed.

    Example:
        >>> len(code(sorted))
        64
    """
    functions = list(_functions(value))
    start = {name for f in functions if (name := getattr(f, "__module__", None) or "").split(".")[0] == "dalib"}
    own = sorted({f"{_line(f)}{_source(f)}" for f in functions if f.__module__ not in start})
    library = [_statements(name) for name in sorted(_closure(frozenset({*start, *_HARNESS})))]
    return hashlib.sha256("\n".join([*library, *own]).encode()).hexdigest()


def _functions(value: object) -> Iterator[Callable[..., Any]]:
    """The functions and classes that a value is made of."""
    if isinstance(value, functools.partial):
        yield from _functions([value.func, *value.args, value.keywords])
    elif isinstance(value, Mapping):
        yield from _functions(list(value.values()))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _functions(entry)
    elif isinstance(value, types.MethodType):
        yield from _functions([value.__func__, value.__self__])
    elif isinstance(value, types.FunctionType | type):
        yield value
    elif dataclasses.is_dataclass(value):
        yield type(value)
        yield from _functions([getattr(value, entry.name) for entry in dataclasses.fields(value)])
    elif attributes_of(value) is not None:
        yield type(value)


def _source(function: Callable[..., Any]) -> str:
    """The text of the user's module that defines a function, or of the function where there is no file."""
    if function.__module__ == "builtins":
        return ""
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    if file is not None and file.endswith(".py") and Path(file).is_file():
        return Path(file).read_text(encoding="utf-8")
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        compiled = getattr(function, "__code__", None)
        return "" if compiled is None else _compiled(compiled)


def _line(function: Callable[..., Any]) -> str:
    """Where a function begins in its file: two of one name, such as lambdas, are told apart."""
    return f"{function.__code__.co_firstlineno}: " if isinstance(function, types.FunctionType) else ""


def _compiled(compiled: types.CodeType) -> str:
    """The instructions of a function and of those within it, without addresses."""
    constants = [_compiled(part) if isinstance(part, types.CodeType) else part for part in compiled.co_consts]
    texts = [f"{sorted(map(repr, part))}" if isinstance(part, frozenset) else repr(part) for part in constants]
    return repr((compiled.co_code, compiled.co_names, texts))


def instructions(kind: type) -> str:
    """What the methods of a class of the user's do, whatever stands around it in its file.

    Example:
        >>> instructions(dict)
        ''
    """
    return "\n".join(f"{function.__qualname__} {_compiled(function.__code__)}" for function in functions_of(kind))


@functools.cache
def _closure(start: frozenset[str]) -> frozenset[str]:
    """The modules of dalib that these reach through their imports, themselves included."""
    found: set[str] = set()
    open_ends = set(start)
    while open_ends:
        module = open_ends.pop()
        found.add(module)
        open_ends |= _imported(module) - found
    return frozenset(found)


@functools.cache
def _imported(module: str) -> frozenset[str]:
    """The modules that define what a module imports; a package that passes a name on is looked through."""
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dalib":
            package = importlib.import_module(str(node.module))
            for alias in node.names:
                thing = getattr(package, alias.name, None)
                if thing is None:  # a module that is not loaded yet
                    thing = importlib.import_module(f"{node.module}.{alias.name}")
                home = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None)
                inside = isinstance(home, str) and home.split(".")[0] == "dalib"
                found.add(str(home) if inside else package.__name__)
    return frozenset(name for name in found if _file(name).name != "__init__.py")


@functools.cache
def _statements(module: str) -> str:
    """A module without comments and docstrings."""
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _text(part)] or [ast.Pass()]
    return f"{module}: {ast.dump(tree)}"


def _text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _file(module: str) -> Path:
    file = importlib.import_module(module).__file__
    assert file is not None  # every module of dalib is a file
    return Path(file)
