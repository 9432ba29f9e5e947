"""Tables of records: accuracy by pair, and by the rule that picks the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from dalib.benchmark.group import MARK, Group, groups
from dalib.benchmark.record import Run
from dalib.benchmark.select import ORACLE, rules


def table(runs: Sequence[Run], *, style: Literal["text", "markdown"] = "text") -> str:
    """Two tables for each data set and protocol: accuracy by pair at the last checkpoint, and average by selection rule.

    Numbers are target accuracies in percent, mean ± standard deviation over seeds. An average is taken for each seed
    that ran on all pairs.

    Args:
        runs: Records; see :func:`load_runs`.
        style: ``"text"`` for a terminal, ``"markdown"`` for a document.

    Returns:
        The tables with their captions.

    Raises:
        ValueError: If there are no runs, or ``style`` is another.

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
    return "\n\n".join(_group(group, _markdown if style == "markdown" else _text) for group in groups(runs))


def _group(group: Group, layout: Callable[[list[list[str]]], str]) -> str:
    pairs, rows = group.pairs, group.rows
    by_pair = [["method", *pairs, "Avg"]]
    by_pair += [[group.label(r), *(str(group.cell(r, pair)) for pair in pairs), str(group.average(r))] for r in rows]
    chosen = rules(group.runs)
    names = [f"**{name}**" if name == ORACLE and layout is _markdown else name for name in chosen]
    by_rule = [["method", *(name.replace("_", " ") for name in names), "n"]]
    for row in rows:
        averages = [group.average(row, by) for by in chosen]
        by_rule.append([group.label(row), *map(str, averages), str(len(averages[0].values))])
    return "\n\n".join([_title(group), layout(by_pair), _rule_caption(), layout(by_rule), _notes(group)])


def _title(group: Group) -> str:
    run = next((run for run in group.runs if run.protocol is not None), group.runs[0])
    protocol: Mapping[str, object] = run.config.get("protocol", {})
    shown = [f"{name} {protocol[name]}" for name in ("steps", "batch_size", "bottleneck") if name in protocol]
    backbone = protocol.get("backbone")
    if isinstance(backbone, Mapping):
        shown.insert(0, f"backbone {backbone['name']}")
    modes = sorted({r.mode for r in group.runs} & {"joint", "separate"})
    shown += [f"{' and '.join(modes)} forward"] if modes else []
    seeds = len({r.seed for r in group.runs})
    about = f" ({', '.join(shown)})" if shown else ""
    return f"{run.dataset or 'Benchmark'}{about}: target accuracy in percent at the last checkpoint, " + (
        f"mean ± standard deviation over {seeds} seeds." if seeds > 1 else "one seed."
    )


def _rule_caption() -> str:
    return "Average over the pairs, by the rule that picks the checkpoint (n: seeds that ran on all pairs)."


def _notes(group: Group) -> str:
    notes = ["oracle: the checkpoint is picked by target labels; an upper bound, not a result."]
    if not any(float(r.split.get("holdout", 0)) for r in group.runs):
        notes.append("source accuracy: on training rows, since no source rows were held out.")
    if any(group.supervised(row) for row in group.rows):
        notes.append(
            f"{MARK} trained on the labels of 80 % of the target rows, scored on the other 20 %; no source rows."
        )
    if group.left_out:
        notes.append(f"{group.left_out} older records of the same runs are left out.")
    return "\n".join(notes)


def _markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]])


def _text(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = ["  ".join([row[0].ljust(widths[0]), *cell[1:]]) for row, cell in zip(rows, cells, strict=True)]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
