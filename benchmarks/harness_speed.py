"""How long the harness takes for nine methods on six pairs and three seeds of Office-31 features.

``python -m benchmarks.harness_speed office31_mobilenet_v2.npz`` (two processes, some minutes) writes
``results/harness_speed.json``: the wall time, and what of it is training, evaluation and the rest. Discriminators are
256 wide, CDAN's map is randomized with 1024 entries, both domains share a forward pass; validators are the default ones
at five checkpoints a run. ``gflops`` is the rate of matrix products of one core in the same process, to compare machines by.

Two bounds stand beside the time: what the runs took in their processes, and a training step of ``control`` beside the same
step written by hand in torch, with nothing of dalib, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.speed.timing import PRODUCT, Call, interleaved, product
from dalib.benchmark import Protocol, benchmark, scenarios, trained
from dalib.data import TensorInputs, office31, row_batches
from dalib.methods import cdan, control, dan, dann, deep_coral, dsan, jan, mcc, source_only
from dalib.training import FeatureClassifier, gradient_step, joint_forward, pair_batches

RESULT = Path(__file__).resolve().parent / "results" / "harness_speed.json"


ROWS, WIDTH, CLASSES = 32, 1280, 31
SGD = {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "fused": True}


def control_step() -> Call:
    """A step of ``control`` as the harness makes it: batches, joint forward, cross entropy, optimizer."""
    source, labels, target = rows_of_both_domains()
    model = FeatureClassifier(nn.Identity(), CLASSES, bottleneck=256, width=WIDTH)
    objective = control(model.width, CLASSES, 1000)
    step = gradient_step(model, objective, torch.optim.SGD(model.parameters(), **SGD), forward=joint_forward)
    pairs = pair_batches(row_batches(TensorInputs(source), labels=labels), row_batches(TensorInputs(target)))
    return lambda: step(*next(pairs))


def bare_step() -> Call:
    """The same products in the same order, from torch alone and without a check."""
    source, labels, target = rows_of_both_domains()
    bottleneck = nn.Sequential(nn.Linear(WIDTH, 256), nn.BatchNorm1d(256), nn.ReLU())
    head = nn.Linear(256, CLASSES)
    optimizer = torch.optim.SGD([*bottleneck.parameters(), *head.parameters()], **SGD)

    def step() -> None:
        of_source, of_target = torch.randint(len(source), (ROWS,)), torch.randint(len(target), (ROWS,))
        logits = head(bottleneck(torch.cat([source[of_source], target[of_target]])))
        optimizer.zero_grad()
        F.cross_entropy(logits[:ROWS], labels[of_source]).backward()
        optimizer.step()

    return step


def rows_of_both_domains() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As many as the largest and the smallest domain of Office-31 have."""
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, WIDTH, generator=generator).relu() for n in (2817, 498))
    return source, torch.arange(2817) % CLASSES, target


def main() -> None:
    """Run, sum up, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    protocol = Protocol(forward=joint_forward)
    recipes = (source_only, control, dan, deep_coral, jan, dsan, mcc)
    methods = {recipe.__name__: trained(recipe, protocol) for recipe in recipes}
    methods |= {
        "dann": trained(dann, protocol, hidden=256),
        "cdan": trained(cdan, protocol, hidden=256, randomized=1024),
    }
    pairs = scenarios(office31(options.features))
    torch.set_num_threads(1)
    load = round(os.getloadavg()[0], 2)
    start = time.perf_counter()
    runs = benchmark(methods, pairs, seeds=3, jobs=options.jobs)
    wall = time.perf_counter() - start
    parts = {part: sum(run.seconds[part] for run in runs) for part in ("training", "evaluation")}
    each = {
        name: round(sum(sum(run.seconds.values()) for run in runs if run.method == name) / 18, 2) for name in methods
    }
    beside = interleaved({"harness": control_step(), "bare": bare_step(), "product": product()}, seconds=15.0)
    record = {
        "question": "wall seconds of 162 runs (9 methods, 6 pairs, 3 seeds), one torch thread a process",
        "wall_seconds": round(wall, 1),
        "processes": options.jobs,
        "seconds_in_runs": {part: round(value, 1) for part, value in parts.items()},
        "bound_wall_seconds": round(sum(parts.values()) / options.jobs, 1),
        "seconds_a_run": each,
        "control_step_over_bare_step": round(beside["harness"] / beside["bare"], 2),
        "bare_step_milliseconds": round(beside["bare"], 2),
        "protocol": "joint forward, bottleneck 256, five checkpoints; discriminators 256 wide, CDAN randomized to 1024",
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "load_before": load,
        "gflops": round(PRODUCT / beside["product"] / 1e6, 1),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
