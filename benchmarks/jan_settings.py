"""Why JAN ends below TLlib's own on the same features: what TLlib's run has that the shared protocol has not, step by step.

TLlib trains its JAN at a rate of 0.003 that falls with gamma 0.0003, where all methods here share 0.01 and 0.001; its
feature kernels are half as wide, and its estimate is unbiased. Each line changes one thing more.

    python -m benchmarks.jan_settings office31.npz     # writes benchmarks/results/office31_jan/
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from dalib.benchmark import Protocol, benchmark, load_runs, scenarios, table, trained
from dalib.data import office31
from dalib.kernels import Gaussian
from dalib.losses import joint_mmd_loss
from dalib.methods import control, jan
from dalib.methods.jan import features_and_probs
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.training import separate_forward

OUT = Path(__file__).parent / "results" / "office31_jan"
KERNELS = (Gaussian(scales=(0.125, 0.25, 0.5, 1.0, 2.0)), Gaussian([0.92]))
"""TLlib's: of the features and of the probabilities."""


def unbiased(source: tuple[Tensor, ...], target: tuple[Tensor, ...]) -> Tensor:
    """The joint MMD over pairs of different rows: from the biased one, which counts each row with itself."""
    n, m = len(source[0]), len(target[0])
    kernel: Tensor | float = 1.0
    for one, other, each in zip(source, target, KERNELS, strict=True):
        kernel = kernel * each(torch.cat([one, other]))
    assert isinstance(kernel, Tensor)
    within_source, within_target = kernel[:n, :n].mean(), kernel[n:, n:].mean()
    return (
        joint_mmd_loss(source, target, kernels=KERNELS) + (within_source - 1) / (n - 1) + (within_target - 1) / (m - 1)
    )


def unbiased_jan(features: int, classes: int, steps: int) -> Objective:
    """JAN with TLlib's kernels and estimate."""
    joint = Align(unbiased, on=features_and_probs, weight=5.0)
    return Objective(classification=source_cross_entropy, joint_mmd=joint)


def main() -> None:
    shared = Protocol(forward=separate_forward)
    slow = Protocol(forward=separate_forward, rate=0.003, gamma=0.0003)
    methods = {
        "control, rate 0.01": trained(control, shared),
        "control, rate 0.003": trained(control, slow),
        "jan, rate 0.01": trained(jan, shared),
        "jan, rate 0.003": trained(jan, slow),
        "jan, rate 0.003, TLlib's kernels": trained(jan, slow, kernels=KERNELS),
        "jan, rate 0.003, TLlib's kernels, unbiased": trained(unbiased_jan, slow),
    }
    benchmark(methods, scenarios(office31(Path(sys.argv[1]))), seeds=3, scores={}, out=OUT, jobs=2)
    print(table(load_runs(OUT)[0]))


if __name__ == "__main__":
    main()
