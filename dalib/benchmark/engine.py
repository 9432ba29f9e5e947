"""All runs of a benchmark: methods x scenarios x seeds, in parallel, finished ones served from their records."""

from __future__ import annotations

import inspect
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dalib import _checks
from dalib.benchmark.checkpoint import Method
from dalib.benchmark.record import Run, file_stem, finished_run
from dalib.benchmark.run import check_scores, run, run_key
from dalib.benchmark.scenario import Scenario, check_share
from dalib.benchmark.scores import SCORES, Score
from dalib.benchmark.target_supervised import TargetSupervised, check_no_unknown

_MOST_SEEDS = 10_000
_ONE_RUN = threading.RLock()
"""Held by a run: random numbers and the number of threads are the process's, so runs in threads would mix them."""


@dataclass(frozen=True)
class Progress:
    """What a benchmark reports each time a run ends.

    Args:
        run: The record; ``None`` in the report at the start.
        done: Runs that are finished, those served from records included.
        total: Runs of the benchmark.
        served: How many of them were served from records.
        left: Estimate of the seconds that are left, or ``None`` before the first run ends.
    """

    run: Run | None
    done: int
    total: int
    served: int
    left: float | None


class RunsFailedError(RuntimeError):
    """The loss or the features of some runs became NaN or infinite.

    Args:
        message: Which runs, and why.
        finished: The records of the others, in the order of :func:`benchmark`.

    Example:
        >>> RunsFailedError("1 of 2 runs failed", []).finished
        []
    """

    def __init__(self, message: str, finished: Sequence[Run] = ()) -> None:
        super().__init__(message)
        self.finished = finished


@dataclass(frozen=True)
class _Job:
    method: Method | TargetSupervised
    name: str
    scenario: Scenario
    seed: int
    holdout: float
    target_test: float
    scores: Mapping[str, Score]
    out: Path | None
    keep_features: bool
    key: str

    @property
    def label(self) -> str:
        return f"{self.name} on {self.scenario.name}, seed {self.seed}"


def benchmark(
    methods: Mapping[str, Method | TargetSupervised],
    scenarios: Iterable[Scenario],
    *,
    seeds: int | Sequence[int] = (0, 1, 2),
    out: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    holdout: float = 0.0,
    target_test: float = 0.0,
    scores: Mapping[str, Score] = SCORES,
    progress: Callable[[Progress], None] | None = None,
) -> list[Run]:
    """Run every method on every scenario with every seed.

    Each run is one record file, written whole and renamed into place as soon as the run ends. A run whose record is
    there already (same configuration, data and code) is served from it, so an interrupted benchmark goes on where it
    stopped when it is called again. Every run uses one torch thread.

    Args:
        methods: What to run, by the name that tables show: :func:`trained` recipes,
            :func:`target_supervised`, or any function ``(task, seed) -> iterator of Checkpoint``.
        scenarios: Source-target pairs; see :func:`scenarios`.
        seeds: The seeds, or their number: ``3`` is ``(0, 1, 2)``.
        out: Folder of the records, made if it is missing. Default: records stay in memory.
        jobs: Number of processes, from joblib's backend: ``"loky"``, its own, or ``"dask"``. Threads are refused, since
            random numbers belong to a process.
        holdout: Share of source rows kept out of training for validators. Default 0, the field's standard protocol.
        target_test: Share of target rows that no method sees and accuracy is measured on. Default 0, the field's standard
            protocol: it is measured on the rows that are seen without labels.
        scores: Validators by name, evaluated at every checkpoint.
        progress: Called when the benchmark starts and whenever a run ends.

    Returns:
        The records, ordered by seed, scenario and method.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If there is nothing to run, two scenarios share a name, a validator is called ``"last"`` or ``"oracle"``,
            or ``out`` cannot be written.
        RunsFailedError: After all other runs are finished, if the loss or the features of some became NaN or infinite; a
            ``RuntimeError`` that holds the others.

    Example:
        >>> from dalib.benchmark import Protocol, scenarios, select, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> import numpy as np
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> easy = arrays({"amazon": (x, y), "webcam": (2 * x, y)})
        >>> runs = benchmark({"source_only": trained(source_only, Protocol(steps=30))}, scenarios(easy), seeds=1)
        >>> [(run.scenario, select(run, "last")["accuracy"]) for run in runs]
        [('A-W', 1.0), ('W-A', 1.0)]
    """
    if not isinstance(scenarios, Iterable):
        raise TypeError(f"scenarios must be a sequence of Scenario, got {type(scenarios).__name__}")
    jobs_left, finished = _prepared(methods, list(scenarios), seeds, out, jobs, (holdout, target_test), scores)
    total, served = len(jobs_left) + len(finished), len(finished)
    if progress is not None:
        progress(Progress(None, served, total, served, None if jobs_left else 0.0))
    start = time.monotonic()
    failed: list[str] = []
    ended = 0
    for position, result in _executed(jobs_left, jobs):
        ended += 1
        if isinstance(result, str):
            failed.append(result)
            continue
        finished[position] = result
        if progress is not None:
            left = (time.monotonic() - start) / ended * (len(jobs_left) - ended)
            progress(Progress(result, len(finished), total, served, left))
    if failed:
        raise RunsFailedError(
            f"{len(failed)} of {total} runs failed, the others are finished: {'; '.join(failed)}",
            [finished[position] for position in sorted(finished)],
        )
    return [finished[position] for position in range(total)]


