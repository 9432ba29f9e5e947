"""Every public name says what it takes and gives back, with an example that runs (the doctests run it)."""

import importlib
import inspect
import pkgutil

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
    assert module.__all__ == sorted(module.__all__), f"{room}.__all__ is not sorted"
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert hasattr(module, name)
        assert name in dir(module)


@pytest.mark.parametrize("thing", list(public()))
def test_docstring_has_an_example_and_names_every_argument(thing):
    text = inspect.getdoc(thing)
    assert text, "no docstring"
    assert ">>>" in text, "no example"
    arguments = [
        name
        for name, parameter in inspect.signature(thing).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    carrier = inspect.isclass(thing) and issubclass(thing, tuple)  # a NamedTuple describes its fields in place
    if arguments and not carrier:
        assert "Args:" in text or thing.__name__ in ("separate_forward", "joint_forward"), "no Args"
        for name in arguments:
            assert f"{name}:" in text or thing.__name__ in ("separate_forward", "joint_forward"), f"Args lacks {name}"
