"""Write what the docs take from elsewhere: reference pages from docstrings, tables from records.

``python docs/generate.py`` writes ``docs/reference/*.md`` and fills the blocks between ``<!-- table NAME -->`` and
``<!-- end -->`` in README.md and docs/*.md. ``python docs/generate.py --check`` writes nothing and fails if a file would
change; the tests do the same.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import inspect
import itertools
import json
import pkgutil
import re
import statistics
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dalib

DOCS = Path(__file__).resolve().parent
RECORDS = DOCS.parent / "benchmarks" / "results"
SECTION = re.compile(r"^(Args|Returns|Raises|References|Example|Examples|Note|Notes|Yields|Attributes):\s*$")


def rooms() -> list[str]:
    """The front door and every public package."""
    return ["dalib", *(f"dalib.{m.name}" for m in pkgutil.iter_modules(dalib.__path__) if m.ispkg and m.name[0] != "_")]


def markdown(docstring: str) -> str:
    """A Google-style docstring with a little reStructuredText, as Markdown."""
    lines: list[str] = []
    block: str | None = None
    for line in inspect.cleandoc(docstring).splitlines():
        section = SECTION.match(line)
        if section:
            lines += _closed(block)
            block = None
            lines += ["", f"**{section[1]}**", ""]
            block = "example" if section[1].startswith("Example") else "section"
            lines += ["```python"] if block == "example" else []
        elif block == "example":
            lines.append(line[4:])
        elif block == "section":
            lines += _entry(line)
        else:
            lines.append(line)
    lines += _closed(block)
    return _inline(re.sub(r"\n+```$", "\n```", "\n".join(lines), flags=re.MULTILINE))


def _closed(block: str | None) -> list[str]:
    return ["```"] if block == "example" else []


def _entry(line: str) -> list[str]:
    entry = re.match(r"^    (\*{0,2}\w+): (.*)$", line)
    if entry:
        return [f"- `{entry[1]}`: {entry[2]}"]
    reference = re.match(r"^    \.\. \[(\d+)\] (.*)$", line)
    if reference:
        return [f"{reference[1]}. {reference[2]}"]
    return [line[4:] if line.startswith("    ") else line]


def _inline(text: str) -> str:
    text = re.sub(r"\.\. math:: (.+)", r"```math\n\1\n```", text)
    text = re.sub(r"\.\. math::\n\n?((?:    .*\n?|\n)+)", lambda m: _math(m[1]), text)
    text = re.sub(r":math:`([^`]+)`", r"$\1$", text)
    text = re.sub(r":\w+:`~?([^`]+)`", lambda m: f"`{m[1].removeprefix('dalib.')}`", text)
    text = re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", text)
    text = re.sub(r"^\.\. \[(\d+)\] ", r"\1. ", text, flags=re.MULTILINE)  # references without a heading
    return re.sub(r" \[(\d+)\]_", r" [\1]", text)


def _math(body: str) -> str:
    return f"```math\n{textwrap.dedent(body).strip()}\n```\n\n"


def reference_page(room: str) -> str:
    """One page a room: every public name with its signature and docstring."""
    module = importlib.import_module(room)
    parts = [f"# {room}", "", markdown(module.__doc__ or ""), ""]
    for name in module.__all__:
        thing = getattr(module, name)
        if room == "dalib" and getattr(thing, "__module__", "") != "dalib":
            continue  # described in its own room
        parts += [f"## {name}", "", *_described(room, name, thing)]
    if room == "dalib":
        parts += ["## The front door", "", ", ".join(f"`{name}`" for name in module.__all__), ""]
        pages = [*(name.removeprefix("dalib.") for name in rooms()[1:]), "hall"]
        parts += ["## The rooms", "", ", ".join(f"[{page}]({page}.md)" for page in pages), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _described(module: str, name: str, thing: object) -> list[str]:
    """Signature and docstring of a function or a class, with a line for each method; or of what is neither."""
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        definition, about = _definition(_home(module, name), name)
        return ["```python", definition, "```", "", markdown(about), ""]
    methods = _methods(thing) if inspect.isclass(thing) else []
    return [
        *("```python", f"{name}{_signature(thing)}", "```", ""),
        *(markdown(inspect.getdoc(thing) or ""), ""),
        *(["**Methods**", "", *methods, ""] if methods else []),
    ]


def _methods(thing: type) -> list[str]:
    """A line for each public method and property that dalib wrote."""
    lines = []
    for attribute in inspect.classify_class_attrs(thing):
        name, member = attribute.name, getattr(thing, attribute.name, None)
        ours = attribute.defining_class.__module__.split(".")[0] == "dalib" and not name.startswith("_")
        called = callable(member)
        about = inspect.getdoc(member) if called or isinstance(member, property | functools.cached_property) else None
        if ours and about and name not in ("forward", "extra_repr"):
            signature = re.sub(r"^\(self(, )?", "(", _signature(member)) if called else ""
            lines.append(f"- `{name}{signature}`: {' '.join(_inline(about).split(chr(10) * 2)[0].split())}")
    return lines


def _home(module: str, name: str) -> str:
    """The module of dalib that a name comes from, through its imports."""
    for node in ast.parse(inspect.getsource(importlib.import_module(module))).body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return _home(node.module, name)
    return module


def _definition(module: str, name: str) -> tuple[str, str]:
    """How a module defines a name that is neither function nor class, and the text below; empty if it does not."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    for node, below in itertools.pairwise([*tree.body, ast.Pass()]):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            # Of a table the type says what is looked up by what; its entries are too many.
            shown = f"{name}: {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ast.unparse(node)
            return shown, str(text)
    return "", ""


