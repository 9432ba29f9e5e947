"""Which checkpoint of a run is reported: the last, the one that a validator picks, or the oracle's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dalib.benchmark.ranks import comparable
from dalib.benchmark.record import Run
from dalib.benchmark.scores import SCORES

LAST = "last"
ORACLE = "oracle"
SHOWN = ("source_accuracy", "entropy", "information_maximization", "snd", "class_ami")
"""Columns of a table unless others are asked for: those of the usual validators that have a name to recognise."""


def select(run: Run, by: str) -> dict[str, Any]:
    """The checkpoint of a run that a rule picks.

    Among equal scores (those that agree in 12 significant digits) the later checkpoint is taken. A checkpoint whose score
    is not a number is never picked by it, unless no other is left: then the last one is taken.

    Args:
        run: The record.
        by: ``"last"``; the name of a validator in the record; or ``"oracle"``, which picks by the number that tables show,
            thus by target labels, as nobody can who has none: an upper bound to compare with, never a result.

    Returns:
        The checkpoint's fields: ``step``, ``accuracy``, ``scores`` and so on.

    Raises:
        ValueError: If the record has no such score.

    Example:
        >>> from dalib.benchmark import Protocol, benchmark, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> methods = {"source_only": trained(source_only, Protocol(steps=30))}
        >>> (run, *_) = benchmark(methods, pair, seeds=1)
        >>> select(run, "last")["step"], select(run, "oracle")["accuracy"]
        (30, 1.0)
    """
    if by == LAST:
        return run.checkpoints[-1]
    if by == ORACLE:
        values = [checkpoint[run.headline] for checkpoint in run.checkpoints]
    else:
        if by not in run.checkpoints[-1]["scores"]:
            known = ", ".join([LAST, *run.checkpoints[-1]["scores"], ORACLE])
            raise ValueError(f"by must be one of {known}, got {by!r}")
        values = [checkpoint["scores"][by] for checkpoint in run.checkpoints]
    numbered = [(comparable(value), position) for position, value in enumerate(values) if value is not None]
    return run.checkpoints[max(numbered)[1] if numbered else -1]


def check_names(scores: Iterable[str]) -> None:
    """Raise if a validator has the name of a rule that needs none.

    Example:
        >>> check_names(["oracle"])
        Traceback (most recent call last):
            ...
        ValueError: scores must have other names than last and oracle, which are rules of their own, got 'oracle'
    """
    for name in scores:
        if name in (LAST, ORACLE):
            raise ValueError(
                f"scores must have other names than {LAST} and {ORACLE}, which are rules of their own, got {name!r}"
            )


def rules(runs: Sequence[Run]) -> list[str]:
    """The rules that all runs can be selected by: last, the validators that every record holds, oracle."""
    shared = [
        name for name in runs[0].checkpoints[-1]["scores"] if all(name in r.checkpoints[-1]["scores"] for r in runs)
    ]
    return [LAST, *shared, ORACLE]


def shown_rules(runs: Sequence[Run], validators: Sequence[str] | None = None) -> list[str]:
    """The rules that a table has room for: last, some validators, oracle.

    Args:
        runs: Records.
        validators: Names of validators that every record holds. Default: of the usual ones those in ``SHOWN``, and every
            other one, since somebody asked for it.

    Returns:
        Names for :func:`select`.

    Raises:
        ValueError: If the records do not all hold a validator.

    Example:
        >>> run = Run.__new__(Run)  # a record of which only the scores matter here
        >>> object.__setattr__(run, "checkpoints", [{"scores": {"entropy": -0.1, "rankme": 9.0, "mine": 1.0}}])
        >>> shown_rules([run]), shown_rules([run], ["rankme"])
        (['last', 'entropy', 'mine', 'oracle'], ['last', 'rankme', 'oracle'])
    """
    shared = rules(runs)[1:-1]
    if validators is None:
        return [LAST, *(name for name in shared if name in SHOWN or name not in SCORES), ORACLE]
    unknown = [name for name in validators if name not in shared]
    if unknown:
        raise ValueError(f"validators must be among {', '.join(shared) or 'none'}, got {', '.join(unknown)}")
    return [LAST, *dict.fromkeys(validators), ORACLE]
