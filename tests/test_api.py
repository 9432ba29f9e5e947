"""The public surface, name by name with its signature, in one file: a change of it is seen in review.

After a wanted change: ``python tests/test_api.py`` writes the file anew.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import dalib

SURFACE = Path(__file__).with_name("api_surface.txt")


def surface():
    rooms = ["dalib"] + [
        f"dalib.{m.name}" for m in pkgutil.iter_modules(dalib.__path__) if m.ispkg and m.name[0] != "_"
    ]
    lines = []
    for room in rooms:
        module = importlib.import_module(room)
        for name in module.__all__:
            thing = getattr(module, name)
            signature = ""
            if inspect.isfunction(thing) or inspect.isclass(thing):
                signature = "(" + ", ".join(map(_parameter, inspect.signature(thing).parameters.values())) + ")"
            lines.append(f"{room}.{name}{signature}")
    return "\n".join(lines) + "\n"


def _parameter(parameter):
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**", parameter.KEYWORD_ONLY: "*, "}.get(
        parameter.kind, ""
    )
    default = (
        "" if parameter.default is parameter.empty else f"={re.sub(' at 0x[0-9a-f]+', '', repr(parameter.default))}"
    )
    return f"{star}{parameter.name}{default}"


def test_the_public_surface_changes_only_on_purpose():
    assert surface() == SURFACE.read_text(), "the public surface changed; if wanted, run: python tests/test_api.py"


if __name__ == "__main__":
    SURFACE.write_text(surface())
