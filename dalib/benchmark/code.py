"""The code behind a run, as a hash: what would have to be run again after a change, and nothing else."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dalib.benchmark.variables import attributes_of, functions_of, own_file

_HARNESS = ("dalib.benchmark.run", "dalib.benchmark.trained")
"""Where every run passes through; what these import comes along."""


def code(value: object) -> str:
    """SHA-256 of the code behind a method: its modules in dalib with all that they import there, and the user's own.

    Docstrings and comments do not count, nor do modules of dalib that the method does not reach: a new loss makes no
    record of another method stale. Of a user's function the whole module that defines it is hashed as it is (in a
    notebook: the function), and so are the user's other modules that it imports, themselves or through one another.

    Example:
        >>> len(code(sorted))
        64
    """
    functions = list(_functions(value))
    start = {name for f in functions if (name := getattr(f, "__module__", None) or "").split(".")[0] == "dalib"}
    of_user = [f for f in functions if f.__module__ not in start]
    own = [*sorted({f"{_line(f)}{_source(f)}" for f in of_user}), *_beside({f.__module__ for f in of_user})]
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


def _beside(modules: set[str]) -> list[str]:
    """The texts of the user's modules that these import, themselves or through one another."""
    found: dict[str, str] = {}
    open_ends, seen = set(modules), set()
    while open_ends:
        module = open_ends.pop()
        seen.add(module)
        file = _own_file_of(module)
        if file is None:
            continue
        text = file.read_text(encoding="utf-8")
        if module not in modules:
            found[str(file)] = text
        with contextlib.suppress(SyntaxError):  # in a module that nothing has loaded yet
            open_ends |= _names_imported(module, text) - seen
    return sorted(found.values())


def _own_file_of(module: str) -> Path | None:
    """The file of a user's module; ``None`` for modules of others and for those that are not written in Python."""
    loaded = sys.modules.get(module)
    file = _file_to_load(module) if loaded is None else getattr(loaded, "__file__", None)
    if file is None or not (file.endswith(".py") and own_file(file) and Path(file).is_file()):
        return None
    return Path(file)


def _file_to_load(module: str) -> str | None:
    """The file of a module that is only imported within a function, found without loading its packages."""
    first, *inner = _packages_and(module)
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        return None
    for name in inner:
        places = None if spec is None else spec.submodule_search_locations
        spec = None if places is None else importlib.machinery.PathFinder.find_spec(name, places)
    return None if spec is None else spec.origin


def _packages_and(module: str) -> list[str]:
    """The packages on the way to a module, and the module: a, a.b and a.b.c for a.b.c."""
    return list(itertools.accumulate(module.split("."), "{}.{}".format))


@functools.cache
def _names_imported(module: str, text: str) -> frozenset[str]:
    """What the text of a module imports, packages on the way included: names of modules, and some that are none."""
    package = getattr(sys.modules.get(module), "__package__", None) or module.rpartition(".")[0]
    tree = ast.parse(text)
    loaders = {"import_module", "__import__"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "importlib"
        for alias in node.names
        if alias.name == "import_module" and alias.asname
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in loaders:
            name, within = (_spelt_out(node, place, word) for place, word in enumerate(("name", "package")))
            if name:
                with contextlib.suppress(ImportError):  # dots that the package has no room for
                    found.add(importlib.util.resolve_name(name, within or package))
    return frozenset(each for name in found for each in _packages_and(name))


def _spelt_out(call: ast.Call, place: int, name: str) -> str:
    """The argument at a place or of a name, where it is a text; else nothing."""
    given = [*call.args[place : place + 1], *(each.value for each in call.keywords if each.arg == name)]
    return next((each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)), "")


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
