"""One run, straight down: split, task, checkpoints, scores, record."""

from __future__ import annotations

import inspect
import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dalib import _checks
from dalib.benchmark import identity
from dalib.benchmark.checkpoint import Checkpoint, Method, evaluate, outputs_on
from dalib.benchmark.code import code
from dalib.benchmark.environment import environment
from dalib.benchmark.judge import Judge
from dalib.benchmark.kinds import CLOSED, ROLES
from dalib.benchmark.memory import PeakMemory
from dalib.benchmark.pictured import save_features
from dalib.benchmark.record import SCHEMA, Run, file_stem, finished_run
from dalib.benchmark.scenario import Scenario
from dalib.benchmark.scores import DESCRIPTIONS, SCORES, Score
from dalib.benchmark.select import check_names
from dalib.benchmark.target_supervised import TargetSupervised, configuration, plain_method, posed
from dalib.benchmark.task import Task
from dalib.benchmark.together import Order, lead
from dalib.benchmark.unfinished import Progressed, Unfinished
from dalib.evaluation import Evaluation


def run(
    method: Method | TargetSupervised,
    name: str,
    scenario: Scenario,
    seed: int,
    *,
    holdout: float = 0.0,
    target_test: float = 0.0,
    scores: Mapping[str, Score] = SCORES,
    out: Path | None = None,
    keep_features: bool = False,
    key: str | None = None,
) -> Run:
    """Run a method on a scenario, or serve the finished record of exactly this run.

    Args:
        method: What to run.
        name: What tables call it.
        scenario: Source and target.
        seed: Seed of split, initial weights and batches.
        holdout: Share of source rows kept out of training, for validators.
        target_test: Share of target rows that the method does not see and accuracy is measured on; 0 for the transductive
            protocol.
        scores: Validators by name.
        out: Folder of records; ``None`` keeps the record in memory alone.
        keep_features: Whether to store features of some rows for pictures beside the record.
        key: What :func:`run_key` gives, if it is known already.

    Returns:
        The record.

    Raises:
        TypeError: If the method does not yield checkpoints.
        ValueError: If it yields none, or a validator is called ``"last"`` or ``"oracle"``.

    Example:
        >>> from dalib.benchmark import Protocol, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))[0]
        >>> record = run(trained(source_only, Protocol(steps=30)), "source_only", pair, seed=0)
        >>> record.scenario, record.mode, record.checkpoints[-1]["accuracy"]
        ('A-W', 'source', 1.0)
    """
    check_scores(scores)
    _checks.at_least(seed, 0, "seed")
    seed = int(seed)  # of NumPy, JSON does not know it
    key = key or run_key(method, name, scenario, seed, holdout=holdout, target_test=target_test, scores=scores)
    stem = file_stem(name, scenario.name, seed, key)
    if out is not None and (finished := finished_run(out, stem, key)) is not None:
        return finished
    used, split = posed(method, scenario, seed, holdout, target_test)
    judge = Judge(used.target_labels(split), len(used.source.classes), used.kind, used.target_test(split))
    unfinished = None if out is None or not _goes_on(method) else Unfinished(out, stem, key)
    device = str(getattr(method, "device", "cpu"))
    memory = PeakMemory(device)
    order = Order(name, scenario.name, seed, holdout, target_test)
    checkpoints, seconds, last, predicted = _follow(method, used.task(split), order, judge, scores, unfinished)
    done = Run(
        method=name,
        scenario=scenario.name,
        dataset=scenario.dataset,
        seed=seed,
        mode=str(getattr(method, "mode", "")),
        supervised=isinstance(method, TargetSupervised),
        key=key,
        config=configuration(method, target_test),
        data=_data(scenario),
        split={**split.describe(), "holdout": float(holdout), "target_test": float(target_test)},
        checkpoints=checkpoints,
        seconds=seconds,
        environment={**environment(device), "peak_memory_mib": memory.mebibytes},
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if out is not None:
        if keep_features:
            save_features(out, stem, last, predicted, *_coloured(used, used.target.labels[split.target]))
        done.save(out)
    if unfinished is not None:
        unfinished.remove()
    return done


def run_key(
    method: Method | TargetSupervised,
    name: str,
    scenario: Scenario,
    seed: int,
    *,
    holdout: float = 0.0,
    target_test: float = 0.0,
    scores: Mapping[str, Score] = SCORES,
) -> str:
    """SHA-256 of all that decides a run's record: names, configuration, data, validators and code."""
    parts = {
        "schema": SCHEMA,
        "method": name,
        "scenario": [scenario.name, scenario.dataset, scenario.source.name, scenario.target.name],
        "roles": {role: list(getattr(scenario, role)) for role in ROLES},
        "data": scenario.fingerprint(),
        "config": identity.describe(method),
        "supervised": isinstance(method, TargetSupervised),
        "code": code([plain_method(method), dict(scores)]),
        "scores": identity.describe(dict(scores)),
        "seed": seed,
        "holdout": float(holdout),
        "target_test": float(target_test),
    }
    return identity.key(parts)


def check_scores(scores: object) -> None:
    """Raise unless ``scores`` are functions by name, and no name is that of a rule which needs none."""
    if not isinstance(scores, Mapping):
        raise TypeError(f'scores must be a mapping such as {{"entropy": entropy_score}}, got {type(scores).__name__}')
    for name, score in scores.items():
        if not isinstance(name, str) or not callable(score):
            raise TypeError(f"scores[{name!r}] must be a function of an evaluation under a string, got {score!r}")
    check_names(scores)


def _data(scenario: Scenario) -> dict[str, Any]:
    roles = {} if scenario.kind == CLOSED else {role: list(getattr(scenario, role)) for role in ROLES}
    return {
        "source": scenario.source.name,
        "target": scenario.target.name,
        "classes": len(scenario.source.classes),
        "fingerprint": scenario.fingerprint(),
        "source_fingerprint": scenario.domain_fingerprints[0],
        "target_fingerprint": scenario.domain_fingerprints[1],
        "kind": scenario.kind,
        "class_names": list(scenario.source.classes),
        **roles,
    }


def _coloured(scenario: Scenario, labels: NDArray[np.int64]) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Labels of the target rows and names of the classes for pictures: all that is unknown is one class."""
    names = (*scenario.source.classes, *(("unknown",) if scenario.unknown else ()))
    return torch.from_numpy(np.minimum(labels, len(names) - 1)), names


def _goes_on(method: Method | TargetSupervised) -> bool:
    """Whether a method can start from the state of a checkpoint: it takes ``state=``."""
    return "state" in inspect.signature(plain_method(method)).parameters


def _follow(
    method: Method | TargetSupervised,
    task: Task,
    order: Order,
    judge: Judge,
    scores: Mapping[str, Score],
    unfinished: Unfinished | None,
) -> tuple[list[dict[str, Any]], dict[str, float], Evaluation, NDArray[np.int64]]:
    """Every checkpoint of a method as a record keeps it, the seconds, the last evaluation and its predictions."""
    before = None if unfinished is None else unfinished.load()
    going_on = {} if before is None else {"state": before.state}
    if getattr(plain_method(method), "processes", 1) > 1:
        lead(order._replace(state=going_on.get("state")))
    generator = plain_method(method)(_own_labels(task), order.seed, **going_on)
    seconds = {"training": 0.0, "evaluation": 0.0} if before is None else dict(before.seconds)
    records: list[dict[str, Any]] = [] if before is None else list(before.checkpoints)
    evaluation: Evaluation | None = None
    details: dict[str, Any] = {}
    predicted = np.empty(0, np.int64)
    steps = iter(generator)
    while True:
        start = time.perf_counter()
        checkpoint = next(steps, None)
        seconds["training"] += time.perf_counter() - start
        if checkpoint is None:
            break
        if not isinstance(checkpoint, Checkpoint):
            raise TypeError(f"a method must yield dalib.benchmark.Checkpoint, got {type(checkpoint).__name__}")
        start = time.perf_counter()
        evaluation = evaluate(checkpoint, task)
        measured = evaluation.target
        if judge.test is not None:
            measured = outputs_on(checkpoint, judge.test, task, "target test")
        accuracies, details = judge.accuracies(checkpoint, measured)
        records.append(_scored(checkpoint, evaluation, accuracies, scores))
        predicted = judge.predicted(checkpoint, evaluation.target)
        seconds["evaluation"] += time.perf_counter() - start
        if unfinished is not None:
            unfinished.save(Progressed(records, seconds, checkpoint.state))
    if evaluation is None and before is not None:  # killed between the last checkpoint and the record
        return _follow(method, task, order, judge, scores, None)
    if evaluation is None:
        raise ValueError("a method must yield at least one checkpoint, got none")
    records[-1] |= details
    return records, {name: round(value, 3) for name, value in seconds.items()}, evaluation, predicted


def _own_labels(task: Task) -> Task:
    """The task with a copy of its labels: a method that writes into them does not change what its scores are told."""
    kept_out = task.source_held_out_labels
    return replace(
        task,
        source_labels=task.source_labels.copy(),
        source_held_out_labels=None if kept_out is None else kept_out.copy(),
    )


def _scored(
    checkpoint: Checkpoint, evaluation: Evaluation, accuracies: Mapping[str, float], scores: Mapping[str, Score]
) -> dict[str, Any]:
    target = evaluation.target
    parts = (evaluation.source, target, evaluation.source_held_out)
    tensors = (tensor for part in parts if part is not None for tensor in (part.features, part.logits))
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
    unscored: dict[str, str] = {}
    found = {
        part: {
            name: _scored_by(score, name, evaluation, unscored) if finite else None for name, score in entries.items()
        }
        for part, entries in (("scores", scores), ("descriptions", DESCRIPTIONS))
    }
    for name, reason in unscored.items():
        warnings.warn(f"{name} is null at step {checkpoint.step}: {reason}", stacklevel=2)
    return {
        "step": checkpoint.step,
        **accuracies,
        **found,
        "losses": {name: _number(value) for name, value in checkpoint.losses.items()},
        "notes": {name: _number(value) for name, value in checkpoint.notes.items()},
        **({"unscored": unscored} if unscored else {}),
    }


def _scored_by(score: Score, name: str, evaluation: Evaluation, unscored: dict[str, str]) -> float | None:
    """The score of a checkpoint; where its outputs have none, such as at a model that diverges, ``None`` and the reason."""
    try:
        return _number(score(evaluation))
    except (ValueError, np.linalg.LinAlgError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        unscored[name] = f"{type(error).__name__}: {error}"
        return None


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None
