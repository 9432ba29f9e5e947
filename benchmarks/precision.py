"""What float32 leaves of MMD and of its gradient, beside float64, on real and on drawn samples; and what it costs to keep it.

    python -m benchmarks.precision

Reads the SURF features of Office-Caltech10 and the Office-31 features from ``DALIB_DATA`` (default ``../shared/data``).
Writes ``benchmarks/results/precision.json``. Errors of values are as they are, kernel means being at most one; those of
gradients are parts of the gradient's norm. Times are of one thread, of samples whose gradient is made in float64 beside those of
ordinary samples of the same size.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dalib.data import office_caltech_surf
from dalib.losses import joint_mmd_loss, local_mmd_loss, mmd_loss, unbiased_mmd_loss

RESULTS = Path(__file__).resolve().parent / "results"
DATA = Path(os.environ.get("DALIB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
Samples = tuple[Tensor, Tensor]


def weighted(source: Tensor, target: Tensor) -> Tensor:
    """MMD with weights from a half to one and a half."""
    weights = [torch.linspace(0.5, 1.5, len(rows)) for rows in (source, target)]
    return mmd_loss(source, target, source_weights=weights[0], target_weights=weights[1])


def joint(source: Tensor, target: Tensor) -> Tensor:
    """Joint MMD of the features and of probabilities made of the first ten."""
    return joint_mmd_loss((source, source[:, :10].softmax(dim=1)), (target, target[:, :10].softmax(dim=1)))


def local(source: Tensor, target: Tensor) -> Tensor:
    """Local MMD of ten classes, of which each target row is nearly of one."""
    labels = [torch.arange(len(rows)) % 10 for rows in (source, target)]
    return local_mmd_loss(source, target, labels[0], torch.eye(10, dtype=target.dtype)[labels[1]] * 0.97 + 0.003)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mmd_loss": mmd_loss,
    "weighted": weighted,
    "unbiased_mmd_loss": unbiased_mmd_loss,
    "joint_mmd_loss": joint,
    "local_mmd_loss": local,
}


def standardised(rows: Tensor) -> Tensor:
    """Each column with mean zero and deviation one."""
    return (rows - rows.mean(dim=0)) / rows.std(dim=0).clamp_min(1e-6)


def drawn() -> Iterator[tuple[str, str, Samples]]:
    """What the samples are, of which rows, and the samples."""
    for n, m, width in ((32, 32, 256), (255, 257, 64), (1500, 1300, 64), (2048, 2048, 256)):
        generator = torch.Generator().manual_seed(n + width)
        source, target = (torch.randn(rows, width, generator=generator) for rows in (n, m))
        size = f"{n} + {m} x {width}"
        yield "normal, of one distribution", size, (source, target)
        yield "normal, moved by 0.5", size, (source, target + 0.5)
        yield "normal, moved by 0.5, at 10,000", size, (source + 1e4, target + 1e4 + 0.5)
        yield "activations (ReLU) at 10,000", size, (source.relu() + 1e4, (target + 0.2).relu() + 1e4)
        yield "normal, standardised each by itself", size, (standardised(source), standardised(target))
        yield "one-hot rows of 50", size, tuple(torch.eye(50)[rows[:, :50].argmax(dim=1)] for rows in (source, target))  # type: ignore[misc]
        yield "small whole numbers", size, ((source * 3).round(), (target * 3).round())
        far = torch.arange(max(n, m)).remainder(2)[:, None] * 10.0
        yield "two clusters of deviation 0.1", size, (source * 0.1 + far[:n], target * 0.1 + far[:m])


def real() -> Iterator[tuple[str, str, Samples]]:
    """The same of data sets: whole domains, and batches of them."""
    surf = office_caltech_surf(DATA / "office_caltech10_surf").domains
    domains = {name: domain.inputs.tensor.float() for name, domain in surf.items()}  # type: ignore[union-attr]
    yield from _pairs("Office-Caltech10 SURF, standardised by domain", domains)
    with np.load(DATA / "office31_mobilenet_v2.npz") as file:
        features = {name: torch.tensor(file[f"{name}_x"]).float() for name in ("amazon", "dslr", "webcam")}
    yield from _pairs("Office-31 features", features)
    yield from _pairs("Office-31 features at 10,000", {name: rows + 1e4 for name, rows in features.items()})
    yield from _pairs("Office-31 features, standardised by domain", {n: standardised(x) for n, x in features.items()})


def _pairs(of: str, domains: dict[str, Tensor]) -> Iterator[tuple[str, str, Samples]]:
    for source, target in itertools.combinations(domains, 2):
        for rows in (32, 128, None):
            generator = torch.Generator().manual_seed(0)
            samples = [domains[name] for name in (source, target)]
            if rows is not None:
                samples = [x[torch.randperm(len(x), generator=generator)[:rows]] for x in samples]
            yield f"{of}, {'whole' if rows is None else f'batches of {rows}'}", f"{source}-{target}", (*samples,)  # type: ignore[misc]


def value_and_gradient(loss: Callable[..., Tensor], samples: Samples, dtype: torch.dtype) -> tuple[float, Tensor]:
    """In a dtype, both as numbers of float64."""
    leaves = [rows.to(dtype).requires_grad_() for rows in samples]
    value = loss(*leaves)
    return value.item(), torch.cat([each.flatten() for each in torch.autograd.grad(value, leaves)]).double()


def errors(loss: Callable[..., Tensor], samples: Samples) -> tuple[float, float]:
    """Of the value, and of the gradient in units of its norm."""
    value, gradient = value_and_gradient(loss, samples, torch.float32)
    exact_value, exact = value_and_gradient(loss, samples, torch.float64)
    return abs(value - exact_value), float((gradient - exact).norm() / exact.norm())


def milliseconds(samples: Samples, turns: int = 30) -> float:
    """The median time of value and gradient of MMD, on this thread."""
    times = []
    for _ in range(turns):
        start = time.process_time()
        value_and_gradient(mmd_loss, samples, torch.float32)
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Measure, print and write."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for of, which, samples in itertools.chain(drawn(), real()):
        for name, loss in LOSSES.items():
            value, gradient = errors(loss, samples)
            row = rows.setdefault(of, {}).setdefault(name, {"value": 0.0, "gradient": 0.0})
            row["value"], row["gradient"] = max(row["value"], value), max(row["gradient"], gradient)
            print(f"{of:62} {which:22} {name:18} value {value:.1e} gradient {gradient:.1e}", flush=True)
    torch.set_num_threads(1)
    costs = {}
    for n, width in ((32, 256), (32, 2048), (512, 256), (2048, 256)):
        generator = torch.Generator().manual_seed(n)
        plain = torch.randn(n, width, generator=generator), torch.randn(n, width, generator=generator) + 0.5
        alike = standardised(plain[0]), standardised(plain[1])
        costs[f"{n}x{width}"] = round(milliseconds(alike) / milliseconds(plain), 2)
        print(f"{n}x{width}: {costs[f'{n}x{width}']} times the time", flush=True)
    digits = {
        of: {name: {k: float(f"{v:.1e}") for k, v in row.items()} for name, row in found.items()}
        for of, found in rows.items()
    }
    record = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "largest_errors": digits,
        "times_in_float64": costs,
    }
    (RESULTS / "precision.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