def _signature(thing: object) -> str:
    text = str(inspect.signature(thing))  # type: ignore[arg-type]
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    text = re.sub(r"mappingproxy\(\{.*?\}\)", "SCORES", text)  # the one mapping among the defaults
    text = re.sub(r"(: |-> )'([^']+)'", r"\1\2", text)  # annotations are kept as text
    text = re.sub(r"\(\*args(: Any)?, \*\*kwargs(: Any)?\)( -> None)?$", "()", text)  # no options of its own
    return re.sub(r"<(?:function|class) '?([\w.]+)'?>", r"\1", text)


def hall_page() -> str:
    """The modules that stand outside the rooms: carriers, composition, kernels, schedules, conditioning."""
    parts = ["# The hall: what stands outside the rooms", ""]
    for module in sorted(m.name for m in pkgutil.iter_modules(dalib.__path__) if not m.ispkg and m.name[0] != "_"):
        loaded = importlib.import_module(f"dalib.{module}")
        parts += [f"## dalib.{module}", "", markdown(loaded.__doc__ or ""), ""]
        for name, thing in vars(loaded).items():
            made = inspect.isfunction(thing) or inspect.isclass(thing)
            own = thing.__module__ == loaded.__name__ if made else bool(_definition(loaded.__name__, name)[1])
            if own and not name.startswith("_"):
                parts += [f"### {name}", "", *_described(loaded.__name__, name, thing)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def filled(text: str) -> str:
    """A page whose ``<!-- table NAME -->`` blocks hold the tables of ``benchmarks/results/NAME``.

    Accuracy and selection; ``<!-- table NAME comparison validators -->`` holds these parts of them.
    """

    def block(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{_table(match[1]).strip()}\n<!-- end -->"

    text = re.sub(r"<!-- table ([\w/ .=-]+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)
    text = re.sub(r"<!-- beside -->\n.*?<!-- end -->", lambda _: _beside(), text, flags=re.DOTALL)
    text = re.sub(r"<!-- weights study -->\n.*?<!-- end -->", lambda _: _weights_study(), text, flags=re.DOTALL)
    text = re.sub(r"<!-- weights speed -->\n.*?<!-- end -->", lambda _: _weights_speed(), text, flags=re.DOTALL)
    text = re.sub(r"<!-- losses speed -->\n.*?<!-- end -->", lambda _: _losses_speed(), text, flags=re.DOTALL)
    for name, prose in PROSE.items():
        text = re.sub(
            f"<!-- {name} -->\n.*?<!-- end -->", functools.partial(_prose, name, prose), text, flags=re.DOTALL
        )
    return re.sub(r"<!-- alignment -->\n.*?<!-- end -->", lambda _: _alignment(), text, flags=re.DOTALL)


def _beside() -> str:
    """Averages on Office-31 features beside those of another library and of papers (``benchmarks/elsewhere.json``)."""
    elsewhere = json.loads((RECORDS.parent / "elsewhere.json").read_text(encoding="utf-8"))
    library, published = elsewhere["tllib"], elsewhere["published"]
    ours = _averages("office31", "office31_discrepancies", "office31_adversarial", "office31_all")
    names = sorted({name for name, _ in ours}, key=lambda name: (name != "source_only", name != "control", name))
    lines = ["| method | joint | separate | TLlib joint | TLlib separate | papers |", "|---" + "|---:" * 4 + "|---|"]
    for name in names:
        cells = [ours.get((name, mode), ours.get((name, "source"), "–")) for mode in ("joint", "separate")]
        cells += [str(library[mode].get(name, library["source"].get(name, "–"))) for mode in ("joint", "separate")]
        value, where = published.get(name, ("–", ""))
        lines.append(f"| {name} | {' | '.join(cells)} | {value}{f' ({where})' if where else ''} |")
    return "\n".join(["<!-- beside -->", *lines, "<!-- end -->"])


def _averages(*names: str) -> dict[tuple[str, str], str]:
    """``(method, mode)`` -> mean and deviation over the pairs, of the first of these folders that holds it."""
    from dalib.benchmark import groups, load_runs

    found: dict[tuple[str, str], str] = {}
    for name in names:
        for group in groups(load_runs(RECORDS / name)[0]):
            for row in group.rows:
                if not group.supervised(row):
                    found.setdefault(row, str(group.average(row)))
    return found


def _prose(name: str, prose: Callable[[str], str], match: re.Match[str]) -> str:
    return f"<!-- {name} -->\n{prose(match[0].partition(chr(10))[2].rpartition(chr(10))[0])}\n<!-- end -->"


def _record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _harness_speed(_: str) -> str:
    record, older = _record("harness_speed"), _record("harness_speed_zen3")
    parts = record["seconds_in_runs"]
    training, evaluation = (100 * parts[name] / sum(parts.values()) for name in ("training", "evaluation"))
    around = 100 * (record["wall_seconds"] / record["bound_wall_seconds"] - 1)
    return (
        "Nine methods on six pairs with three seeds of Office-31 features, 162 runs of 1000 steps, took "
        f"{record['wall_seconds']:.0f} seconds in {record['processes']} processes\n"
        f"on cores that make {record['gflops']:.0f} GF/s in matrix products (`benchmarks/harness_speed.py`, record "
        f"`harness_speed.json`); on Zen 3 cores of {older['gflops']:.0f} GF/s,\nthe record `harness_speed_zen3.json` has "
        f"{older['wall_seconds']:.0f}. Of the time go "
        f"{training:.0f} % into training steps, {evaluation:.0f} % into evaluation\nwith sixteen validators at five checkpoints; "
        f"what is around the runs adds {around:.0f} %. A training step of `control`\n"
        f"takes {record['control_step_over_bare_step']:.1f} times the same step written by hand in torch."
    )


def _seeds_at_once(_: str) -> str:
    rows = _record("seeds_at_once")["rows"].values()
    ratios = [row["one after another"] / row["at once"] for row in rows]
    apart = max(row["first losses apart"] for row in rows)
    return (
        "Seeds are processes too, not one batched network: on a CPU the batched form of three seeds is no faster than "
        f"three steps\n(`benchmarks/seeds_at_once.py`, record `seeds_at_once.json`: {min(ratios):.2f} to {max(ratios):.2f} times "
        f"the speed, losses of the first step equal to\n{f'{apart:.0e}'.replace('e-0', 'e-')}), since a step of these "
        "networks is matrix products."
    )


def _step_cost(_: str) -> str:
    record = _record("step_cost")
    wide = {name.removesuffix(" (joint)"): row["ratio"] for name, row in record["features 2048 -> 256"].items()}
    images = record["images 32 x 32 through a ResNet-18-shaped network of width 16"]["dann (joint)"]["ratio"]
    reversal = 100 * (record["reversal of 64 x 256 features"]["discriminator with it / without it"] - 1)
    of = {name: f"{ratio:.1f}" for name, ratio in wide.items()}
    return (
        f"On features of 2048 the objective is most of the work: DANN {of['dann']}, randomized CDAN {of['cdan']} and with "
        f"entropy\n{of['cdan_e']} (its discriminator is 1024 wide), MDD {of['mdd']}, DALN {of['daln']}, BSP {of['bsp']}, MCD by "
        f"reversal {of['mcd_reversal']} and in three phases {of['mcd']}, WDGRL {of['wdgrl']} (one\n"
        f"forward of both domains). A convolutional network hides it: DANN {images:.2f}. The reversal itself costs a "
        f"discriminator of 256\nfeatures {reversal:.0f} %."
    )


def _precision(_: str) -> str:
    record = _record("precision")
    lines = ["| samples | value | gradient |", "| --- | ---: | ---: |"]
    for of, found in record["largest_errors"].items():
        cells = [re.sub(r"e-0(\d)$", r"e-\1", f"{found['mmd_loss'][of_what]:.1e}") for of_what in ("value", "gradient")]
        lines.append(f"| {of} | {' | '.join(cells)} |")
    times = ", ".join(f"{size.replace('x', ' x ')} {ratio:.1f}" for size, ratio in record["times_in_float64"].items())
    about = "A gradient made in float64 takes, with that of float32 before it, so many times the time (rows x features)"
    return "\n".join([*lines, "", f"{about}:", f"{times}."])


_PEERS = {
    "TLlib, multi-kernel MMD": "TLlib MultipleKernelMaximumMeanDiscrepancy",
    "DeepDA, `MMDLoss`": "DeepDA MMDLoss",
    "pytorch-adapt, `MMDLoss`, quadratic": "pytorch-adapt MMDLoss, quadratic",
    "skada, `dan_loss`, five widths": "skada, 5 kernels dan_loss",
    "TLlib, `CorrelationAlignmentLoss`": "TLlib CorrelationAlignmentLoss",
    "pytorch-adapt and skada, CORAL": "pytorch-adapt CORAL",
}


def _paper_and_code(table: str) -> str:
    """The table of the page with the values of the record: the formulas beside them are written by hand."""
    rows = {row["of"]: row for row in _record("paper_and_code")["rows"]}
    lines = table.splitlines()
    for place, line in enumerate(lines):
        cells = line.strip("| ").split(" | ")
        if cells[0] in _PEERS:
            row = rows[_PEERS[cells[0]]]
            value = f"{row['dalib_value']:.6f}"
            cells = [cells[0], f"{row['value']:.6f}", cells[2], re.sub(r"^[\d.]+", value, cells[3])]
            lines[place] = f"| {' | '.join(cells)} |"
    return "\n".join(lines)


PROSE: dict[str, Callable[[str], str]] = {
    "harness speed": _harness_speed,
    "seeds at once": _seeds_at_once,
    "precision": _precision,
    "step cost": _step_cost,
    "paper and code": _paper_and_code,
}
"""Blocks of prose with numbers of a record, by name."""


def _alignment() -> str:
    """What the terms did to the features, from ``benchmarks/results/alignment.json``."""
    rows = json.loads((RECORDS / "alignment.json").read_text(encoding="utf-8"))["rows"]
    names = list(rows[0])
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |"]
    lines.append("|" + " --- |" * 3 + " ---: |" * (len(names) - 3))
    lines += [
        f"| {' | '.join(row[n] if isinstance(row[n], str) else f'{row[n]:.3f}' for n in names)} |" for row in rows
    ]
    return "\n".join(["<!-- alignment -->", *lines, "<!-- end -->"])


def _weights_study() -> str:
    """Accuracy with each kind of weights, from ``benchmarks/results/weights``."""
    sets = ("heart_disease", "amazon_reviews", "office_caltech", "digits")
    found = [json.loads((RECORDS / "weights" / f"{name}.json").read_text(encoding="utf-8")) for name in sets]
    heads = [f"{record['set']}, {record['summary']['unweighted']['pairs']} pairs" for record in found]
    lines = [f"| weights | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for method in found[0]["summary"]:
        cells = [_study_cell(record["summary"][method]) for record in found]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(["<!-- weights study -->", *lines, "<!-- end -->"])


def _study_cell(line: dict[str, float]) -> str:
    text = f"{100 * line['mean']:.1f} ± {100 * line['std_over_seeds']:.1f}"
    return text + (f" ({line['pairs_better']} : {line['pairs_worse']})" if line["gain"] else "")


def _weights_speed() -> str:
    """Seconds of each way to learn weights, from ``benchmarks/results/weights/speed.json``."""
    record = json.loads((RECORDS / "weights" / "speed.json").read_text(encoding="utf-8"))
    lines = ["| problem | n | solver | CPU seconds | of dalib's | objective above the optimum |"]
    lines.append("| --- | ---: | --- | ---: | ---: | ---: |")
    for problem, rows in record.items():
        for row in rows if isinstance(rows, list) else []:
            ratio = f"{row['ratio']:.1f} x" if "ratio" in row else ""
            gap = f"{max(row['gap'], 0.0):.0e}" if "gap" in row else ""
            lines.append(f"| {problem} | {row['n']} | {row['solver']} | {row['seconds']:.3f} | {ratio} | {gap} |")
    return "\n".join(["<!-- weights speed -->", *lines, "<!-- end -->"])


def _losses_speed() -> str:
    """Milliseconds of each loss and how many times that peers take, on two machines, from ``benchmarks/results/speed``."""
    newer, older = (_losses_on(name) for name in ("losses", "losses_zen3"))
    return "\n".join(["<!-- losses speed -->", *newer, "", *older, "<!-- end -->"])


def _losses_on(name: str) -> list[str]:
    record = _record(f"speed/{name}")
    peers = [*record["peers"], "limit"]
    rates = f"{record['gflops']:.0f} GF/s in matrix products and {record['gexps']:.1f} billion exponentials a second"
    lines = [f"On a core of {rates} (`{name}.json`{', earlier code' if name != 'losses' else ''}):", ""]
    lines.append(f"| loss | rows x features | milliseconds | {' | '.join(peers)} |")
    lines.append("| --- | --- |" + " ---: |" * (1 + len(peers)))
    for row in record["rows"]:
        times = dict(row["milliseconds"])
        own = times.pop("dalib")
        found = {who.split(",")[0]: time for who, time in times.items()} | {"limit": row.get("limit")}
        cells = [
            _in_rounds([a / b for a, b in zip(found[peer], own, strict=True)]) if found.get(peer) else ""
            for peer in peers
        ]
        lines.append(f"| {row['loss']} | {row['size']} | {_in_rounds(own)} | {' | '.join(cells)} |")
    return lines


def _in_rounds(numbers: list[float]) -> str:
    """The median of some rounds, with the smallest and the largest where these are others."""
    shown = (min(numbers), statistics.median(numbers), max(numbers))
    least, middle, most = (f"{each:.{2 if each < 100 else 0}f}" for each in shown)
    return middle if least == most else f"{middle} ({least}–{most})"


def _table(named: str) -> str:
    from dalib.benchmark import load_runs, table

    name, *parts = named.split()
    runs, damaged = load_runs(RECORDS / name)
    if damaged:
        raise SystemExit(f"damaged records: {damaged}")
    return table(runs, style="markdown", parts=parts or ("accuracy", "selection"))


def pages() -> Iterator[tuple[Path, str]]:
    """Every file that this script writes, with what it should hold."""
    for room in rooms():
        yield DOCS / "reference" / f"{room.removeprefix('dalib.')}.md", reference_page(room)
    yield DOCS / "reference" / "hall.md", hall_page()
    for path in [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]:
        yield path, filled(path.read_text(encoding="utf-8"))


def main() -> int:
    """Write the files, or with ``--check`` name those that would change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file would change")
    check = parser.parse_args().check
    changed = [path for path, text in pages() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if check:
        sys.stderr.writelines(
            f"out of date: {path.relative_to(DOCS.parent)}; run: python docs/generate.py\n" for path in changed
        )
        return 1 if changed else 0
    for path, text in pages():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
