"""Every public name says what it takes and gives back, with an example that runs (the doctests run it)."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import textwrap

import pytest

import dalib

ROOMS = ["dalib"] + [
    f"dalib.{module.name}"
    for module in pkgutil.iter_modules(dalib.__path__)
    if module.ispkg and not module.name.startswith("_")
]


def public():
    """(room, name, object) of everything that a room exports and dalib wrote."""
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield pytest.param(thing, id=f"{room}.{name}")


@pytest.mark.parametrize("room", ROOMS)
def test_exports_are_sorted_and_exist(room):
    module = importlib.import_module(room)
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert list(module.__all__) == order, f"{room}.__all__ is not sorted: constants, classes, functions"
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert hasattr(module, name)
        assert name in dir(module)


def needs_example(thing):
    if inspect.isclass(thing):
        record = (
            dataclasses.is_dataclass(thing)
            or issubclass(thing, tuple | Warning)
            or getattr(thing, "_is_protocol", False)
        )
        return not record and thing.__name__ not in ("RowBatches", "PhasedObjective")
    return not thing.__name__.startswith("plot_") and thing.__name__ not in ("separate_forward", "joint_forward")


@pytest.mark.parametrize("thing", list(public()))
def test_docstring_has_an_example_and_names_every_argument(thing):
    text = inspect.getdoc(thing)
    assert text, "no docstring"
    if needs_example(thing):
        assert ">>>" in text, "no example"
    if not needs_example(thing) and inspect.isclass(thing):
        return
    if thing.__name__ in ("separate_forward", "joint_forward"):
        return
    for name, parameter in inspect.signature(thing).parameters.items():
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            assert f"{name}:" in text, f"Args lacks {name}"


@pytest.mark.parametrize("thing", list(public()))
def test_docstring_names_every_error_that_is_raised_in_the_open(thing):
    """What a class's methods say of themselves counts; errors of checks that it calls are not looked for."""
    body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    texts = [
        ast.get_docstring(node) or "" for node in ast.walk(body) if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    raised = {
        ast.unparse(node.exc.func)
        for node in ast.walk(body)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    sections = "\n".join(text.partition("Raises:\n")[2] for text in texts)
    assert not [error for error in sorted(raised) if f"    {error}: " not in sections]
