"""Time the losses beside their peers, plain forms and the machine's limit; write a record and a picture.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.run [--quick] [--rounds 3]

All times are CPU milliseconds of forward and backward through the public function, in one thread of one process, in
turns. Compare them within a row and a round: between rounds, minutes apart, the speed of a shared machine changes.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import peers, reference_forms
from benchmarks.speed.timing import (
    EXPONENTIALS,
    PRODUCT,
    best_cuda_seconds,
    exponentials,
    extra_megabytes,
    forward_and_backward,
    interleaved,
    product,
)
from dalib.losses import coral_loss, joint_mmd_loss, mmd_loss, sinkhorn_loss, sliced_wasserstein_loss

RESULTS = Path(__file__).resolve().parents[1] / "results" / "speed"
MMD_SIZES = ((32, 256), (32, 2048), (128, 256), (512, 256), (512, 2048), (2048, 256), (8192, 256))
CORAL_SIZES = ((32, 256), (128, 256), (512, 256), (32, 2048), (128, 2048), (512, 2048), (2048, 256))
LARGEST_BROADCAST = 2**28
LARGEST_MATRIX = 4096


def samples(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two normal samples, one of them moved and stretched."""
    generator = torch.Generator().manual_seed(n + d)
    return torch.randn(n, d, generator=generator), 1.2 * torch.randn(n, d, generator=generator) + 0.3


