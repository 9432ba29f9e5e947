"""Records sorted into what is compared with each other: one data set, one protocol, one row a method and forward mode."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dalib.benchmark import identity
from dalib.benchmark.kinds import KINDS, ROLES, WORDS, Words
from dalib.benchmark.record import BESIDE, Run
from dalib.benchmark.select import LAST, select

MARK = "†"
"""What stands behind the name of a row that was trained on target labels."""

CAPTIONED = ("steps", "batch_size", "bottleneck", "processes")
"""Fields of the protocol that every caption names."""

_SIDES = ("source", "target")

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
        left_out: Number of older records of runs that are there again with other code.
        validators: Validators that tables have a column for; ``None`` for the usual ones.
        other_configurations: Rows of which records with older options are left out, and how many.
        told: What sets this group apart from others of its title: protocol, held-out rows, classes, content of the data.
    """

    runs: tuple[Run, ...]
    left_out: int
    validators: tuple[str, ...] | None = None
    other_configurations: tuple[tuple[tuple[str, str], int], ...] = ()
    told: tuple[str, ...] = ()

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
    """Runs sorted into tables; of several configurations of one method, and records of one run, the newest is taken.

    Args:
        runs: Records, in any order.

    Returns:
        One group for each data set and its content, kind of scenario and choice of its classes, shares of held-out rows and
        protocol. The forward modes stand in one group; methods without a protocol of :func:`trained` stand beside the others
        in each.

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
    places: dict[tuple[str, int, tuple[tuple[str, ...], ...], tuple[float, float]], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.finished, run.key)):
        shares = float(run.split["holdout"]), float(run.split.get("target_test", 0.0))
        places.setdefault((run.dataset, list(KINDS).index(run.kind), run.roles, shares), []).append(run)
    made = []
    for _, members in sorted(places.items()):
        for same in _by_data(members):
            by_protocol: dict[str | None, list[Run]] = {}
            for run in same:
                by_protocol.setdefault(run.protocol, []).append(run)
            own = by_protocol.pop(None, [])
            made += [_newest([*own, *others]) for others in by_protocol.values() or [[]]]
    return _told_apart(made)


def _by_data(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs by the content of their domains: none stands beside one whose domain or pair of that name held other rows."""
    tables: list[tuple[dict[str, str], list[Run]]] = []
    for run in runs:
        content = _content(run)
        fitting = [
            table for table in tables if all(table[0].get(name, content[name]) == content[name] for name in content)
        ]
        if not fitting:
            fitting.append(({}, []))
            tables.append(fitting[0])
        known, members = fitting[0]
        known.update(content)
        members.append(run)
    return [members for _, members in tables]


def _content(run: Run) -> dict[str, str]:
    """Hashes of the domains, which old records lack, and of the pair."""
    found = [(_domain(run, side), run.data.get(f"{side}_fingerprint")) for side in _SIDES]
    found.append((run.scenario, run.data.get("fingerprint")))
    return {f"content of {name}": str(hashed) for name, hashed in found if hashed}


def _domain(run: Run, side: str) -> str:
    """A domain by its name, and by its side where that decides which classes it has: in all kinds but the closed one."""
    name = str(run.data.get(side))
    return name if run.kind == "closed" else f"{name} as {side}"


def _newest(runs: Sequence[Run]) -> Group:
    """One group of runs: of each method and mode the newest configuration, of each pair and seed its newest record."""
    ordered = sorted(runs, key=lambda run: (run.finished, run.key))
    newest = {(run.method, run.mode): _configuration(run) for run in ordered}
    shown = [run for run in ordered if _configuration(run) == newest[run.method, run.mode]]
    others = Counter((run.method, run.mode) for run in ordered if _configuration(run) != newest[run.method, run.mode])
    kept = {(run.method, run.mode, run.scenario, run.seed): run for run in shown}
    return Group(tuple(kept.values()), len(shown) - len(kept), other_configurations=tuple(sorted(others.items())))


def _configuration(run: Run) -> str:
    """Hash of what describes the method beside the protocol."""
    return identity.key({name: entry for name, entry in run.config.items() if name != "protocol"})


def _told_apart(made: Sequence[Group]) -> list[Group]:
    """The groups, each with what differs from the others of its title."""
    facts = [_facts(group) for group in made]
    told = []
    for group, own in zip(made, facts, strict=True):
        alike = [other for there, other in zip(made, facts, strict=True) if there.title == group.title]
        differing = {
            name: text
            for name, text in own.items()
            if any(other.get(name, text if name.startswith("content") else None) != text for other in alike)
        }
        domains = {f"content of {_domain(run, side)}" for run in group.runs for side in _SIDES}
        if domains & differing.keys():  # then those of the pairs say nothing more
            pairs = {f"content of {pair}" for pair in group.pairs} - domains
            differing = {name: text for name, text in differing.items() if name not in pairs}
        told.append(dataclasses.replace(group, told=tuple(differing.values())))
    return told


def _facts(group: Group) -> dict[str, str]:
    """What may differ between two tables of one title, in words, but for what every caption says."""
    run = next((run for run in group.runs if run.protocol is not None), group.runs[0])
    found = {
        name: f"{name.removeprefix('protocol.')} {value}"
        for name, value in _flat("protocol", run.config.get("protocol", {}))
        if name.removeprefix("protocol.") not in (*CAPTIONED, *BESIDE, "backbone.name")
    }
    if holdout := float(run.split.get("holdout", 0.0)):
        found["holdout"] = f"{100 * holdout:g} % of the source rows held out"
    for role, names in zip(ROLES, run.roles, strict=False):
        found[role] = f"{role.replace('_', ' ')}: {', '.join(names) or 'none'}"
    for each in group.runs:
        found |= {name: f"{name} {hashed[:12]}" for name, hashed in _content(each).items()}
    return found


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for inner, entry in value.items():
            yield from _flat(f"{name}.{inner}", entry)
    else:
        yield name, value
