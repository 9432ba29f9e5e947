"""The report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.kinds import ROLES
from dalib.benchmark.parts import PARTS, made_parts
from dalib.benchmark.record import Run

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #111;
  background: #fff; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 2px solid #111; padding-top: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
.wide { overflow-x: auto; }
th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid #ccc; white-space: nowrap; }
th { border-bottom: 2px solid #111; } th:first-child, td:first-child { text-align: left; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0 2rem; }
.notes { font-size: 13px; color: #444; } nav a { margin-right: 1rem; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Args:
        name: Name of its file.
        heading: What it shows.
        content: The PNG file.
    """

    name: str
    heading: str
    content: bytes


def page(chapters: Sequence[tuple[Group, Sequence[Picture]]], *, damaged: Sequence[str] = ()) -> str:
    """The page: for each group of records its tables and pictures, the protocol and the environment.

    Args:
        chapters: Groups with their pictures.
        damaged: Sentences on records that could not be read.

    Returns:
        The text of an HTML file.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, groups, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> import numpy as np
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}, name="<office>"))
        >>> (group,) = groups(benchmark({"source_only": trained(source_only, Protocol(steps=30))}, pair, seeds=1))
        >>> text = page([(group, [])])
        >>> "&lt;office&gt;</h2>" in text, "http" in text
        (True, False)
    """
    runs = [run for group, _ in chapters for run in group.runs]
    names = [group.title for group, _ in chapters]
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>dalib report: {_text(', '.join(dict.fromkeys(names)))}</title><style>{_STYLE}</style></head><body>",
        f"<h1>dalib report: {_text(', '.join(dict.fromkeys(names)))}</h1>",
        f"<p>{len(runs)} runs, finished from {_text(min(run.finished for run in runs))} to "
        f"{_text(max(run.finished for run in runs))}. No method saw target labels except those marked †; "
        "<em>oracle</em> picks by them and is an upper bound, not a result.</p>",
    ]
    if damaged:
        head.append(f"<ul class='notes'>{''.join(f'<li>{_text(sentence)}</li>' for sentence in damaged)}</ul>")
    if len(names) > 1:
        links = (f"<a href='#{number}'>{_text(name)}</a>" for number, name in enumerate(names, start=1))
        head.append(f"<nav>{' '.join(links)}</nav>")
    body = [
        line
        for number, ((group, pictures), name) in enumerate(zip(chapters, names, strict=True), start=1)
        for line in (f"<h2 id='{number}'>{_text(name)}</h2>", *_chapter(group, pictures))
    ]
    return "\n".join([*head, *body, "</body></html>"]) + "\n"


def _chapter(group: Group, pictures: Sequence[Picture]) -> list[str]:
    made, notes = made_parts(group, tuple(PARTS))
    shown = {picture.name.split(".")[0].split("-")[0]: picture for picture in pictures}
    lines = _figure(shown.pop("accuracy", None))
    for part in made:
        lines += [f"<p>{_text(part.caption)}</p>", _table(part.cells)]
    lines.append(f"<div class='notes'>{''.join(f'<p>{_text(note)}</p>' for note in notes)}</div>")
    for picture in shown.values():
        lines += _figure(picture)
    return [*lines, "<h3>Protocol, data and environment</h3>", _facts(group)]


def _figure(picture: Picture | None) -> list[str]:
    if picture is None:
        return []
    content = base64.b64encode(picture.content).decode()
    heading = _text(picture.heading)
    return [f'<h3>{heading}</h3><figure><img alt="{heading}" src="data:image/png;base64,{content}"></figure>']


def _table(cells: Sequence[Sequence[str]]) -> str:
    header = "".join(f"<th>{_text(cell)}</th>" for cell in cells[0])
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in cells[1:])
    return f"<div class='wide'><table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"


def _facts(group: Group) -> str:
    """What all runs share, in one table: where they differ, every value with the number of runs."""
    runs = group.runs
    protocols = [run.config.get("protocol", {}) for run in runs]
    rows = [
        (f"protocol: {name}", [entry.get(name) for entry in protocols if name in entry]) for name in _names(protocols)
    ]
    rows.append(("data: classes", [run.data.get("classes") for run in runs]))
    rows += [(f"data: {role}", [", ".join(own)]) for role, own in zip(ROLES, runs[0].roles, strict=True) if own]
    rows += [(f"data: {pair}", _data(runs, pair)) for pair in group.pairs]
    rows.append(("source rows held out", [run.split.get("holdout", 0.0) for run in runs]))
    rows.append(("seeds", [run.seed for run in runs]))
    environments = [run.environment for run in runs]
    rows += [(name, [entry.get(name) for entry in environments]) for name in ("commit", "device", "machine", "threads")]
    versions = [entry.get("versions", {}) for entry in environments]
    rows += [(f"version: {name}", [entry.get(name) for entry in versions]) for name in _names(versions)]
    cells = "".join(f"<tr><td>{_text(name)}</td><td>{_text(_counted(values))}</td></tr>" for name, values in rows)
    return f"<table class='facts'><tbody>{cells}</tbody></table>"


def _names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for entry in entries for name in entry))


def _data(runs: Sequence[Run], pair: str) -> list[Any]:
    """Rows and content of a pair, as its records name them."""
    named = []
    for run in runs:
        if run.scenario == pair and not run.supervised:
            rows = run.split.get("rows", {})
            content = str(run.data.get("fingerprint", ""))[:12]
            named.append(
                f"{run.data.get('source', '?')} ({rows.get('source', '?')} rows) to {run.data.get('target', '?')} "
                f"({rows.get('target', '?')} rows), content {content}"
            )
    return named


def _counted(values: Sequence[Any]) -> str:
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    counts = Counter(texts)
    if len(counts) <= 1:
        return next(iter(counts), "–")
    return "; ".join(f"{text} ({count} runs)" for text, count in counts.items())


def _text(value: str) -> str:
    return html.escape(value)
