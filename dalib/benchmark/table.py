"""Tables of records, as text for a terminal or a document."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

from dalib.benchmark.group import Group, groups
from dalib.benchmark.parts import PARTS, made_parts
from dalib.benchmark.record import Run
from dalib.benchmark.select import ORACLE

USUAL_PARTS = ("accuracy", "sweep", "selection", "comparison", "validators")
"""Tables that are shown unless others are asked for."""


def table(
    runs: Sequence[Run],
    *,
    style: Literal["text", "markdown"] = "text",
    parts: Sequence[str] = USUAL_PARTS,
    validators: Sequence[str] | None = None,
) -> str:
    """Tables for each data set and protocol.

    * ``accuracy``: target accuracy in percent by pair, last checkpoint, mean ± standard deviation over seeds. An average
      is taken for each seed that ran on all pairs. With unknown classes HOS in its place, here and in all tables.
    * ``sweep``: with unknown classes, HOS by the probability below which a row is rejected.
    * ``selection``: the average by the rule that picks the checkpoint.
    * ``comparison``: each method against source_only and its control; see :class:`Comparison`.
    * ``validators``: how well validators pick; see :class:`ValidatorQuality`. ``validators_by_method``: for each method.

    Args:
        runs: Records; see :func:`load_runs`.
        style: ``"text"`` for a terminal, ``"markdown"`` for a document.
        parts: Names of the tables, in order; those without rows are left out. Default: all but
            ``validators_by_method``.
        validators: Validators that ``selection`` and ``validators_by_method`` have a column for, by name. Default: five of
            the usual ones, and all that were asked for beside them. ``validators`` has a row for every one.

    Returns:
        The tables with their captions.

    Raises:
        ValueError: If there are no runs, ``style`` or a part is another, or a validator is not in every record of a group.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> methods = {"source_only": trained(source_only, Protocol(steps=30))}
        >>> for line in table(benchmark(methods, pair, seeds=1)).splitlines()[2:5]:
        ...     print(line)
        method         A-W    W-A    Avg
        -----------  -----  -----  -----
        source_only  100.0  100.0  100.0
    """
    if style not in ("text", "markdown"):
        raise ValueError(f"style must be 'text' or 'markdown', got {style!r}")
    unknown = [name for name in parts if name not in PARTS]
    if unknown or not parts:
        raise ValueError(f"parts must be among {', '.join(PARTS)}, got {', '.join(unknown) or 'none'}")
    layout = _markdown if style == "markdown" else _text
    columns = None if validators is None else tuple(validators)
    found = [dataclasses.replace(group, validators=columns) for group in groups(runs)]
    return "\n\n".join(_laid_out(group, tuple(parts), layout) for group in found)


def _laid_out(group: Group, names: tuple[str, ...], layout: Callable[[list[list[str]]], str]) -> str:
    made, notes = made_parts(group, names)
    blocks = [text for part in made for text in (part.caption, layout(part.cells))]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _markdown(rows: list[list[str]]) -> str:
    header = [f"**{name}**" if name == ORACLE else name for name in rows[0]]  # the column that is no result
    lines = [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in [header, *rows[1:]]]
    return "\n".join([lines[0], "|" + " --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]])


def _escaped(cell: str) -> str:
    """A cell that neither ends itself nor is a tag."""
    return _line(cell).replace("|", "\\|").replace("<", "&lt;")


def _line(cell: str) -> str:
    return " ".join(cell.split())


def _text(rows: list[list[str]]) -> str:
    rows = [[_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = ["  ".join([row[0].ljust(widths[0]), *cell[1:]]) for row, cell in zip(rows, cells, strict=True)]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
