"""One run on two processes: what each step computes is what one process computes, and rank 0 alone writes and prints."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from dalib.benchmark import Backbone, Protocol, cli, load_runs, scenarios, together, trained
from dalib.benchmark.cli import main
from dalib.benchmark.together import own_part, process_group
from dalib.data import TensorInputs, arrays, row_batches
from dalib.methods import dann, mcd, source_only

ROWS = TensorInputs(torch.arange(22.0).reshape(11, 2))
RECIPES = {"dann": (dann, {"hidden": 8}), "mcd": (mcd, {}), "source_only": (source_only, {})}


def linear():
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh())


def first_step(name, processes):
    """Losses and all states after one step, of a model without batch norm."""
    draw = np.random.default_rng(0)
    labels = np.arange(24) % 3
    rows = [draw.normal(size=(24, 4)) + labels[:, None] + shift for shift in (0.0, 0.5)]
    (pair, _) = scenarios(arrays({"amazon": (rows[0], labels), "webcam": (rows[1], labels)}))
    recipe, options = RECIPES[name]
    plain = {"backbone": Backbone("linear", linear), "bottleneck": None}
    protocol = Protocol(steps=1, checkpoints=1, batch_size=8, rate=0.5, processes=processes, **plain)
    (last,) = trained(recipe, protocol, **options)(pair.task(pair.split(0)), 0)
    return dict(last.losses), {part: dict(last.state[part]) for part in ("model", "objective")}


def child(folder, *command):
    torch.set_num_threads(1)
    if command:
        cli.report = lambda runs, folder, **options: [folder]  # pictures take longer than these runs
        sys.exit(main([*command, "--out", folder]))
    with process_group("cpu"):
        group = weakref.ref(torch.distributed.group.WORLD)
        found = {name: first_step(name, 2) for name in RECIPES}
        torch.save(found, f"{folder}/{os.environ['RANK']}.pt")
        if os.environ["RANK"] == "1":
            assert together._shared(None) is None  # the end, by rank 0
    gc.collect()
    assert group() is None  # with the group its threads are gone, which must not outlive Python


def torchrun(*command):
    if not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *command]
    return subprocess.run(started, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_first_step_of_two_processes_equals_that_of_one(tmp_path):
    ended = torchrun(__file__, str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in RECIPES:
        losses, states = first_step(name, 1)
        for found in both:
            assert found[name][0] == pytest.approx(losses, rel=1e-5)
            for part, state in states.items():
                for key, tensor in state.items():
                    torch.testing.assert_close(found[name][1][part][key], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_command_line_on_two_processes(tmp_path):
    labels = np.repeat([0, 1, 2], 12)
    rows = (np.eye(5)[labels] * 3 + np.random.default_rng(0).standard_normal((36, 5))).astype(np.float32)
    features = tmp_path / "office.npz"
    np.savez(features, A_x=rows, A_y=labels, W_x=rows + 1, W_y=labels, classes=np.array(["mug", "pen", "ruler"]))
    usual = ("--methods", "source_only,dann,target_supervised", "--seeds", "1", "--steps", "4", "--checkpoints", "2")
    ended = torchrun(__file__, str(tmp_path / "out"), "run", "features", "--root", str(features), *usual)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("processes: 2, which share each run") == 1
    assert ended.stdout.count("report:") == 1
    assert ended.stdout.count("target accuracy in percent at the last checkpoint") == 1
    assert "processes 2" in ended.stdout
    runs, damaged = load_runs(tmp_path / "out")
    assert (len(runs), damaged) == (6, [])
    assert {run.config["protocol"]["processes"] for run in runs if not run.supervised} == {2}


@pytest.mark.parametrize("batch_size", [4, 3, 20])
def test_the_parts_of_a_batch_are_the_batch(batch_size):
    whole = row_batches(ROWS, batch_size=batch_size, seed=3)
    parts = [row_batches(ROWS, batch_size=batch_size, seed=3, part=(rank, 2)) for rank in (0, 1)]
    for _ in range(2):
        for expected, *own in zip(whole, *parts, strict=True):
            assert torch.equal(torch.cat([batch.inputs for batch in own]), expected.inputs)
            assert torch.equal(torch.cat([batch.index for batch in own]), expected.index)


def test_wrong_calls(monkeypatch, capsys):
    for part in ((2, 2), (-1, 2), (0, 12)):
        with pytest.raises(ValueError, match=r"0 <= rank < processes <= 11 rows, got"):
            row_batches(ROWS, part=part)
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 3 processes that share it, got 32"):
        Protocol(processes=3)
    with pytest.raises(ValueError, match="compile must be None on 2 processes"):
        Protocol(processes=2, compile="eager")
    with pytest.raises(
        ValueError, match="number of processes that torchrun started, got 2 and 1; use torchrun --nproc"
    ):
        own_part(2)
    assert "processes" not in Protocol().describe()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["list"]) == 2
    assert "torchrun must start dalib run, got another command" in capsys.readouterr().err
    for rank, told in (("0", 1), ("1", 0)):  # every process meets a wrong option, rank 0 tells
        monkeypatch.setenv("RANK", rank)
        assert main(["run", "pictograms", "--batch-size", "7"]) == 2
        assert capsys.readouterr().err.count("batch_size must be a multiple of the 2 processes") == told
    monkeypatch.setenv("RANK", "0")
    assert main(["run", "pictograms", "--jobs", "2"]) == 2
    assert "--jobs must be 1 under torchrun, whose processes train each run together, got 2" in capsys.readouterr().err


if __name__ == "__main__":
    child(*sys.argv[1:])
