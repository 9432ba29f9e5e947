"""Runs on the processes of torchrun: rank 0 runs the benchmark, the others train along as it tells them."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from dalib.benchmark.checkpoint import Method
from dalib.benchmark.scenario import Scenario
from dalib.benchmark.target_supervised import TargetSupervised, plain_method, posed

_PATIENCE = timedelta(days=7)
"""How long a process waits for the others: rank 0 evaluates and scores alone. If one ends, torchrun ends all."""


class Order(NamedTuple):
    """What the other processes need to train a run along."""

    method: str
    scenario: str
    seed: int
    holdout: float
    target_test: float
    state: Mapping[str, Any] | None = None
    """Of the method at the checkpoint from which it goes on."""


def torchrun_processes() -> int:
    """Number of processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def torchrun_rank() -> int:
    """Which of them this is; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def own_part(processes: int) -> tuple[int, int]:
    """Which part of a batch this process trains on, and of how many.

    Raises:
        ValueError: If so many processes are not there.

    Example:
        >>> own_part(1)
        (0, 1)
    """
    if processes == 1:
        return 0, 1
    there = dist.get_world_size() if dist.is_initialized() else 1
    if there != processes:
        raise ValueError(
            f"processes must be the number of processes that torchrun started, got {processes} and {there}; "
            f"use torchrun --nproc-per-node {processes} -m dalib run"
        )
    return dist.get_rank(), processes


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes of torchrun, on CUDA with one device each; nothing without torchrun.

    Raises:
        ValueError: If there are more processes than CUDA devices on this machine.
    """
    if torchrun_processes() == 1:
        yield
        return
    if device == "cuda":
        local, devices = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= devices:
            raise ValueError(f"torchrun must start at most {devices} processes here, one a CUDA device, got more")
        torch.cuda.set_device(local)
    # Default arguments there are the group at hand when it is imported, as torch.optim does at its first step: they would keep
    # the group alive to the end of Python, and a thread of gloo that then needs Python aborts the process.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    yield  # after an error the others may wait for this process: it ends without them, and torchrun ends them
    if dist.get_rank() == 0:
        _shared(None)
    dist.destroy_process_group()


def lead(order: Order) -> None:
    """On rank 0: let the others train this run along; the next thing that all do is to build its model."""
    _shared(order)


def follow(methods: Mapping[str, Method | TargetSupervised], scenarios: Sequence[Scenario]) -> None:
    """On the other ranks: train every run along that rank 0 orders, and evaluate, score and write nothing."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    torch.set_num_threads(1)
    while (order := _shared(None)) is not None:
        method = methods[order.method]
        used, split = posed(method, by_name[order.scenario], order.seed, order.holdout, order.target_test)
        going_on = {} if order.state is None else {"state": order.state}
        with contextlib.suppress(FloatingPointError):  # a loss of all rows: rank 0 meets it too, and says so
            for _ in plain_method(method)(used.task(split), order.seed, **going_on):
                pass


def _shared(order: Order | None) -> Order | None:
    """What rank 0 gives, on all processes."""
    content: list[Order | None] = [order]
    dist.broadcast_object_list(content, src=0)
    return content[0]
