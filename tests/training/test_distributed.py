"""Two processes with half of the rows each equal one process with all of them."""

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
    gradient_step,
    joint_forward,
    separate_forward,
    source_cross_entropy,
)
from dalib.training import GlobalForward, synchronised

STEPS = 3


def problem():
    """Model, objective and batches of 7 source and 6 target rows; no batch norm, so that no statistic is local."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    model = FeatureClassifier(backbone, 3, bottleneck=None, width=6)
    discriminator = DomainDiscriminator(6, hidden=8)  # its batch norm sees the rows of both
    objective = Objective(
        classification=source_cross_entropy,
        mmd=Align(MMDLoss()),
        coral=Align(CORALLoss(), weight=10.0),
        dann=Align(DomainAdversarialLoss(discriminator)),
    )
    generator = torch.Generator().manual_seed(1)
    source = Batch(
        torch.randn(7, 4, generator=generator), torch.arange(7) % 3, torch.rand(7, generator=generator) + 0.5
    )
    return model, objective, source, Batch(torch.randn(6, 4, generator=generator) + 1)


def part(batch, rows):
    return Batch(*(None if entry is None else entry[rows] for entry in batch))


def trained(forward, wrap=lambda model: model, source_rows=slice(None), target_rows=slice(None), disturb=False):
    model, objective, source, target = problem()
    if disturb:  # the objective of another process starts elsewhere; rank 0's is taken over
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter.add_(1.0)
    objective = synchronised(objective)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1, momentum=0.9)
    step = gradient_step(wrap(model), objective, optimizer, forward=forward)
    losses = [step(part(source, source_rows), part(target, target_rows)) for _ in range(STEPS)]
    parameters = [parameter.detach() for parameter in (*model.parameters(), *objective.parameters())]
    return [{name: float(term) for name, term in each.terms.items()} for each in losses], parameters


def child(rank, folder, mode):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo", init_method=f"file://{folder}/{mode}", rank=rank, world_size=2)
    rows = (slice(0, 4), slice(4, 7))[rank], (slice(0, 2), slice(2, 6))[rank]
    forward = GlobalForward({"joint": joint_forward, "separate": separate_forward}[mode])
    result = trained(
        forward, lambda model: DistributedDataParallel(model, broadcast_buffers=False), *rows, disturb=rank == 1
    )
    torch.save(result, f"{folder}/{mode}{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch was built without torch.distributed")
@pytest.mark.parametrize("mode", ["separate", "joint"])
def test_two_processes_equal_one(mode, tmp_path):
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path), mode], env=environment) for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    expected_losses, expected = trained({"joint": joint_forward, "separate": separate_forward}[mode])
    for rank in (0, 1):
        losses, parameters = torch.load(tmp_path / f"{mode}{rank}.pt", weights_only=True)
        for one, two in zip(expected_losses, losses, strict=True):
            assert two == pytest.approx(one, rel=1e-4, abs=1e-6)
        for one, two in zip(expected, parameters, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-6)


def test_one_process_is_left_alone():
    forward = GlobalForward(joint_forward)
    for one, two in zip(trained(joint_forward)[1], trained(forward)[1], strict=True):
        assert torch.equal(one, two)


if __name__ == "__main__":
    torch.set_num_threads(1)
    child(int(sys.argv[1]), sys.argv[2], sys.argv[3])
