"""Records sorted into what is compared with each other: one data set, one protocol, one row a method and forward mode."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dalib.benchmark.kinds import KINDS, WORDS, Words
from dalib.benchmark.record import Run
from dalib.benchmark.select import LAST, select

MARK = "†"
"""What stands behind the name of a row that was trained on target labels."""

_MODES = ("source", "", "joint", "separate")


@dataclass(frozen=True)
class Cell:
    """What a table shows of a method on a pair, in percent: one number a seed.

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
    """Runs that belong in one table: one data set, one choice of classes and one protocol.

    Args:
        runs: At most one for each method, mode, pair and seed.
        left_out: Number of older records of runs that are there again with other code or options.
        validators: Validators that tables have a column for; ``None`` for the usual ones.
    """

    runs: tuple[Run, ...]
    left_out: int
    validators: tuple[str, ...] | None = None

    @functools.cached_property
    def pairs(self) -> list[str]:
        """Names of the scenarios, in order of name."""
        return sorted({run.scenario for run in self.runs})

    @functools.cached_property
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
        return f"{row[0]}{shown}{f' {MARK}' if self.supervised(row) else ''}"

    @property
    def kind(self) -> str:
        """Kind of the scenarios: ``"closed"``, ``"partial"``, ``"open"`` or ``"universal"``."""
        return self.runs[0].kind

    @property
    def title(self) -> str:
        """Name of the data set, and of the kind of its scenarios if they are not closed: ``"office31, open-set"``."""
        return self.runs[0].title

    @property
    def headline(self) -> str:
        """The number of a checkpoint that the tables show: ``"accuracy"``, ``"class_accuracy"`` or ``"harmonic"``."""
        return self.runs[0].headline

    @property
    def words(self) -> Words:
        """What that number is called."""
        return WORDS[self.headline]

    def cell(self, row: tuple[str, str], pair: str, by: str = LAST) -> Cell:
        """The headline of a row on a pair, by seed, at the checkpoint that ``by`` picks."""
        chosen = sorted((r for r in self.runs if (r.method, r.mode, r.scenario) == (*row, pair)), key=lambda r: r.seed)
        return Cell(tuple(100 * float(select(run, by)[self.headline]) for run in chosen))

    def average(self, row: tuple[str, str], by: str = LAST, *, number: str | None = None) -> Cell:
        """For each seed that ran on all pairs, the mean over the pairs of the headline, or of another ``number``."""
        return self.averaged(row, lambda run: float(select(run, by)[number or self.headline]))

    def averaged(self, row: tuple[str, str], share: Callable[[Run], float]) -> Cell:
        """For each seed that ran on all pairs, the mean over the pairs of a share that is read from each run."""
        by_seed: dict[int, list[float]] = {}
        for run in self.runs:
            if (run.method, run.mode) == row:
                by_seed.setdefault(run.seed, []).append(100 * share(run))
        complete = {seed: values for seed, values in by_seed.items() if len(values) == len(self.pairs)}
        return Cell(tuple(statistics.fmean(complete[seed]) for seed in sorted(complete)))


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs sorted into tables; of several records of one run the newest is taken.

    Args:
        runs: Records, in any order.

    Returns:
        One group for each data set, kind of scenario and choice of its classes, shares of held-out rows and protocol. The
        forward modes stand in one group; methods without a protocol of :func:`trained` stand beside the others in each.

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
    tables: dict[tuple[str, int, tuple[tuple[str, ...], ...], tuple[float, float]], dict[str | None, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: (run.finished, run.key)):
        shares = float(run.split["holdout"]), float(run.split.get("target_test", 0.0))
        place = (run.dataset, list(KINDS).index(run.kind), run.roles, shares)
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
