"""The docs hold what docstrings and records say, and their links lead somewhere."""

import doctest
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_generated_pages_and_tables_are_up_to_date():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    stale = [path for path, text in generate["pages"]() if not path.is_file() or path.read_text("utf-8") != text]
    assert not stale, f"run: python docs/generate.py ({[str(path.relative_to(ROOT)) for path in stale]})"


@pytest.mark.parametrize("name", ["harness_speed", "step_cost", "seeds_at_once", "paper_and_code"])
def test_prose_follows_the_numbers_of_its_record(name, tmp_path):
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    page = {"step_cost": "adversarial", "paper_and_code": "paper_and_code"}.get(name, "large_runs")
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert generate["filled"](text) == text
    record = (generate["RECORDS"] / f"{name}.json").read_text("utf-8")
    (tmp_path / f"{name}.json").write_text(re.sub(r"\b\d+\.\d+(?=[,\s])", lambda n: str(2 * float(n[0]) + 1), record))
    for other in {"harness_speed", "harness_speed_zen3", "seeds_at_once"} - {name}:
        (tmp_path / f"{other}.json").write_text((generate["RECORDS"] / f"{other}.json").read_text("utf-8"))
    generate["filled"].__globals__["RECORDS"] = tmp_path
    assert generate["filled"](text) != text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", path.read_text("utf-8")):
        if "://" not in target:
            page = path.parent / target if target else path
            assert page.exists(), f"{path.name}: {target}"
            assert not anchor or anchor in anchors(page), f"{path.name}: {target}#{anchor}"


def anchors(page):
    """What a link may point to: the headings, in lower case, with hyphens for spaces and without other signs."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [page for page in PAGES if page.parent == ROOT / "docs"], ids=lambda path: path.name)
def test_examples_of_the_pages_give_what_they_show(path):
    found = doctest.testfile(str(path), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8")
    assert found.failed == 0


def test_the_reference_has_every_public_name():
    surface = (ROOT / "tests" / "api_surface.txt").read_text("utf-8")
    for room, name in re.findall(r"^dalib\.(\w+)\.(\w+)", surface, re.MULTILINE):
        page = ROOT / "docs" / "reference" / f"{room}.md"
        assert f"\n## {name}\n" in page.read_text("utf-8"), f"{page.name} lacks {name}"


def test_every_record_is_whole():
    from dalib.benchmark import load_runs

    for folder in sorted({path.parent for path in (ROOT / "benchmarks" / "results").rglob("*__*.json")}):
        runs, damaged = load_runs(folder)
        assert runs
        assert not damaged
