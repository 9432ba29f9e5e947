"""How fast weights are learnt: ratios in one process, one thread, the same arrays and the same problem.

    OMP_NUM_THREADS=1 python benchmarks/weights_speed.py    # writes results/weights/speed.json and a picture

Beside dalib stand the peers that can be imported (ADAPT, skada, cvxopt), and two reference forms written here, named as
such: a dense quadratic program with a (2n + 2) x n constraint matrix, and a leave-one-out score of uLSIF that forms
n x n diagonal matrices for each pair of bandwidth and ridge. Times are CPU seconds, the best of a few; objectives of the
quadratic program are divided by n^2 and evaluated in float64 by one function for all. The load of the machine is in the
record: on a busy one all times grow, the ratios less.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import resource
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dalib.weights import KLIEP, ULSIF, KernelMeanMatching, kernel_mean_matching_weights, relative_ratio_weights

OUT = Path(__file__).resolve().parent / "results" / "weights" / "speed.json"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "weights_speed.png"


def sample(n: int, d: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """N(0, I) and a narrower, moved one."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), 0.8 * rng.normal(size=(n, d)) + 1.0 / np.sqrt(d)


def seconds(call: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """CPU seconds of the fastest call, and what it returned."""
    best, result = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return float(best), result


def kernel(x: np.ndarray, y: np.ndarray, bandwidth: float) -> np.ndarray:
    """Gaussian kernel matrix in float64."""
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.exp(-np.maximum(squared, 0) / (2 * bandwidth**2))


def dense_program(source: np.ndarray, target: np.ndarray, bandwidth: float) -> np.ndarray:
    """Reference form: cvxopt's dense cone solver, bounds and slab as a (2n + 2) x n matrix."""
    from cvxopt import matrix, solvers

    n = len(source)
    slack = (np.sqrt(n) - 1) / np.sqrt(n)
    linear = kernel(source, target, bandwidth).sum(axis=1) * n / len(target)
    bounds = np.vstack([np.ones((1, n)), -np.ones((1, n)), np.eye(n), -np.eye(n)])
    right = np.r_[n * (1 + slack), n * (slack - 1), np.full(n, 1000.0), np.zeros(n)]
    solvers.options["show_progress"] = False
    found = solvers.qp(matrix(kernel(source, source, bandwidth)), matrix(-linear), matrix(bounds), matrix(right))
    return np.array(found["x"]).ravel()


def frank_wolfe(source: np.ndarray, target: np.ndarray, bandwidth: float) -> np.ndarray:
    """Skada's default solver."""
    adapter = importlib.import_module("skada._reweight").KMMReweightAdapter(gamma=1 / (2 * bandwidth**2))
    return np.asarray(adapter._weights_optimization(source, target)).ravel()


def adapt(name: str, target: np.ndarray, **options: Any) -> Any:
    """An estimator of ADAPT for these target rows; it prints nothing and seeds itself."""
    return getattr(importlib.import_module("adapt.instance_based"), name)(
        Xt=target, verbose=0, random_state=0, **options
    )


def megabytes(call: Callable[[], Any]) -> float:
    """Peak of the memory that a call takes."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 1)


def kernel_mean_matching() -> list[dict[str, Any]]:
    """Time and distance from the optimum, which the certificate of the exact solution gives to machine precision."""
    rows = []
    for n in (1000, 5000):
        source, target = sample(n)
        took, exact = seconds(lambda s=source, t=target: KernelMeanMatching().fit(s, t), 3 if n > 1000 else 20)
        K = kernel(source, source, exact.bandwidth_)
        linear = kernel(source, target, exact.bandwidth_).mean(axis=1) * n

        def objective(b: np.ndarray, K: np.ndarray = K, linear: np.ndarray = linear, n: int = n) -> float:
            return float(0.5 * b @ K @ b - linear @ b) / n**2

        solvers: dict[str, Callable[[], np.ndarray]] = {
            "dalib, Nystrom 500": lambda s=source, t=target: (
                KernelMeanMatching(exact_rows=1).fit(s, t).optimum_  # every n is above it
            )
        }
        if n <= 1000:
            tensors = torch.from_numpy(source), torch.from_numpy(target)
            solvers["dalib, tensors"] = lambda p=tensors, e=exact: (
                kernel_mean_matching_weights(*p, tolerance=2e-6).numpy() * e.optimum_.mean()
            )
        if importlib.util.find_spec("adapt") and n <= 1000:
            solvers["ADAPT"] = lambda s=source, t=target, w=exact.bandwidth_: adapt(
                "KMM", t, gamma=1 / (2 * w**2)
            ).fit_weights(s, t)
        if importlib.util.find_spec("cvxopt") and n <= 1000:
            solvers["dense cvxopt (reference form)"] = lambda s=source, t=target, w=exact.bandwidth_: dense_program(
                s, t, w
            )
        if importlib.util.find_spec("skada"):
            solvers["skada, Frank-Wolfe"] = lambda s=source, t=target, w=exact.bandwidth_: frank_wolfe(s, t, w)
        rows.append(
            {
                "n": n,
                "solver": "dalib",
                "seconds": took,
                "gap": objective(exact.optimum_) - exact.objective_,
                "ratio": 1.0,
            }
        )
        for name, solver in solvers.items():
            other, b = seconds(solver, 3 if n <= 1000 else 1)
            rows.append(
                {
                    "n": n,
                    "solver": name,
                    "seconds": other,
                    "gap": objective(b) - exact.objective_,
                    "ratio": other / took,
                }
            )
    return rows


def nystrom_at_20000(pipe: Any) -> None:
    """In a process of its own: time, peak memory beyond the start, and one float32 product of the kernel's size."""
    source, target = sample(20000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took, found = seconds(lambda: KernelMeanMatching().fit(source, target), 1)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    block, whole = np.ones((2000, 20000), np.float32), np.ones((20000, 500), np.float32)
    product, _ = seconds(lambda: block @ whole, 2)
    pipe.send(
        {
            "n": 20000,
            "solver": "dalib, Nystrom 500",
            "seconds": took,
            "certified_gap": found.gap_,
            "peak_extra_mb": round(peak),
            "ratio_to_sgemm_20000x20000x500": took / (10 * product),
        }
    )


def kliep() -> list[dict[str, Any]]:
    """One bandwidth and the choice of five, beside skada's."""
    rows = []
    for n in (1000, 5000):
        source, target = sample(n)
        width = float(np.sqrt(2 * source.shape[1]))
        took, one = seconds(lambda s=source, t=target, w=width: KLIEP(bandwidths=[w]).fit(s, t))
        chosen, five = seconds(lambda s=source, t=target: KLIEP().fit(s, t), 1)
        rows.append({"n": n, "solver": "dalib", "seconds": took, "objective": one.objective_, "gap": one.gap_})
        rows.append(
            {"n": n, "solver": "dalib, 5 bandwidths x 5 folds", "seconds": chosen, "objective": five.objective_}
        )
        gamma = 1 / (2 * width**2)
        if importlib.util.find_spec("skada"):
            adapter = importlib.import_module("skada._reweight").KLIEPReweightAdapter
            other, (alpha, centres) = seconds(
                lambda a=adapter, s=source, t=target, g=gamma: a(g, random_state=0)._weights_optimization(g, s, t)
            )
            value = mean_log_ratio(source, target, centres, np.ravel(alpha), width)
            rows.append({"n": n, "solver": "skada", "seconds": other, "objective": value, "ratio": other / took})
        if importlib.util.find_spec("adapt"):
            other, found = seconds(lambda s=source, t=target, g=gamma: _fitted(adapt("KLIEP", t, gamma=g), s, t))
            value = mean_log_ratio(source, target, found.centers_, np.ravel(found.alphas_), width)
            rows.append({"n": n, "solver": "ADAPT", "seconds": other, "objective": value, "ratio": other / took})
        if importlib.util.find_spec("adapt") and n <= 1000:
            grid = list(gamma / np.array([0.25, 0.5, 1, 2, 4]) ** 2)
            other, found = seconds(
                lambda s=source, t=target, g=grid: _fitted(adapt("KLIEP", t, gamma=g, cv=5), s, t), 1
            )
            rows.append({"n": n, "solver": "ADAPT, 5 bandwidths x 5 folds", "seconds": other, "ratio": other / chosen})
    return rows


def mean_log_ratio(s: np.ndarray, t: np.ndarray, centres: np.ndarray, alpha: np.ndarray, width: float) -> float:
    """KLIEP's objective: mean log ratio of the target rows, of a ratio with mean one on the source."""
    return float(np.log(kernel(t, centres, width) @ alpha / (kernel(s, centres, width) @ alpha).mean()).mean())


def _fitted(estimator: Any, source: np.ndarray, target: np.ndarray) -> Any:
    estimator.fit_weights(source, target)
    return estimator


def diagonal_form(source: np.ndarray, target: np.ndarray, widths: np.ndarray, ridges: np.ndarray) -> np.ndarray:
    """Reference form: one inverse a pair of options, row scalings as products with n x n diagonal matrices."""
    n = len(source)
    centres = target[np.random.default_rng(0).permutation(len(target))[:100]]
    errors = np.empty((len(widths), len(ridges)))
    for row, width in enumerate(widths):
        s, t = kernel(source, centres, width), kernel(target, centres, width)
        H, h = s.T @ s / n, t.mean(axis=0)
        for column, ridge in enumerate(ridges):
            B = H + ridge * (n - 1) / n * np.eye(len(h))
            inverse = np.linalg.inv(B)
            Bs, Bt = inverse @ s.T, inverse @ t.T
            denominator = np.diag(1.0 / (n - (s * Bs.T).sum(axis=1)))
            B0 = np.outer(inverse @ h, np.ones(n)) + Bs @ np.diag(h @ Bs) @ denominator
            B1 = Bt + Bs @ np.diag((t * Bs.T).sum(axis=1)) @ denominator
            theta = np.maximum((n - 1) / (n * (n - 1)) * (n * B0 - B1), 0)
            errors[row, column] = np.mean((s * theta.T).sum(axis=1) ** 2 / 2 - (t * theta.T).sum(axis=1))
    return errors


def ulsif() -> list[dict[str, Any]]:
    """Five bandwidths, five ridges, 100 centres, exact leave-one-out."""
    rows = []
    for n in (1000, 5000):
        source, target = sample(n)
        ours = lambda s=source, t=target: ULSIF().fit(s, t)  # noqa: E731
        took, _ = seconds(ours, 5)
        widths, ridges = np.sqrt(2 * source.shape[1]) * np.array([0.25, 0.5, 1, 2, 4]), 10.0 ** np.arange(-3, 2)
        tensors = torch.from_numpy(source), torch.from_numpy(target)
        calls: dict[str, Callable[[], Any]] = {
            "n x n diagonals (reference form)": lambda s=source, t=target, w=widths, r=ridges: diagonal_form(
                s, t, w, r
            ),
            "dalib, tensors": lambda p=tensors: relative_ratio_weights(*p, alpha=0.0),
        }
        if importlib.util.find_spec("adapt"):
            calls["ADAPT"] = lambda s=source, t=target, w=widths, r=ridges: _fitted(
                adapt("ULSIF", t, gamma=list(0.5 / w**2), lambdas=list(r), max_centers=100), s, t
            )
        rows.append({"n": n, "solver": "dalib", "seconds": took, "ratio": 1.0, "peak_mb": megabytes(ours)})
        for name, call in calls.items():
            other, _ = seconds(call, 1 if n > 1000 else 3)
            rows.append({"n": n, "solver": name, "seconds": other, "ratio": other / took})
    source, target = sample(20000)
    ours = lambda s=source, t=target: ULSIF().fit(s, t)  # noqa: E731
    took, _ = seconds(ours, 1)
    rows.append({"n": 20000, "solver": "dalib", "seconds": took, "ratio": 1.0, "peak_mb": megabytes(ours)})
    return rows


def picture(record: dict[str, Any]) -> None:
    """Seconds of every solver, a panel a method, one group of bars a size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    methods = [name for name, rows in record.items() if isinstance(rows, list)]
    figure, axes = pyplot.subplots(1, len(methods), figsize=(13, 4.2), constrained_layout=True)
    for axis, method in zip(axes, methods, strict=True):
        rows = sorted(record[method], key=lambda row: (-row["n"], row["solver"]))
        colours = ["tab:blue" if row["solver"].startswith("dalib") else "lightgrey" for row in rows]
        axis.barh([f"{row['solver']}, n = {row['n']}" for row in rows], [r["seconds"] for r in rows], color=colours)
        axis.set(xscale="log", xlabel="CPU seconds", title=method)
        axis.tick_params(axis="y", labelsize=7)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def main() -> None:
    if sys.argv[1:] == ["picture"]:
        picture(json.loads(OUT.read_text()))
        return
    warnings.simplefilter("ignore")
    receive, send = multiprocessing.get_context("spawn").Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=nystrom_at_20000, args=(send,))
    child.start()
    large = receive.recv()
    child.join()
    before = os.getloadavg()[0]
    record: dict[str, Any] = {
        "kernel mean matching": [*kernel_mean_matching(), large],
        "KLIEP": kliep(),
        "uLSIF, leave-one-out": ulsif(),
        "peers": {
            name: importlib.metadata.version(name)
            for name in ("adapt", "skada", "cvxopt")
            if importlib.util.find_spec(name)
        },
        "machine": {"cores": os.cpu_count(), "load_before": before, "load_after": os.getloadavg()[0]},
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.with_suffix(".tmp").write_text(json.dumps(record, indent=1) + "\n")
    OUT.with_suffix(".tmp").rename(OUT)
    picture(record)
    for title, rows in record.items():
        print(title)
        for row in rows if isinstance(rows, list) else [rows]:
            print(
                "  ", {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}
            )


if __name__ == "__main__":
    main()
