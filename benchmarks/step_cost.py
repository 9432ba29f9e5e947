"""What a step of each adversarial method costs beside a source-only step on the same rows.

``python -m benchmarks.step_cost`` (one thread, four minutes) writes ``results/step_cost.json``. What is timed is the public
``gradient_step`` with the method's objective: forward, backward, optimizer, schedules. Two models: an MLP on features,
where the objective is most of the work, and a residual network on images, which hides it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import dalib
from benchmarks.speed.timing import Call, interleaved
from dalib import Batch, FeatureClassifier, gradient_step, joint_forward, reverse_gradient, separate_forward
from dalib.losses import DomainDiscriminator
from dalib.methods import RECIPES, source_only

RESULTS = Path(__file__).resolve().parent / "results"
CLASSES, ROWS = 31, 32
METHODS = ("dann", "cdan", "cdan_e", "mdd", "daln", "bsp", "mcd_reversal", "mcd", "wdgrl")
OPTIONS = {
    "dann": {"hidden": 256},
    "cdan": {"randomized": 1024, "hidden": 1024},
    "cdan_e": {"randomized": 1024, "hidden": 1024},
}
"""Widths of the published comparison of libraries; the other recipes keep their defaults."""


class Block(nn.Module):
    """Two convolutions of three and the input beside them."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.beside = nn.Identity() if stride == 1 else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of both ways."""
        return torch.relu(self.second(self.first(x)) + self.beside(x))


def residual_network(width: int = 16) -> nn.Sequential:
    """Eight blocks in four stages, as ResNet-18 has them."""
    blocks: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    for stage in range(4):
        before, now = width * 2 ** max(stage - 1, 0), width * 2**stage
        blocks += [Block(before, now, 1 if stage == 0 else 2), Block(now, now, 1)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def step(
    recipe: Callable[..., dalib.Objective], forward: Callable[..., object], images: bool, **options: object
) -> Call:
    """A call that makes one optimizer step on fixed rows: 32 a domain, all 64 labelled for ``source_only``."""
    torch.manual_seed(0)
    rows = torch.randn(2 * ROWS, 3, 32, 32) if images else torch.randn(2 * ROWS, 2048)
    labels = torch.arange(2 * ROWS) % CLASSES
    backbone = residual_network() if images else nn.Identity()
    model = FeatureClassifier(backbone, CLASSES, bottleneck=256, example=rows[:2])
    objective = recipe(model.width, CLASSES, 1000, **options)
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True, fused=True)
    made = gradient_step(model, objective, optimizer, forward=forward)
    if not objective.needs_target:
        return lambda: made(Batch(rows, labels), Batch(rows))
    return lambda: made(Batch(rows[:ROWS], labels[:ROWS]), Batch(rows[ROWS:]))


def costs(images: bool, methods: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Milliseconds a step, and the ratio to the source-only step, of each method and forward mode.

    Each is timed in turns with the source-only step alone: a third network would push both out of the cache.
    """
    base = "source_only, the same 64 rows"
    found: dict[str, dict[str, float]] = {}
    for name in methods:
        for forward in (joint_forward, separate_forward):
            label = f"{name} ({forward.__name__.removesuffix('_forward')})"
            calls = {
                base: step(source_only, joint_forward, images),
                label: step(RECIPES[name], forward, images, **OPTIONS.get(name, {})),
            }
            times = interleaved(calls, seconds=10.0 if images else 5.0, most=400)
            found[label] = {"milliseconds": round(times[label], 3), "ratio": round(times[label] / times[base], 2)}
    return found


def reversal() -> dict[str, float]:
    """A hundred times sum and gradient of 64 x 256 rows: the bare call, and a discriminator behind it."""
    rows = torch.randn(64, 256, requires_grad=True)
    discriminator = DomainDiscriminator(256, hidden=256)

    def call(function: Callable[[torch.Tensor], torch.Tensor]) -> Call:
        def hundred() -> None:
            for _ in range(100):
                rows.grad = None
                function(rows).sum().backward()

        return hundred

    bare = interleaved({"plain": call(lambda x: x.view_as(x)), "reversed": call(reverse_gradient)}, seconds=5.0)
    inside = interleaved(
        {"plain": call(discriminator), "reversed": call(lambda x: discriminator(reverse_gradient(x)))}, seconds=5.0
    )
    return {
        "bare call, microseconds more": round(10 * (bare["reversed"] - bare["plain"]), 1),
        "discriminator with it / without it": round(inside["reversed"] / inside["plain"], 3),
    }


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    # glibc hands blocks of megabytes, such as gradients, back to the system at each step, until it has seen a larger one
    # come and go: in a process that has read data it has, and in this one without data it would be the first method's cost.
    torch.zeros(2**22).sum()
    record = {
        "question": "milliseconds of CPU time a step, one thread, and the ratio to a source-only step on the same rows",
        "rows": f"{ROWS} a domain, {CLASSES} classes; discriminators of {OPTIONS}",
        "features 2048 -> 256": costs(False, METHODS),
        "images 32 x 32 through a ResNet-18-shaped network of width 16": costs(True, ("dann", "cdan")),
        "reversal of 64 x 256 features": reversal(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    (RESULTS / "step_cost.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
