"""The shape of the library: floors, rooms, names, and what importing it costs."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dalib"

# From the ground up; a file may import from floors below its own. Files of one room do not import each other, except
# in the rooms that build one thing together; a private file (``_name.py``) is the cellar of its room.
FLOORS = [
    {"_checks", "_precision", "_uncompiled"},
    {"row_weights", "schedules", "outputs"},
    {"distances"},
    {"_bandwidths"},
    {"kernels"},
    {"reversal", "conditioning", "evaluation", "metrics"},
    {"losses", "weights"},
    {"objective", "validators"},
    {"training"},
    {"methods"},
    {"data"},
    {"benchmark"},
    {"testing", "__main__"},
]
BUILT_TOGETHER = {"training", "data", "benchmark", "testing"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(module):
    """The room of ``dalib.room.file``, or the file itself for those that stand in the hall."""
    return module.split(".")[1]


def module_name(path):
    parts = ["dalib", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(part for part in parts if part != "__init__")


def imported(path):
    """Every module of dalib that a file imports, wherever in the file, for its types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dalib":
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                inside = PACKAGE.joinpath(*name.split(".")[1:])
                found.add(name if inside.is_dir() or inside.with_suffix(".py").is_file() else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("dalib.")}
    return found


def private(module):
    return module.split(".")[-1].startswith("_")


def floor(module):
    return next((level for level, rooms in enumerate(FLOORS) if room(module) in rooms), None)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    here = module_name(path)
    assert floor(here) is not None, f"{here} stands on no floor"
    for other in imported(path):
        assert other != "dalib", f"{here} imports the front door; import the file itself"
        if private(other) and other.count(".") > 1:
            assert room(other) == room(here), f"{here} goes into the cellar of another room: {other}"
            continue
        if room(other) != room(here):
            assert floor(other) < floor(here), f"{here} imports {other}, which is not below it"
        elif path.name != "__init__.py" and here.count(".") > 1 and room(here) not in BUILT_TOGETHER:
            raise AssertionError(f"{here} imports its sibling {other}: what two need moves a floor down")


def test_no_import_goes_round():
    graph = {module_name(path): imported(path) for path in FILES}
    done, open_now = set(), []

    def visit(module):
        assert module not in open_now, f"imports go round: {[*open_now[open_now.index(module) :], module]}"
        if module in done or module not in graph:
            return
        open_now.append(module)
        for other in graph[module]:
            visit(other)
        done.add(open_now.pop())

    for module in graph:
        visit(module)


@pytest.mark.parametrize("word", ["utils", "util", "helpers", "helper", "common", "base", "misc", "tools"])
def test_no_room_for_odds_and_ends(word):
    assert not [path for path in PACKAGE.rglob("*") if path.stem.strip("_") == word]


@pytest.mark.parametrize(("folder", "suffix"), [("losses", "_loss"), ("validators", ("_score", "_distance"))])
def test_functions_of_a_room_end_in_its_suffix(folder, suffix):
    for path in (PACKAGE / folder).glob("[!_]*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                returns = ast.unparse(node.returns) if node.returns else ""
                if returns in ("Tensor", "float"):
                    assert node.name.endswith(suffix), f"{path.name}: {node.name}"


def test_domains_are_called_source_and_target():
    short = {"src", "tgt", "trg", "xs", "xt", "ys", "yt", "x_s", "x_t", "f_s", "f_t"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg):
                assert node.arg.lower() not in short, f"{path}: argument {node.arg}"


def test_the_front_door_loads_torch_and_numpy_alone():
    heavy = ("sklearn", "scipy", "pandas", "matplotlib", "PIL", "rich", "joblib", "timm", "transformers", "torchvision")
    heavy += ("torch._dynamo",)
    code = f"import sys, dalib; print([name for name in {heavy!r} if name in sys.modules])"
    # torch itself may load scipy or others: what counts is what dalib adds.
    bare = code.replace("dalib", "torch, numpy")
    seen = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True, check=True).stdout
        for c in (code, bare)
    ]
    assert seen[0] == seen[1]


def test_every_public_part_is_reached_from_the_front_door():
    parts = [name for _, name, _ in pkgutil.iter_modules([str(PACKAGE)]) if not name.startswith("_")]
    code = f"import dalib; print([name for name in {parts!r} if name not in {{**vars(dalib), **dalib._LATER}}])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_is_printed_outside_the_command_line():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                assert path.name == "cli.py", f"{path} prints"


def test_files_keep_to_one_idea():
    long = {module_name(path): count for path in FILES if (count := len(path.read_text().splitlines())) > 400}
    assert not long, f"files above 400 lines: {long}"