def _prepared(
    methods: Mapping[str, Method | TargetSupervised],
    scenarios: Sequence[Scenario],
    seeds: int | Sequence[int],
    out: str | os.PathLike[str] | None,
    jobs: int,
    shares: tuple[float, float],
    scores: Mapping[str, Score],
) -> tuple[list[tuple[int, _Job]], dict[int, Run]]:
    """The jobs that are left with their positions, and the finished runs by position."""
    numbers = _numbers(seeds)
    _check(methods, scenarios)
    check_scores(scores)
    _checks.at_least(jobs, 1, "jobs")
    if jobs > 1:
        _check_backend(jobs)
    check_share(shares[0], "holdout")
    check_share(shares[1], "target_test")
    for scenario in scenarios:
        scenario.fingerprint()  # reads every row: a damaged file is named before a folder is made
        if shares[1]:
            for seed in numbers:
                scenario.split(seed, *shares)  # raises where the rows that it leaves cannot be measured on
    folder = None if out is None else _writable(out)
    left: list[tuple[int, _Job]] = []
    finished: dict[int, Run] = {}
    for seed in numbers:
        for scenario in scenarios:
            for name, method in methods.items():
                key = run_key(method, name, scenario, seed, holdout=shares[0], target_test=shares[1], scores=scores)
                job = _Job(method, name, scenario, seed, *shares, scores, folder, seed == numbers[0], key)
                position = len(left) + len(finished)
                stem = file_stem(name, scenario.name, seed, key)
                done = None if folder is None else finished_run(folder, stem, key)
                if done is None:
                    left.append((position, job))
                else:
                    finished[position] = done
    return left, finished


def _numbers(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, np.integer):
        seeds = int(seeds)
    if isinstance(seeds, int):
        _checks.at_least(seeds, 1, "seeds")
        if seeds > _MOST_SEEDS:
            raise ValueError(f"seeds must be a number of seeds up to {_MOST_SEEDS}, got {seeds}; name one as [{seeds}]")
        return list(range(seeds))
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be an integer or a sequence of integers, got {type(seeds).__name__}")
    numbers = [int(seed) if isinstance(seed, np.integer) else seed for seed in seeds]
    if not numbers or len(set(numbers)) != len(numbers):
        raise ValueError(f"seeds must be different numbers, at least one, got {numbers}")
    for number in numbers:
        _checks.at_least(number, 0, "seeds")
    return numbers


