"""Hyper-parameter search that maximises a validator, never the accuracy on the target."""

from __future__ import annotations

import functools
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dalib import _checks
from dalib.benchmark.engine import RunsFailedError, benchmark
from dalib.benchmark.record import Run
from dalib.benchmark.scenario import Scenario
from dalib.benchmark.scores import SCORES, Score
from dalib.benchmark.select import LAST, ORACLE, select
from dalib.benchmark.trained import Trained

Build = Callable[..., Trained]
"""Options -> method: ``lambda **options: trained(dan, protocol, **options)``."""


@dataclass(frozen=True)
class Trial:
    """One setting and what the validator says of it.

    Args:
        options: The setting.
        score: Mean over the runs of the validator's value at the checkpoint that it picks; ``None`` if a run has none, or
            its loss became NaN or infinite.
        runs: The records; without those of runs whose loss did.
    """

    options: dict[str, Any]
    score: float | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Search:
    """All settings that were tried, in order.

    Args:
        by: The validator.
        trials: The trials.
    """

    by: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial of the largest score; the first among equals.

        Raises:
            ValueError: If no trial has a score.
        """
        scored = [trial for trial in self.trials if trial.score is not None]
        if not scored:
            raise ValueError(f"trials must have a score by {self.by}, got none in {len(self.trials)} trials")
        return max(scored, key=lambda trial: trial.score)  # type: ignore[arg-type, return-value]

    def restricted(self, scenario: str) -> Search:
        """The same search judged on one scenario alone, for settings that are chosen for each pair by itself.

        Raises:
            ValueError: If no run is of that scenario.
        """
        chosen = [tuple(run for run in trial.runs if run.scenario == scenario) for trial in self.trials]
        complete = max(map(len, chosen), default=0)  # the loss of the runs that a trial lacks was not finite
        if not complete:
            known = ", ".join(sorted({run.scenario for trial in self.trials for run in trial.runs}))
            raise ValueError(f"scenario must be one of {known}, got {scenario!r}")
        scores = [_mean_score(runs, self.by) if len(runs) == complete else None for runs in chosen]
        trials = zip(self.trials, scores, chosen, strict=True)
        return Search(self.by, tuple(Trial(trial.options, score, runs) for trial, score, runs in trials))


def grid_search(
    build: Build,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
    scenarios: Iterable[Scenario],
    *,
    by: str,
    scores: Mapping[str, Score] = SCORES,
    **settings: Any,
) -> Search:
    """Try every setting of a grid.

    A setting whose loss becomes NaN or infinite has no score, which is warned of, and the others are tried all the same.
    Target accuracies stand in the records for reports; nothing here reads them. Report the accuracy of the best trial as
    that of the method *with its search*, and the number of trials with it.

    Args:
        build: Options -> method.
        grid: For each option the values to try, as in ``sklearn.model_selection.ParameterGrid``; or a list of such grids.
        scenarios: Source-target pairs that every setting runs on.
        by: Name of the validator in ``scores`` that is maximised.
        scores: Validators by name.
        **settings: Further arguments of :func:`benchmark`: ``seeds``, ``out``, ``jobs``, ``holdout``, ``progress``. With
            ``out`` finished runs are served when the search is repeated or its grid grows.

    Returns:
        The trials, in the order of the grid.

    Raises:
        TypeError: If ``build`` does not return what :func:`trained` makes.
        ValueError: If ``by`` is no validator (``"oracle"`` is refused), or the grid is empty.

    Example:
        >>> import numpy as np
        >>> from dalib.benchmark import Protocol, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import dan
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pairs = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))[:1]
        >>> build = lambda **options: trained(dan, Protocol(steps=20), **options)
        >>> found = grid_search(build, {"weight": [0.0, 1.0]}, pairs, by="entropy", seeds=1)
        >>> len(found.trials), sorted(found.best.options)
        (2, ['weight'])
    """
    from sklearn.model_selection import ParameterGrid

    _check_rule(by, scores)
    settings_to_try = list(ParameterGrid(grid))
    if not settings_to_try:
        raise ValueError("grid must hold at least one setting, got none")
    pairs = list(scenarios)
    trials = [_tried(build, options, pairs, by, {**settings, "scores": scores}) for options in settings_to_try]
    return Search(by, tuple(trials))


def optuna_search(
    build: Build,
    suggest: Callable[[Any], Mapping[str, Any]],
    scenarios: Iterable[Scenario],
    *,
    by: str,
    trials: int,
    seed: int = 0,
    scores: Mapping[str, Score] = SCORES,
    **settings: Any,
) -> Search:
    """Try settings that Optuna proposes (extra ``search``), one after the other; the same ones for the same ``seed``.

    Args:
        build: Options -> method.
        suggest: Optuna trial -> options: ``lambda trial: {"weight": trial.suggest_float("weight", 0.1, 10, log=True)}``.
        scenarios: Source-target pairs that every setting runs on.
        by: Name of the validator in ``scores`` that is maximised.
        trials: Number of settings, at least 1.
        seed: Seed of the proposals.
        scores: Validators by name.
        **settings: Further arguments of :func:`benchmark`; see :func:`grid_search`.

    Returns:
        The trials, in order.

    Raises:
        ImportError: If Optuna is not installed.
        ValueError: If ``by`` is no validator or ``trials`` is below 1.

    Example:
        >>> import numpy as np
        >>> from dalib.benchmark import Protocol, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import dan
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pairs = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))[:1]
        >>> build = lambda **options: trained(dan, Protocol(steps=20), **options)
        >>> suggest = lambda trial: {"weight": trial.suggest_float("weight", 0.1, 10.0, log=True)}
        >>> found = optuna_search(build, suggest, pairs, by="entropy", trials=2, seeds=1)
        >>> len(found.trials), 0.1 <= found.best.options["weight"] <= 10.0
        (2, True)
    """
    _check_rule(by, scores)
    _checks.at_least(trials, 1, "trials")
    try:
        import optuna
    except ImportError:
        raise ImportError("optuna_search needs Optuna; pip install 'dalib[search]', or use grid_search") from None
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    pairs = list(scenarios)

    def proposed() -> Iterator[Trial]:
        for _ in range(trials):
            asked = study.ask()
            tried = _tried(build, dict(suggest(asked)), pairs, by, {**settings, "scores": scores})
            failed = optuna.trial.TrialState.FAIL if tried.score is None else None
            study.tell(asked, tried.score, state=failed)
            yield tried

    return Search(by, tuple(proposed()))


def _check_rule(by: str, scores: Mapping[str, Score]) -> None:
    if by in (ORACLE, LAST) or by not in scores:
        why = "; the oracle reads target labels, which a search must not" if by == ORACLE else ""
        raise ValueError(f"by must be a validator, one of {', '.join(scores)}, got {by!r}{why}")


def _tried(
    build: Build, options: Mapping[str, Any], scenarios: list[Scenario], by: str, settings: Mapping[str, Any]
) -> Trial:
    method = build(**options)
    if not isinstance(method, Trained):
        raise TypeError(f"build must return what trained(recipe, ...) makes, got {type(method).__name__}")
    name = ",".join([_name(method.recipe), *(f"{option}={value}" for option, value in options.items())])
    try:
        runs = tuple(benchmark({name: method}, scenarios, **settings))
    except RunsFailedError as error:  # a setting whose loss diverges is no choice, and the others are still to be tried
        warnings.warn(f"a setting has no score: {error}", stacklevel=3)
        return Trial(dict(options), None, tuple(error.finished))
    return Trial(dict(options), _mean_score(runs, by), runs)


def _name(recipe: Any) -> str:
    inner = recipe.func if isinstance(recipe, functools.partial) else recipe
    return str(getattr(inner, "__name__", type(inner).__name__))


def _mean_score(runs: Sequence[Run], by: str) -> float | None:
    values = [select(run, by)["scores"][by] for run in runs]
    return None if any(value is None for value in values) else statistics.fmean(values)
