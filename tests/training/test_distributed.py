"""Two processes with half of the rows each equal one process with all of them."""

import functools
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from dalib import (
    Align,
    Batch,
    CORALLoss,
    DomainAdversarialLoss,
    DomainDiscriminator,
    FeatureClassifier,
    MMDLoss,
    Objective,
    SourceObjective,
    gradient_step,
    joint_forward,
    linear_ramp,
    separate_forward,
    source_cross_entropy,
)
from dalib.methods import adda, mcd
from dalib.training import GlobalForward, synchronised

STEPS, RESUMED = 3, 2
FORWARDS = dict.fromkeys(("separate", "source", "mcd", "adda"), separate_forward) | {"joint": joint_forward}


def problem(mode):
    """Model, objective and batches of 7 source and 6 target rows; no batch norm, so that no statistic is local."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    model = FeatureClassifier(backbone, 3, bottleneck=None, width=6)
    discriminator = DomainDiscriminator(6, hidden=8)  # its batch norm sees the rows of both
    objectives = {
        "mcd": lambda: mcd(6, 3, 10, times=2),
        "adda": lambda: adda(6, 3, 10, hidden=8, pretraining=RESUMED + 1),
        "source": lambda: SourceObjective(classification=source_cross_entropy),
    }
    objective = (
        objectives[mode]()
        if mode in objectives
        else Objective(
            classification=source_cross_entropy,
            mmd=Align(MMDLoss()),
            coral=Align(CORALLoss(), weight=10.0),
            dann=Align(DomainAdversarialLoss(discriminator, strength=linear_ramp(8))),
        )
    )
    generator = torch.Generator().manual_seed(1)
    source = Batch(
        torch.randn(7, 4, generator=generator), torch.arange(7) % 3, torch.rand(7, generator=generator) + 0.5
    )
    return model, objective, source, Batch(torch.randn(6, 4, generator=generator) + 1)


def part(batch, rows):
    return Batch(*(None if entry is None else entry[rows] for entry in batch))


def trained(mode, forward, wrap=lambda model: model, source_rows=slice(None), target_rows=slice(None), disturb=False):
    model, objective, source, target = problem(mode)
    if disturb:  # the objective of another process starts elsewhere; rank 0's is taken over
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter.add_(1.0)
    if not disturb or mode == "adda":  # which counts its steps itself
        for _ in range(RESUMED):
            objective.advance()
    objective = synchronised(objective)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1, momentum=0.9)
    step = gradient_step(wrap(model), objective, optimizer, forward=forward)
    losses = [step(part(source, source_rows), part(target, target_rows)) for _ in range(STEPS)]
    parameters = [parameter.detach() for parameter in (*model.parameters(), *objective.parameters())]
    return [{name: float(term) for name, term in each.terms.items()} for each in losses], parameters


def child(rank, folder):
    import torch.distributed as dist
    import torch.distributed.nn  # before there is a group, which it would keep to the end of Python
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    rows = (slice(0, 4), slice(4, 7))[rank], (slice(0, 2), slice(2, 6))[rank]
    parallel = functools.partial(DistributedDataParallel, broadcast_buffers=False)
    with pytest.raises(TypeError, match=r"DistributedDataParallel for an objective with phases, .* synchronised"):
        trained("mcd", separate_forward, parallel)
    results = {
        mode: trained(
            mode,
            GlobalForward(forward),
            synchronised if mode in ("mcd", "adda") else parallel,
            *rows,
            disturb=rank == 1,
        )
        for mode, forward in FORWARDS.items()
    }
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What each of two processes made of every mode."""
    if not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    folder = tmp_path_factory.mktemp("distributed")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)], env=environment) for rank in (0, 1)
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("mode", FORWARDS)
@pytest.mark.slow
def test_two_processes_equal_one(mode, two_processes):
    expected_losses, expected = trained(mode, FORWARDS[mode])
    for results in two_processes:
        losses, parameters = results[mode]
        for one, two in zip(expected_losses, losses, strict=True):
            assert two == pytest.approx(one, rel=1e-4, abs=1e-6)
        for one, two in zip(expected, parameters, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-6)


def test_one_process_is_left_alone():
    forward = GlobalForward(joint_forward)
    for one, two in zip(trained("joint", joint_forward)[1], trained("joint", forward)[1], strict=True):
        assert torch.equal(one, two)


if __name__ == "__main__":
    torch.set_num_threads(1)
    child(int(sys.argv[1]), sys.argv[2])
