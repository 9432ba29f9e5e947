"""How long the harness takes for nine methods on six pairs and three seeds of Office-31 features.

``python -m benchmarks.harness_speed office31_mobilenet_v2.npz`` (two processes, some minutes) writes
``results/harness_speed.json``: the wall time, and what of it is training, evaluation and the rest. Discriminators are
256 wide, CDAN's map is randomized with 1024 entries, both domains share a forward pass; validators are the default ones
at five checkpoints a run. ``gflops`` is the rate of matrix products of one core in the same process, to compare machines by.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch

from benchmarks.speed.timing import PRODUCT, interleaved, product
from dalib.benchmark import Protocol, benchmark, scenarios, trained
from dalib.data import office31
from dalib.methods import cdan, control, dan, dann, deep_coral, dsan, jan, mcc, source_only
from dalib.training import joint_forward

RESULT = Path(__file__).resolve().parent / "results" / "harness_speed.json"


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
    load = round(os.getloadavg()[0], 2)
    start = time.perf_counter()
    runs = benchmark(methods, pairs, seeds=3, jobs=options.jobs)
    wall = time.perf_counter() - start
    parts = {part: sum(run.seconds[part] for run in runs) for part in ("training", "evaluation")}
    each = {
        name: round(sum(sum(run.seconds.values()) for run in runs if run.method == name) / 18, 2) for name in methods
    }
    record = {
        "question": "wall seconds of 162 runs (9 methods, 6 pairs, 3 seeds), one torch thread a process",
        "wall_seconds": round(wall, 1),
        "processes": options.jobs,
        "seconds_in_runs": {part: round(value, 1) for part, value in parts.items()},
        "bound_wall_seconds": round(sum(parts.values()) / options.jobs, 1),
        "seconds_a_run": each,
        "protocol": "joint forward, bottleneck 256, five checkpoints; discriminators 256 wide, CDAN randomized to 1024",
        "torch": torch.__version__,
        "machine": platform.machine(),
        "load_before": load,
        "gflops": round(PRODUCT / interleaved({"product": product()})["product"] / 1e6, 1),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
