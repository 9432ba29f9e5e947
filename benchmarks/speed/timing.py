"""How long calls take next to one another: CPU time of one thread, interleaved, medians; and what the machine can do."""

from __future__ import annotations

import math
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

Call = Callable[[], object]


def interleaved(calls: dict[str, Call], *, seconds: float = 5.0, least: int = 9, most: int = 200) -> dict[str, float]:
    """Median CPU milliseconds of each call, made in turns: A B C A B C.

    Calls of less than half a second come after one that does not count: it finds the caches and the heap as another one's
    turn left them. The shortest are repeated within a turn until a turn takes some 20 milliseconds, for the clock of a
    process is coarse. A call that has had ``least`` turns and half of the seconds sits out, so that a slow one does not
    leave the others with few turns.
    """
    shortest = {name: _shortest(call) for name, call in calls.items()}
    repeats = {name: max(1, min(50, int(0.02 / each))) for name, each in shortest.items()}
    spent: dict[str, list[float]] = {name: [] for name in calls}

    def sits_out(name: str) -> bool:
        return len(spent[name]) >= least and repeats[name] * sum(spent[name]) > seconds / 2

    started = time.process_time()
    while playing := [name for name in calls if not sits_out(name)]:
        turns = min(len(spent[name]) for name in calls)
        if turns >= most or (turns >= least and time.process_time() - started > seconds):
            break
        for name in playing:
            if shortest[name] < 0.5:
                calls[name]()
            before = time.process_time()
            for _ in range(repeats[name]):
                calls[name]()
            spent[name].append((time.process_time() - before) / repeats[name])
    return {name: 1e3 * statistics.median(times) for name, times in spent.items()}


def _shortest(call: Call) -> float:
    """Seconds of a call, the best of a few: the first ones of a process are slow."""
    spent: list[float] = []
    while len(spent) < 2 or (len(spent) < 6 and min(spent) < 0.1):
        spent.append(_once(call))
    return min(spent)


def forward_and_backward(loss: Callable[..., Tensor], *samples: object) -> Call:
    """A call of the public function through autograd, as in a training step: no gradient is there when it begins."""
    tensors: list[Tensor] = []

    def leaves(sample: object) -> object:
        if isinstance(sample, tuple):
            return tuple(leaves(part) for part in sample)
        if isinstance(sample, Tensor):
            tensors.append(sample.detach().clone().requires_grad_())
            return tensors[-1]
        return sample

    inputs = [leaves(sample) for sample in samples]

    def call() -> None:
        for tensor in tensors:
            tensor.grad = None
        loss(*inputs).backward()

    return call


PRODUCT = 2 * 1024**3
"""Floating-point operations of a call of :func:`product`."""

EXPONENTIALS = 2**16
"""What a call of :func:`exponentials` makes."""


def product() -> Call:
    """A product of square matrices in float32, large enough for the machine's full rate."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return lambda: a @ b


def exponentials() -> Call:
    """Exponentials of numbers that are in the cache."""
    x, out = -torch.rand(EXPONENTIALS), torch.empty(EXPONENTIALS)
    return lambda: torch.exp(x, out=out)


def _once(call: Call) -> float:
    before = time.process_time()
    call()
    return max(time.process_time() - before, 1e-9)


def best_cuda_seconds(call: Call, times: int = 5) -> float:
    """Wall seconds of a call on a CUDA device, waited for; the best of some, after one to warm up."""
    best = math.inf
    for _ in range(times + 1):
        torch.cuda.synchronize()
        before = time.perf_counter()
        call()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - before)
    return best


def extra_megabytes(build: Callable[[], Call]) -> float:
    """Peak memory that a call adds to a process of its own which holds its inputs."""
    reader, writer = multiprocessing.get_context("fork").Pipe()

    def child() -> None:
        call = build()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        writer.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return float(reader.recv()) if reader.poll() else float("nan")
