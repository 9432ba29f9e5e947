"""Whether three seeds of a method train faster as one batched network than one after another.

``OMP_NUM_THREADS=1 python -m benchmarks.seeds_at_once`` (a minute) writes ``results/seeds_at_once.json``: CPU milliseconds
of a step of all three seeds, in turns in one process, and how far the first step's losses are apart. Networks and
objectives are stacked and mapped by ``torch.func.vmap``; the optimizer is the same on stacked parameters.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.speed.timing import PRODUCT, interleaved, product
from dalib.methods import Recipe, cdan, dan, dann, source_only
from dalib.objective import Objective
from dalib.outputs import Batch
from dalib.training import FeatureClassifier, gradient_step, joint_forward, outputs_of

RESULT = Path(__file__).resolve().parent / "results" / "seeds_at_once.json"
SEEDS, ROWS, FEATURES, CLASSES = 3, 32, 1280, 31
METHODS: dict[str, tuple[Recipe, dict[str, Any]]] = {
    "source_only": (source_only, {}),
    "dan": (dan, {}),
    "dann": (dann, {"hidden": 256}),
    "cdan": (cdan, {"hidden": 256, "randomized": 1024}),
}


class Trainable(nn.Module):
    """A network and what it minimises: batches in, loss out."""

    def __init__(self, recipe: Recipe, options: Mapping[str, Any], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.model = FeatureClassifier(nn.Identity(), CLASSES, bottleneck=256, example=torch.zeros(2, FEATURES))
        self.objective: Objective = recipe(self.model.width, CLASSES, 1000, **options)

    def forward(self, rows: Tensor, labels: Tensor, others: Tensor) -> Tensor:
        """The loss of one step, both domains in one forward pass."""
        if not self.objective.needs_target:
            alone: Tensor = self.objective(outputs_of(self.model, Batch(rows, labels))).total
            return alone
        total: Tensor = self.objective(*joint_forward(self.model, Batch(rows, labels), Batch(others))).total
        return total


def descent(parameters: list[nn.Parameter]) -> torch.optim.SGD:
    """The optimizer of the benchmark's protocol."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-3, fused=True)


def one_after_another(networks: list[Trainable], batches: tuple[Tensor, ...]) -> Callable[[], list[float]]:
    """A step of each network by the public ``gradient_step``; the losses."""
    steps = [
        gradient_step(each.model, each.objective, descent(list(each.parameters())), forward=joint_forward)
        for each in networks
    ]
    rows, labels, others = batches
    return lambda: [float(step(Batch(rows[i], labels[i]), Batch(others[i])).total) for i, step in enumerate(steps)]


def at_once(networks: list[Trainable], batches: tuple[Tensor, ...]) -> Callable[[], list[float]]:
    """A step of all networks as one; the losses."""
    stacked, buffers = stack_module_state(networks)
    parameters = {name: nn.Parameter(value.detach()) for name, value in stacked.items()}
    optimizer = descent(list(parameters.values()))
    skeleton = copy.deepcopy(networks[0])

    def loss(own: Any, state: Any, *batch: Tensor) -> Tensor:
        value: Tensor = functional_call(skeleton, (own, state), batch)
        return value

    mapped = vmap(loss, randomness="different")

    def step() -> list[float]:
        optimizer.zero_grad(set_to_none=True)
        losses = mapped(parameters, buffers, *batches)
        losses.sum().backward()
        optimizer.step()
        values: list[float] = losses.tolist()
        return values

    return step


def compared(recipe: Recipe, options: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of both, and the largest relative difference of the losses of the first step."""
    generator = torch.Generator().manual_seed(0)
    batches = (
        torch.randn(SEEDS, ROWS, FEATURES, generator=generator),
        torch.randint(CLASSES, (SEEDS, ROWS), generator=generator),
        torch.randn(SEEDS, ROWS, FEATURES, generator=generator) + 0.3,
    )
    calls = {
        "one after another": one_after_another([Trainable(recipe, options, seed) for seed in range(SEEDS)], batches),
        "at once": at_once([Trainable(recipe, options, seed) for seed in range(SEEDS)], batches),
    }
    first, other = (call() for call in calls.values())
    apart = max(abs(a - b) / abs(a) for a, b in zip(first, other, strict=True))
    times = interleaved(calls, seconds=8.0)
    return {name: round(value, 3) for name, value in times.items()} | {"first losses apart": apart}


def main() -> None:
    """Measure, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    record = {
        "question": "CPU milliseconds of one step of three seeds, in turns in one process, one thread",
        "rows": {name: compared(*each) for name, each in METHODS.items()},
        "gflops": round(PRODUCT / interleaved({"product": product()})["product"] / 1e6, 1),
        "torch": torch.__version__,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