def _check(methods: Mapping[str, Method | TargetSupervised], scenarios: Sequence[Scenario]) -> None:
    if not isinstance(methods, Mapping):
        raise TypeError(f'methods must be a mapping such as {{"mine": trained(mine)}}, got {type(methods).__name__}')
    if not methods or not scenarios:
        raise ValueError(f"methods and scenarios must not be empty, got {len(methods)} and {len(scenarios)}")
    for name, method in methods.items():
        if not isinstance(name, str):
            raise TypeError(f"methods must have names that are strings, got {name!r}")
        if not callable(method) and not isinstance(method, TargetSupervised):
            raise TypeError(f"methods[{name!r}] must be a function (task, seed), got {type(method).__name__}")
        if not _takes_task_and_seed(method):
            raise TypeError(f"methods[{name!r}] must take (task, seed), got {method!r}; wrap a recipe: trained(recipe)")
    for scenario in scenarios:
        if not isinstance(scenario, Scenario):
            raise TypeError(f"scenarios must hold Scenario, got {type(scenario).__name__}; see scenarios(domain_set)")
        if any(isinstance(method, TargetSupervised) for method in methods.values()):
            check_no_unknown(scenario)
    names = [scenario.name for scenario in scenarios]
    if len(set(names)) != len(names):
        raise ValueError(f"scenarios must have different names, got {', '.join(names)}")


def _takes_task_and_seed(method: object) -> bool:
    if isinstance(method, TargetSupervised):
        return True
    try:
        inspect.signature(method).bind(None, 0)  # type: ignore[arg-type]
    except TypeError:
        return False
    except ValueError:  # a function of another language says nothing of its arguments
        return True
    return True


def _check_backend(jobs: int) -> None:
    """Raise a ValueError unless the backend of joblib that is chosen has processes, and gives results as they come."""
    from joblib.parallel import get_active_backend

    chosen, _ = get_active_backend()
    name = type(chosen).__name__.removesuffix("Backend").lower()
    if name == "sequential":  # one run after another
        return
    if getattr(chosen, "supports_sharedmem", False):
        reason = "of processes: threads share their random numbers"
    elif not getattr(chosen, "supports_return_generator", False):
        reason = "that gives results as they come"
    else:
        return
    raise ValueError(f"jobs must be 1, or joblib's backend one {reason}, got {jobs} and {name}; use loky or dask")


def _writable(out: str | os.PathLike[str]) -> Path:
    if not os.fspath(out):
        raise ValueError("out must be the name of a folder, got an empty one")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"out must be a folder that can be written, got {str(folder)!r} ({error.strerror}); choose another one"
        ) from None
    return folder


def _executed(jobs: Sequence[tuple[int, _Job]], processes: int) -> Iterator[tuple[int, Run | str]]:
    """Every job's position with its record, or with a sentence if its loss was not finite; in the order of ending."""
    if processes == 1 or len(jobs) <= 1:
        yield from (_execute(job) for job in jobs)
        return
    import joblib

    parallel = joblib.Parallel(n_jobs=min(processes, len(jobs)), return_as="generator_unordered", batch_size=1)
    yield from parallel(joblib.delayed(_execute)(job) for job in jobs)


def _execute(numbered: tuple[int, _Job]) -> tuple[int, Run | str]:
    position, job = numbered
    with _ONE_RUN:  # workers of Dask may be threads
        return position, _alone(job)


def _alone(job: _Job) -> Run | str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(
            job.method,
            job.name,
            job.scenario,
            job.seed,
            holdout=job.holdout,
            target_test=job.target_test,
            scores=job.scores,
            out=job.out,
            keep_features=job.keep_features,
            key=job.key,
        )
    except FloatingPointError as error:
        return f"{job.label}: {error}"
    except Exception as error:
        error.add_note(f"in the run of {job.label}")
        raise
    finally:
        torch.set_num_threads(threads)