def row(
    name: str,
    size: str,
    losses: dict[str, Callable[..., Any]],
    *inputs: Any,
    work: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Times of one problem. A peer that cannot be run is recorded with its error.

    ``work`` are the floating-point operations of products and the exponentials that cannot be spared; what they take at
    the machine's rate is the limit, with the rate measured in the same turns.
    """
    calls, errors = {}, {}
    for who, loss in losses.items():
        call = forward_and_backward(loss, *inputs)
        try:
            call()
        except Exception as error:
            errors[who] = f"{type(error).__name__}: {error}"[:200]
            continue
        calls[who] = call
    rates = {"product": product(), "exponentials": exponentials()} if work else {}
    times = interleaved(calls | rates)
    if work:
        limit = work[0] / PRODUCT * times.pop("product") + work[1] / EXPONENTIALS * times.pop("exponentials")
    made = {"loss": name, "size": size, "milliseconds": {who: round(time, 4) for who, time in times.items()}}
    made |= {"errors": errors} if errors else {}
    made |= {"limit": round(limit, 4)} if work else {}
    print(made, flush=True)
    return made


def prepared(loss: Callable[..., Any], *inputs: torch.Tensor) -> Callable[[], object]:
    """A call whose inputs are there already, and with what torch loads once in a process."""
    forward_and_backward(loss, *samples(8, 8))()
    return forward_and_backward(loss, *inputs)


def on_cuda(n: int = 65536, d: int = 256) -> dict[str, Any]:
    """MMD of a sample whose matrix of all pairs no device holds, against the device's rate of matrix products.

    Empty without a CUDA device. Wall milliseconds, the best of five, and megabytes beyond the inputs.
    """
    if not torch.cuda.is_available():
        return {}
    source, target = (x.cuda().requires_grad_() for x in samples(n, d))
    seconds = best_cuda_seconds(lambda: mmd_loss(source, target).backward())
    source.grad = target.grad = None
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    mmd_loss(source, target).backward()
    product = torch.randn(8192, 8192, device="cuda")
    flops = 2 * 8192**3 / best_cuda_seconds(lambda: product @ product)
    limit = 3 * (2 * n) ** 2 * d / flops
    return {
        "device": torch.cuda.get_device_name(),
        "size": f"{n}x{d}",
        "milliseconds": round(1e3 * seconds, 2),
        "limit": round(1e3 * limit, 2),
        "tflops": round(flops / 1e12, 1),
        "megabytes beyond the inputs": round((torch.cuda.max_memory_allocated() - held) / 2**20, 1),
    }


def mmd_rows(sizes: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """MMD; its limit: half the distances, one more product backward, half the exponentials."""
    made = []
    for n, d in sizes:
        losses: dict[str, Callable[..., Any]] = {"dalib": mmd_loss}
        if 2 * n <= LARGEST_MATRIX:
            losses |= peers.mmd() | {"matrix product and autograd": reference_forms.mmd_product}
        if (2 * n) ** 2 * d <= LARGEST_BROADCAST:
            losses["rows x rows x features"] = reference_forms.mmd_broadcast
        rows = 2 * n
        made.append(row("mmd", f"{n}x{d}", losses, *samples(n, d), work=(3 * rows**2 * d, rows**2 / 2)))
    return made


def coral_rows(sizes: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """CORAL; its limit: the cheaper of the covariances and the inner products."""
    made = []
    for n, d in sizes:
        losses = {"dalib": coral_loss, **peers.coral(), "covariances and autograd": reference_forms.coral_covariances}
        made.append(row("coral", f"{n}x{d}", losses, *samples(n, d), work=(min(8 * n * d**2, 16 * n**2 * d), 0)))
    return made


def other_rows(sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Joint MMD, sliced Wasserstein and Sinkhorn."""
    made = []
    for n in sizes:
        s, t = samples(n, 256)
        layers = (s, torch.softmax(s[:, :31], 1)), (t, torch.softmax(t[:, :31], 1))
        joint = {
            "dalib": joint_mmd_loss,
            **peers.joint_mmd(),
            "products and autograd": reference_forms.joint_mmd_product,
        }
        made.append(row("joint mmd", f"{n}x256", joint, *layers))
        sliced = {"dalib": lambda a, b: sliced_wasserstein_loss(a, b, projections=128), **peers.sliced_wasserstein(128)}
        made.append(row("sliced wasserstein", f"{n}x256", sliced, s, t))
        epsilon = 0.05 * float(torch.cdist(s, t).square().mean())
        entropic = {
            "dalib": lambda a, b, e=epsilon: sinkhorn_loss(a, b, epsilon=e, iterations=100, tolerance=0.0),
            **peers.sinkhorn(epsilon, 100),
        }
        made.append(row("sinkhorn divergence, 100 iterations", f"{n}x256", entropic, s, t))
    return made


def in_one(rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of all rounds as one: where a round has a number, a list of them, a number for each."""
    made = []
    for same in zip(*rounds, strict=True):
        whos = [who for who in same[0]["milliseconds"] if all(who in each["milliseconds"] for each in same)]
        times = {"milliseconds": {who: [each["milliseconds"][who] for each in same] for who in whos}}
        limit = {"limit": [each["limit"] for each in same]} if "limit" in same[0] else {}
        made.append(same[0] | times | limit)
    return made


def picture(record: dict[str, Any], path: Path) -> None:
    """Times relative to dalib: a line of marks for each row, their bars from the smallest round to the largest."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [each for each in record["rows"] if len(each["milliseconds"]) > 1]
    rows = [each["milliseconds"] for each in shown]
    names = sorted({who for times in rows for who in times if who != "dalib"})
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(rows) + 1.5))
    for i, who in enumerate(names):
        places = [j for j, times in enumerate(rows) if who in times]
        found = [[time / own for time, own in zip(rows[j][who], rows[j]["dalib"], strict=True)] for j in places]
        middle = [statistics.median(each) for each in found]
        below = [m - min(each) for m, each in zip(middle, found, strict=True)]
        above = [max(each) - m for m, each in zip(middle, found, strict=True)]
        axes.errorbar(middle, places, xerr=[below, above], label=who, fmt="osD^vP*X"[i % 8], capsize=2, zorder=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [f"{each['loss']} {each['size']}" for each in shown])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("times the CPU time of dalib (forward and backward, one thread)\nmedian and range of the rounds")
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--rounds", type=int, default=3, help="times that all is measured, one after another")
    options = parser.parse_args()
    quick = options.quick
    torch.set_num_threads(1)
    memory = {}
    if not quick:
        megabytes = extra_megabytes(lambda: prepared(mmd_loss, *samples(8192, 256)))
        memory["mmd 8192x256, megabytes beyond the inputs"] = round(megabytes, 1)
    rates = interleaved({"product": product(), "exponentials": exponentials()})
    rounds = []
    for _ in range(options.rounds):
        rows = mmd_rows(MMD_SIZES[: 4 if quick else None])
        rows += coral_rows(CORAL_SIZES[: 4 if quick else None])
        rows += other_rows((128,) if quick else (128, 512))
        rounds.append(rows)
    record = {
        "torch": torch.__version__,
        "peers": peers.found(),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "gflops": round(PRODUCT / rates["product"] / 1e6, 1),
        "gexps": round(EXPONENTIALS / rates["exponentials"] / 1e6, 2),
        "memory": memory,
        "cuda": on_cuda(),
        "rows": in_one(rounds),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "quick" if quick else "losses"
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    picture(record, RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
