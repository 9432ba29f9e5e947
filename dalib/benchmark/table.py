"""Tables of records: accuracy by pair, and by the rule that picks the checkpoint."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dalib.benchmark.record import Run
from dalib.benchmark.select import LAST, ORACLE, rules, select

_MARK = "†"
_MODES = ("source", "", "joint", "separate")


@dataclass(frozen=True)
class Cell:
    """Accuracies of one cell of a table, in percent: one number a seed.

    Args:
        values: By seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds (divided by n - 1), or ``None`` for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        if not self.values:
            return "–"
        return f"{self.mean:.1f}" + ("" if self.deviation is None else f" ± {self.deviation:.1f}")


@dataclass(frozen=True)
class Group:
    """Runs that belong in one table: one data set and one protocol.

    Args:
        runs: At most one for each method, mode, pair and seed.
        left_out: Number of older records of runs that are there again with other code or options.
    """

    runs: tuple[Run, ...]
    left_out: int

    @property
    def pairs(self) -> list[str]:
        """Names of the scenarios, in order of name."""
        return sorted({run.scenario for run in self.runs})

    @property
    def rows(self) -> list[tuple[str, str]]:
        """``(method, mode)``: source_only and control first, target_supervised last, forward modes one after the other."""
        return sorted({(run.method, run.mode) for run in self.runs}, key=self._place)

    def _place(self, row: tuple[str, str]) -> tuple[bool, int, int, str]:
        method, mode = row
        order = {"source_only": 0, "control": 1}
        place = _MODES.index(mode) if mode in _MODES else len(_MODES)
        return self.supervised(row), 0 if order.get(method) == 0 else place + 1, order.get(method, 2), method

    def supervised(self, row: tuple[str, str]) -> bool:
        """Whether a row was trained on target labels."""
        return any(run.supervised for run in self.runs if (run.method, run.mode) == row)

    def label(self, row: tuple[str, str]) -> str:
        """What a table calls a row: the forward mode is named if the records hold several."""
        modes = {mode for _, mode in self.rows if mode in ("joint", "separate")}
        shown = f" ({row[1]})" if len(modes) > 1 and row[1] in modes else ""
        return f"{row[0]}{shown}{f' {_MARK}' if self.supervised(row) else ''}"

    def cell(self, row: tuple[str, str], pair: str, by: str = LAST) -> Cell:
        """Accuracies of a row on a pair, by seed, at the checkpoint that ``by`` picks."""
        chosen = sorted((r for r in self.runs if (r.method, r.mode, r.scenario) == (*row, pair)), key=lambda r: r.seed)
        return Cell(tuple(100 * float(select(run, by)["accuracy"]) for run in chosen))

    def average(self, row: tuple[str, str], by: str = LAST) -> Cell:
        """For each seed that ran on all pairs, the mean over the pairs."""
        by_seed: dict[int, list[float]] = {}
        for run in self.runs:
            if (run.method, run.mode) == row:
                by_seed.setdefault(run.seed, []).append(100 * float(select(run, by)["accuracy"]))
        complete = {seed: values for seed, values in by_seed.items() if len(values) == len(self.pairs)}
        return Cell(tuple(statistics.fmean(complete[seed]) for seed in sorted(complete)))


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs sorted into tables; of several records of one run the newest is taken.

    Args:
        runs: Records, in any order.

    Returns:
        One group for each data set, share of held-out rows and protocol. The forward modes stand in one group; methods
        without a protocol of :func:`trained` stand beside the others in each.

    Raises:
        ValueError: If there are no runs.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> methods = {"source_only": trained(source_only, Protocol(steps=30))}
        >>> (group,) = groups(benchmark(methods, pair, seeds=1))
        >>> group.pairs, group.rows
        (['A-W', 'W-A'], [('source_only', 'source')])
    """
    if not runs:
        raise ValueError("runs must hold at least one record, got none")
    tables: dict[tuple[str, float], dict[str | None, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: (run.finished, run.key)):
        place = (run.dataset, float(run.split["holdout"]))
        tables.setdefault(place, {}).setdefault(run.protocol, []).append(run)
    made = []
    for _, by_protocol in sorted(tables.items()):
        own = by_protocol.pop(None, [])
        made += [_newest([*own, *members]) for members in by_protocol.values() or [[]]]
    return made


def _newest(runs: Sequence[Run]) -> Group:
    """One group of runs that are ordered by age: the last one of each method, mode, pair and seed."""
    kept = {(run.method, run.mode, run.scenario, run.seed): run for run in runs}
    return Group(tuple(kept.values()), len(runs) - len(kept))


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
            f"{_MARK} trained on the labels of 80 % of the target rows, scored on the other 20 %; no source rows."
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
