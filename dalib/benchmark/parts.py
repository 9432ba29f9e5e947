"""What tables of records hold: captions, rows of cells, notes. How they look is another file's business."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dalib.benchmark.group import CAPTIONED, MARK, Cell, Group
from dalib.benchmark.judge import REJECTION, SWEEP
from dalib.benchmark.record import Run
from dalib.benchmark.select import shown_rules
from dalib.benchmark.statistics import Comparison, comparisons, validator_quality

THRESHOLDS = tuple(f"{0.1 * number:.2f}" for number in range(1, 10))
"""Thresholds that the table of rejections has a column for."""


@dataclass(frozen=True)
class Part:
    """One table.

    Args:
        caption: A sentence above it.
        cells: Rows of cells, the header first.
        notes: Sentences below it.
    """

    caption: str
    cells: list[list[str]]
    notes: tuple[str, ...] = ()


def accuracy_part(group: Group) -> Part:
    """Methods x pairs at the last checkpoint; with unknown classes the two accuracies of the harmonic mean beside it."""
    parts = {"OS*": "known", "UNK": "unknown"} if group.headline == "harmonic" else {}
    cells = [["method", *group.pairs, "Avg", *parts]]
    cells += [
        [
            group.label(row),
            *(_counted(group, group.cell(row, pair)) for pair in group.pairs),
            _counted(group, group.average(row)),
            *(_counted(group, group.average(row, number=number)) for number in parts.values()),
        ]
        for row in group.rows
    ]
    notes = list(_rejection_notes(group)) if parts else []
    if any("(n = " in cell for line in cells[1:] for cell in line[1:]):
        notes.append("n: number of seeds, where they are fewer; an average is over the seeds that ran on all pairs.")
    return Part(_title(group), cells, tuple(notes))


def _counted(group: Group, cell: Cell) -> str:
    """A cell, with the number of its seeds where these are fewer than the caption says."""
    fewer = 0 < len(cell.values) < len({run.seed for run in group.runs})
    return f"{cell} (n = {len(cell.values)})" if fewer else str(cell)


def _rejection_notes(group: Group) -> tuple[str, str]:
    return (
        "HOS: harmonic mean of OS* (accuracy on known rows, mean over their classes) and UNK (share of the unknown rows "
        "that are rejected); OS* and UNK are averages over the pairs.",
        f"{_listed(group, swept=True)}: rows whose largest probability is below {REJECTION} are rejected; "
        f"{_listed(group, swept=False)}: by the method's own rule.",
    )


def sweep_part(group: Group) -> Part:
    """Methods without a rule of their own x thresholds of rejection; the others beside them."""
    cells = [["method", "own rule", *THRESHOLDS, "best"]]
    if group.headline == "harmonic":
        cells += [[group.label(row), *_swept(group, row)] for row in group.rows]
    caption = (
        "Average HOS in percent at the last checkpoint, by the probability below which a row is rejected. The tables above "
        f"use {REJECTION}, fixed beforehand."
    )
    note = f"best: of all thresholds {SWEEP[0]} to {SWEEP[-1]}, picked by target labels for each run: no result."
    return Part(caption, cells, (note,))


def _swept(group: Group, row: tuple[str, str]) -> list[str]:
    if not _is_swept(group, row):
        return [_mean(group.average(row)), *["–"] * (len(THRESHOLDS) + 1)]
    columns = [_mean(group.averaged(row, _harmonic(threshold))) for threshold in THRESHOLDS]
    return ["–", *columns, _mean(group.averaged(row, lambda run: max(_sweep(run).values(), default=math.nan)))]


def _harmonic(threshold: str) -> Callable[[Run], float]:
    return lambda run: _sweep(run).get(threshold, math.nan)


def _sweep(run: Run) -> dict[str, float]:
    """Harmonic mean by threshold, for a method without a rule of its own; empty for others."""
    return dict(run.checkpoints[-1].get("sweep", {}))


def _is_swept(group: Group, row: tuple[str, str]) -> bool:
    return any(_sweep(run) for run in group.runs if (run.method, run.mode) == row)


def _listed(group: Group, *, swept: bool) -> str:
    return ", ".join(group.label(row) for row in group.rows if _is_swept(group, row) == swept) or "none"


def _mean(cell: Cell) -> str:
    return f"{cell.mean:.1f}" if cell.values else "–"


def selection_part(group: Group) -> Part:
    """Methods x the rules that pick the checkpoint."""
    chosen = shown_rules(group.runs, group.validators)
    cells = [["method", *(_name(rule) for rule in chosen), "n"]]
    for row in group.rows:
        averages = [group.average(row, by) for by in chosen]
        cells.append([group.label(row), *map(str, averages), str(len(averages[0].values))])
    notes = ["oracle: the checkpoint is picked by target labels; an upper bound, not a result."]
    if "source_accuracy" in chosen and not any(float(run.split.get("holdout", 0)) for run in group.runs):
        notes.append("source accuracy: on training rows, since no source rows were held out.")
    caption = "Average over the pairs, by the rule that picks the checkpoint (n: seeds that ran on all pairs)."
    return Part(caption, cells, tuple(notes))


def comparison_part(group: Group) -> Part:
    """Methods x what they are compared with; only the header where there is nothing to compare with."""
    found = comparisons(group)
    references = [name for name in ("source_only", "control") if any(c.against[0] == name for c in found)]
    columns = [heading for name in references for heading in (f"vs {name}", "95 % interval", "pairs", "p (smallest)")]
    cells = [["method", *columns]]
    for row in dict.fromkeys(comparison.row for comparison in found):
        line = [group.label(row)]
        for name in references:
            line += _compared(next((c for c in found if c.row == row and c.against[0] == name), None))
        cells.append(line)
    written = {"source_only": "source_only", "control": "the control of its own forward mode"}
    caption = (
        f"Each method against {' and '.join(written[name] for name in references) or 'others'}, at the last checkpoint: mean "
        "difference over the pairs in percentage points, pairs better : worse, exact Wilcoxon signed-rank test over the pairs."
    )
    notes = (
        "interval: Student's t over the pairs, whose number is small and which share domains; a pair counts with the mean "
        "over the seeds that both ran.",
        "p: two-sided, beside the smallest p that so many differences can give; not adjusted for the number of methods.",
    )
    return Part(caption, cells, notes)


def _compared(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return ["–"] * 4
    interval = comparison.interval
    return [
        _signed(comparison.mean),
        "–" if interval is None else f"{_signed(interval[0])} to {_signed(interval[1])}",
        f"{comparison.wins} : {comparison.losses}",
        f"{_probability(comparison.p)} ({_probability(comparison.smallest_p)})",
    ]


def validators_part(group: Group) -> Part:
    """Rules x how well they pick."""
    cells = [["picked by", "regret", "worst", "regret over runs", "weighted Spearman", "lowest to highest pair"]]
    qualities = validator_quality(group)
    for quality in qualities:
        each = quality.correlations.values()
        cells.append(
            [
                _name(quality.rule),
                f"{quality.regret:.1f}",
                f"{quality.worst:.1f}",
                "–" if quality.overall_regret is None else f"{quality.overall_regret:.1f}",
                _correlation(quality.correlation),
                f"{_correlation(min(each))} to {_correlation(max(each))}" if each else "–",
            ]
        )
    count = qualities[0].runs if qualities else 0
    caption = (
        f"How well validators pick: oracle's {group.words.noun} minus that of the picked checkpoint in percentage points, "
        f"within a run (mean and worst of {count}) and over all runs of a pair (mean); correlation of score and "
        f"{group.words.noun} over all checkpoints of a pair."
    )
    notes = (
        "regret: the latest of equal scores is picked. regret over runs: one checkpoint is picked among those of all methods "
        "and seeds; among equal scores their mean accuracy counts.",
        "weighted Spearman: mean over the pairs; the top of both rankings counts most; 1 is perfect, 0 is blind.",
    )
    return Part(caption, cells, notes)


def validators_by_method_part(group: Group) -> Part:
    """Methods x validators: within which methods a score follows the accuracy."""
    rows = [row for row in group.rows if not group.supervised(row)]
    scored = shown_rules(group.runs, group.validators)[1:-1]
    cells = [["method", *(_name(rule) for rule in scored)]]
    for row in rows:
        found = {quality.rule: quality.correlation for quality in validator_quality(group, row)}
        cells.append([group.label(row), *(_correlation(found.get(rule)) for rule in scored)])
    caption = f"Weighted Spearman correlation of score and {group.words.noun} over the checkpoints of one method alone."
    return Part(caption, cells)


PARTS: Mapping[str, Callable[[Group], Part]] = MappingProxyType(
    {
        "accuracy": accuracy_part,
        "selection": selection_part,
        "comparison": comparison_part,
        "validators": validators_part,
        "validators_by_method": validators_by_method_part,
        "sweep": sweep_part,
    }
)
"""The tables there are, by name."""


def made_parts(group: Group, names: tuple[str, ...]) -> tuple[list[Part], list[str]]:
    """The named parts that have rows, and all notes: those of the parts, then those on the records.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, groups, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> (group,) = groups(benchmark({"source_only": trained(source_only, Protocol(steps=30))}, pair, seeds=1))
        >>> made_parts(group, ("accuracy", "comparison"))[0][0].cells  # nothing to compare with
        [['method', 'A-W', 'W-A', 'Avg'], ['source_only', '100.0', '100.0', '100.0']]
    """
    made = [part for part in (PARTS[name](group) for name in names) if len(part.cells) > 1]
    notes = [note for part in made for note in part.notes]
    if any(line[0].endswith(MARK) for part in made for line in part.cells):
        inductive = any(float(run.split.get("target_test", 0.0)) for run in group.runs)
        rows = "the target rows that others see" if inductive else "80 % of the target rows"
        scored = "the same rows as they are" if inductive else "the other 20 %"
        notes.append(f"{MARK} trained on the labels of {rows}, scored on {scored}; no source rows.")
    for row, count in group.other_configurations:
        notes.append(f"{group.label(row)}: the newest configuration; {count} records of others are left out.")
    if group.left_out:
        notes.append(f"{group.left_out} older records of the same runs are left out.")
    return made, notes


def _title(group: Group) -> str:
    run = next((run for run in group.runs if run.protocol is not None), group.runs[0])
    protocol: Mapping[str, object] = run.config.get("protocol", {})
    shown = [f"{name} {protocol[name]}" for name in CAPTIONED if name in protocol]
    backbone = protocol.get("backbone")
    if isinstance(backbone, Mapping):
        shown.insert(0, f"backbone {backbone['name']}")
    modes = sorted({r.mode for r in group.runs} & {"joint", "separate"})
    shown += [f"{' and '.join(modes)} forward"] if modes else []
    shown += group.told
    seeds = len({r.seed for r in group.runs})
    unseen = float(run.split.get("target_test", 0.0))
    shown += (
        [f"inductive: on the {100 * unseen:g} % of the target rows that no method was trained on"] if unseen else []
    )
    about = f" ({', '.join(shown)})" if shown else ""
    over = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    explained = f" ({group.words.explained})" if group.headline == "class_accuracy" else ""
    return f"{group.title}{about}: {group.words.measured} in percent at the last checkpoint, {over}{explained}."


def _name(rule: str) -> str:
    return rule.replace("_", " ")


def _signed(value: float) -> str:
    """A difference in points; "-0.0" is a little below zero, and zero itself is "+0.0"."""
    return f"{round(value, 9) + 0.0:+.1f}"


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def _correlation(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}"
