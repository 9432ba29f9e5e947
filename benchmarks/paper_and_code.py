"""What other libraries compute under the same names, on the same input: values for docs/paper_and_code.md.

    python -m benchmarks.paper_and_code

Installed peers (pytorch-adapt, skada) are called; the values of TLlib and DeepDA, which are on no package index, follow
from the formulas in their code. Each is compared with the options of dalib that give the same number.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.speed import peers
from dalib.kernels import Gaussian, Laplacian
from dalib.losses import coral_loss, mean_loss, mmd_loss, unbiased_mmd_loss

RESULTS = Path(__file__).resolve().parent / "results" / "paper_and_code.json"


def samples() -> tuple[Tensor, Tensor]:
    """32 and 32 rows of 16 features in float64."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(32, 16, generator=generator, dtype=torch.float64)
    return source, 1.2 * torch.randn(32, 16, generator=generator, dtype=torch.float64) + 0.3


def distances(rows: Tensor) -> Tensor:
    """Squared distances by their definition."""
    return (rows[:, None] - rows[None]).square().sum(dim=2)


def tllib_mmd(source: Tensor, target: Tensor) -> Tensor:
    """Five summed kernels exp(-d / 2 alpha mean d), alpha = 1/8 .. 2; unbiased, plus 2 / (n - 1)."""
    d = distances(torch.cat([source, target]))
    kernel = sum(torch.exp(-d / (2 * 2.0**k * d.mean())) for k in range(-3, 2))
    return _unbiased(kernel, len(source)) + 2 / (len(source) - 1)


def deepda_mmd(source: Tensor, target: Tensor) -> Tensor:
    """Five summed kernels exp(-d / bw 2^k), k = -2 .. 2, bw the mean over pairs of different rows; biased."""
    d = distances(torch.cat([source, target]))
    n = len(d)
    kernel = sum(torch.exp(-d / (d.sum() / (n * n - n) * 2.0**k)) for k in range(-2, 3))
    half = n // 2
    return kernel[:half, :half].mean() + kernel[half:, half:].mean() - 2 * kernel[:half, half:].mean()


def tllib_coral(source: Tensor, target: Tensor) -> Tensor:
    """Mean squared differences of the covariances and of the means."""
    covariances = torch.cov(source.mT) - torch.cov(target.mT)
    return covariances.square().mean() + (source.mean(0) - target.mean(0)).square().mean()


def _unbiased(kernel: Tensor, n: int) -> Tensor:
    off = kernel - torch.diag(kernel.diagonal())
    within = off[:n, :n].sum() + off[n:, n:].sum()
    return within / (n * (n - 1)) - 2 * kernel[:n, n:].mean()


def rows() -> list[dict[str, object]]:
    """Name, the other's value, the expression that gives it here, and its value."""
    s, t = samples()
    pooled = torch.cat([s, t])
    d = distances(pooled)
    n = len(s)
    tllib = Gaussian(scales=(0.125, 0.25, 0.5, 1.0, 2.0))
    other = d.sum() / (4 * n * n - 2 * n)
    deepda = [float((other * 2.0**k / 2).sqrt()) for k in range(-2, 3)]
    made = [
        ("TLlib MultipleKernelMaximumMeanDiscrepancy", tllib_mmd(s, t),
         "5 * unbiased_mmd_loss(s, t, kernel=Gaussian(scales=(1/8, 1/4, 1/2, 1, 2))) + 2 / (n - 1)",
         5 * unbiased_mmd_loss(s, t, kernel=tllib) + 2 / (n - 1)),
        ("DeepDA MMDLoss", deepda_mmd(s, t),
         "5 * mmd_loss(s, t, bandwidths=[sqrt(bw * 2**k / 2) for k in range(-2, 3)])", 5 * mmd_loss(s, t, bandwidths=deepda)),
        ("TLlib CorrelationAlignmentLoss", tllib_coral(s, t),
         "4 * coral_loss(s, t) + mean_loss(s, t) / d", 4 * coral_loss(s, t) + mean_loss(s, t) / s.shape[1]),
    ]  # fmt: skip
    for name, loss in peers.mmd().items():
        if name == "pytorch-adapt":
            within = distances(s).flatten().median()
            widths = [float((within / (2 * 2.0**k)).sqrt()) for k in range(-2, 3)]
            made.append((name + " MMDLoss, quadratic", loss(s, t),
                         "unbiased_mmd_loss(s, t, bandwidths=[sqrt(m / 2**(k + 1)) for k in range(-2, 3)])",
                         unbiased_mmd_loss(s, t, bandwidths=widths)))  # fmt: skip
        else:
            kernel = Laplacian(0.25) + Laplacian(0.5) + Laplacian(1.0) + Laplacian(2.0) + Laplacian(4.0)
            how = "mmd_loss(s, t, kernel=Laplacian(1/4) + ... + Laplacian(4))"
            single = loss(s.float(), t.float())  # it takes float32 only
            made.append((name + " dan_loss", single, how, mmd_loss(s, t, kernel=kernel)))
    for name, loss in peers.coral().items():
        made.append((name + " CORAL", loss(s, t), "coral_loss(s, t)", coral_loss(s, t)))
    return [
        {"of": of, "value": round(float(value), 6), "dalib": how, "dalib_value": round(float(ours), 6)}
        for of, value, how, ours in made
    ]


def main() -> None:
    """Compare, write, print."""
    record = {"peers": peers.found(), "torch": torch.__version__, "rows": rows()}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
