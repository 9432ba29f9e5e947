"""The upper bound: a model trained on target labels, which the harness alone can make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.benchmark import identity
from dalib.benchmark.checkpoint import Method
from dalib.benchmark.scenario import Scenario, Split, stratified
from dalib.benchmark.task import hidden_rows
from dalib.data import Domain

SCORED_SHARE = 0.2
"""Share of the target rows that is kept out of training and scored."""


@dataclass(frozen=True)
class TargetSupervised:
    """A method that the harness gives labelled target rows in the place of the source.

    It is not callable, so it is no :data:`~dalib.benchmark.Method`: only the harness can run it, and every record and
    table marks it. Of the target rows of every class 80 % are trained on **with** labels; accuracy is measured on the
    other 20 %, which are never trained on. Source rows are not used. The rows that it is scored on are thus fewer
    than the ones that adapted models are scored on. In the inductive protocol it is trained on the rows that the others see
    without labels and scored on the same test rows as they are. A share of source rows to hold out is one of its labelled
    rows.

    Args:
        method: What is trained on the labelled target rows, as if they were a source.
    """

    method: Method

    @property
    def mode(self) -> str:
        """Forward mode of the method behind."""
        return str(getattr(self.method, "mode", ""))

    def describe(self) -> dict[str, Any]:
        """The method behind, with the share of rows that is scored in the transductive protocol."""
        described = identity.describe(self.method)
        return {**(described if isinstance(described, dict) else {"method": described}), "scored_share": SCORED_SHARE}


def configuration(method: Method | TargetSupervised, target_test: float) -> dict[str, Any]:
    """What a record keeps of a method; in the inductive protocol the split alone says what is scored."""
    described = identity.describe(method)
    config = described if isinstance(described, dict) else {"method": described}
    unused = {"scored_share"} if target_test and isinstance(method, TargetSupervised) else set()
    return {name: entry for name, entry in config.items() if name not in unused}


def labelled_scenario(scenario: Scenario, seed: int) -> Scenario:
    """The target alone, split in labelled rows (as the source) and scored rows (as the target).

    Args:
        scenario: Whose target is split.
        seed: Seed of the draw.

    Raises:
        ValueError: If the target is too small for a scored row, or has unknown classes.
    """
    check_no_unknown(scenario)
    domain = scenario.target
    number = int.from_bytes(hashlib.sha256(b"target_supervised").digest()[:4], "big")
    scored = stratified(domain.labels, SCORED_SHARE, np.random.default_rng([seed, number]))
    if len(scored) == 0:
        raise ValueError(
            f"target must have at least three rows in some class for target_supervised, got {len(domain)} rows"
        )
    trained = np.setdiff1d(np.arange(len(domain)), scored)
    return _posed(scenario, _part(domain, "labelled", trained), _part(domain, "scored", scored))


def _part(domain: Domain, role: str, rows: NDArray[np.int64]) -> Domain:
    return Domain(f"{domain.name} {role}", hidden_rows(domain.inputs, rows), domain.labels[rows], domain.classes)


def _posed(scenario: Scenario, labelled: Domain, target: Domain) -> Scenario:
    return Scenario(labelled, target, scenario.name, dataset=scenario.dataset, source_private=scenario.source_private)


def _inductive(scenario: Scenario, seed: int, holdout: float, target_test: float) -> tuple[Scenario, Split]:
    """The target's seen rows with labels (as the source) and without, and the test rows of every other method."""
    check_no_unknown(scenario)
    others = scenario.split(seed, 0.0, target_test)
    used = _posed(scenario, _part(scenario.target, "labelled", np.sort(others.target)), scenario.target)
    own = used.split(seed, holdout)
    return used, replace(own, target=others.target, target_test=others.target_test)


def plain_method(method: Method | TargetSupervised) -> Method:
    """The function behind an entry of a benchmark's methods."""
    return method.method if isinstance(method, TargetSupervised) else method


def posed(
    method: Method | TargetSupervised, scenario: Scenario, seed: int, holdout: float, target_test: float
) -> tuple[Scenario, Split]:
    """The scenario that an entry of a benchmark's methods is trained on, and its split."""
    if isinstance(method, TargetSupervised):
        if target_test:
            return _inductive(scenario, seed, holdout, target_test)
        used = labelled_scenario(scenario, seed)
        return used, used.split(seed, holdout)
    return scenario, scenario.split(seed, holdout, target_test)


def check_no_unknown(scenario: Scenario) -> None:
    """Raise if the target has unknown classes: with labelled rows of them they would not be unknown."""
    if scenario.unknown:
        raise ValueError(
            f"target_supervised must run on closed or partial scenarios, got the {scenario.kind} one {scenario.name}; "
            "leave it out"
        )


def target_supervised(method: Method) -> TargetSupervised:
    """The upper bound of a benchmark: ``method`` trained on labelled target rows.

    Args:
        method: For example ``trained(source_only, protocol)``: plain training, here on target rows.

    Returns:
        An entry for the ``methods`` of :func:`benchmark`; see :class:`TargetSupervised` for what it is scored on.

    Raises:
        TypeError: If ``method`` is not callable.

    Example:
        >>> from dalib.benchmark import trained
        >>> from dalib.methods import source_only
        >>> target_supervised(trained(source_only)).mode
        'source'
    """
    if not callable(method):
        raise TypeError(
            f"method must be a function (task, seed) such as trained(source_only), got {type(method).__name__}"
        )
    return TargetSupervised(method)
