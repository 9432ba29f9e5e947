"""A run that is killed goes on inside itself, and ends as if nothing had happened."""

import errno
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dalib.benchmark import Checkpoint, Protocol, benchmark, scenarios, target_supervised, trained, unfinished
from dalib.benchmark.cli import main
from dalib.benchmark.record import write_whole
from dalib.benchmark.unfinished import Progressed, Unfinished
from dalib.data import arrays
from dalib.methods import source_only
from dalib.outputs import Outputs

KILLED = """
import sys
import numpy as np
from dalib.benchmark import Protocol, benchmark, scenarios, trained, unfinished
from dalib.data import arrays
from dalib.methods import dann

unfinished.SAVE_EVERY = 0.0
draw = np.random.default_rng(0)
labels = np.arange(90) % 3
rows = [draw.normal(size=(90, 4)) + labels[:, None] + shift for shift in (0.0, 0.5)]
pair = scenarios(arrays({"amazon": (rows[0], labels), "webcam": (rows[1], labels)}))[:1]
protocol = Protocol(steps=400, checkpoints=20, batch_size=16, bottleneck=8)
benchmark({"dann": trained(dann, protocol, hidden=16)}, pair, seeds=1, out=sys.argv[1])
"""


@pytest.fixture
def pair():
    rows = torch.randn(24, 4).numpy(), [0, 1, 2] * 8
    return scenarios(arrays({"amazon": rows, "webcam": rows}))[:1]


@pytest.fixture
def command(tmp_path):
    """The command line of two runs of two steps, A-B and B-A, on a small feature file."""
    rows = torch.randn(24, 4).numpy(), torch.arange(24).numpy() % 3
    features = tmp_path / "features.npz"
    np.savez(features, A_x=rows[0], A_y=rows[1], B_x=rows[0], B_y=rows[1], classes=np.array(["a", "b", "c"]))
    return ["run", "features", "--root", str(features), "--methods", "source_only", "--steps", "2", "--seeds", "1"]


def records(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


@pytest.mark.slow
def test_a_process_killed_at_random_moments_ends_with_the_same_record(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([sys.executable, "-c", KILLED, whole], check=True, timeout=120)
    went_on = 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, broken])
        before = time.monotonic()
        while not list(broken.glob(".unfinished/*.pt")) and process.poll() is None and time.monotonic() - before < 60:
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        went_on += bool(list(broken.glob(".unfinished/*.pt")))
        if records(broken):
            break
    subprocess.run([sys.executable, "-c", KILLED, broken], check=True, timeout=120)
    (first,), (second,) = records(whole), records(broken)
    assert went_on
    assert first["checkpoints"] == second["checkpoints"]
    assert first["key"] == second["key"]
    assert not list(broken.glob(".unfinished"))
    assert not list(broken.rglob("*.part"))


STARTED = []  # not in a closure: that would be part of the key
METHOD = trained(source_only, Protocol(steps=20, checkpoints=4, batch_size=8, bottleneck=4))


def stopped(task, seed, state=None):
    STARTED.append(None if state is None else state["step"])
    for checkpoint in METHOD(task, seed, state):
        yield checkpoint
        if len(STARTED) < 3 and checkpoint.step == 10 * len(STARTED):
            raise KeyboardInterrupt


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_run_goes_on_from_its_last_saved_checkpoint(wrapped, pair, tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    STARTED.clear()
    methods = {"mine": target_supervised(stopped) if wrapped else stopped}
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            benchmark(methods, pair, seeds=1, out=tmp_path)
    (run,) = benchmark(methods, pair, seeds=1, out=tmp_path)
    (whole,) = benchmark({"mine": target_supervised(METHOD) if wrapped else METHOD}, pair, seeds=1)
    assert STARTED == [None, 10, 20, None]  # stopped after its last checkpoint there is nothing to go on with
    assert run.checkpoints == whole.checkpoints


def test_a_method_without_state_starts_again(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    STARTED.clear()

    def mine(task, seed):
        STARTED.append(seed)
        for step in (1, 2):
            yield Checkpoint(step, lambda inputs: Outputs(torch.zeros(len(inputs), 1), torch.zeros(len(inputs), 3)))
            if len(STARTED) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark({"mine": mine}, pair, seeds=1, out=tmp_path)
    (run,) = benchmark({"mine": mine}, pair, seeds=1, out=tmp_path)
    assert STARTED == [0, 0]
    assert [checkpoint["step"] for checkpoint in run.checkpoints] == [1, 2]


def test_the_state_of_another_run_or_a_damaged_one_is_not_served(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    file = Unfinished(tmp_path, "mine__A-W__0", "key")
    assert file.load() is None
    progressed = Progressed([{"step": 1}], {"training": 1.0}, {"model": {"weight": torch.ones(2)}, "step": 1})
    file.save(progressed)
    loaded = file.load()
    assert loaded is not None
    assert loaded.checkpoints == progressed.checkpoints
    assert torch.equal(loaded.state["model"]["weight"], torch.ones(2))
    assert Unfinished(tmp_path, "mine__A-W__0", "other").load() is None
    content = io.BytesIO()
    torch.save({"key": "key", "state": pytest.raises}, content)  # what would have to be unpickled as code
    file.path.write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
    assert file.load() is None
    file.remove()
    file.remove()
    assert not list(tmp_path.iterdir())


def flipped(content):
    """One byte of the weight changed: what torch reads as another number."""
    place = content.index(torch.full((2,), 1.5).numpy().tobytes())
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"hello\n",
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[:-100],
        lambda content: content[32:],  # as versions without a digest wrote it
        flipped,
    ],
    ids=["text", "empty", "start", "truncated", "no digest", "flipped"],
)
def test_a_damaged_state_is_warned_of_and_not_served(damage, tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    file = Unfinished(tmp_path, "mine__A-W__0", "key")
    file.save(Progressed([{"step": 1}], {"training": 1.0}, {"weight": torch.full((2,), 1.5)}))
    file.path.write_bytes(damage(file.path.read_bytes()))
    with pytest.warns(UserWarning, match=r"mine__A-W__0\.pt is damaged or of another version; its run starts again"):
        assert file.load() is None


def test_a_run_with_a_damaged_state_starts_again(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    STARTED.clear()
    with pytest.raises(KeyboardInterrupt):
        benchmark({"mine": stopped}, pair, seeds=1, out=tmp_path)
    (state,) = tmp_path.glob(".unfinished/*.pt")
    state.write_text("hello\n")
    STARTED.append(None)  # so that it is not stopped once more
    with pytest.warns(UserWarning, match="its run starts again"):
        (run,) = benchmark({"mine": stopped}, pair, seeds=1, out=tmp_path)
    (whole,) = benchmark({"mine": METHOD}, pair, seeds=1)
    assert run.checkpoints == whole.checkpoints
    assert STARTED == [None] * 3
    assert not list(tmp_path.rglob("*.pt"))


def test_short_runs_write_no_state(pair, tmp_path):
    method = trained(source_only, Protocol(steps=4, checkpoints=4, batch_size=8, bottleneck=4))
    seen = []

    def watched(task, seed, state=None):
        for checkpoint in method(task, seed, state):
            seen.extend(tmp_path.glob(".unfinished/*"))
            yield checkpoint

    benchmark({"mine": watched}, pair, seeds=1, out=tmp_path)
    assert not seen


@pytest.mark.usefixtures("no_pictures")
def test_a_full_disk_leaves_what_was_finished_and_says_so(command, tmp_path, monkeypatch, capsys):
    replace, broken = Path.replace, [True]

    def full(self, target):
        if broken and "B-A" in target.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    out = tmp_path / "out"
    assert main([*command, "--jobs", "1", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"1 of 2 runs are finished in {out}; the same command goes on from there" in said
    assert "No space left on device" in said
    assert not list(out.rglob("*.part"))
    broken.clear()
    assert main([*command, "--jobs", "1", "--out", str(out)]) == 0
    assert len(list(out.glob("*.json"))) == 2


FULL = []  # while something is in it, no state can be written


def filling(task, seed, state=None):
    for checkpoint in METHOD(task, seed, state):
        STARTED.append((None if state is None else state["step"], checkpoint.step))
        if STARTED[-1] == (None, 10):
            FULL.append(True)
        yield checkpoint


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
def test_a_disk_that_fills_up_while_a_state_is_written_leaves_the_one_before(pair, tmp_path, monkeypatch):
    fsync = os.fsync

    def full(descriptor):
        if FULL and ".pt." in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(unfinished, "SAVE_EVERY", 0.0)
    STARTED.clear()
    with pytest.raises(OSError, match="No space left on device"):
        benchmark({"mine": filling}, pair, seeds=1, out=tmp_path)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".pt"]  # that of step 5, and no part
    FULL.clear()
    (run,) = benchmark({"mine": filling}, pair, seeds=1, out=tmp_path)
    (whole,) = benchmark({"mine": METHOD}, pair, seeds=1)
    assert STARTED == [(None, 5), (None, 10), (5, 10), (5, 15), (5, 20)]
    assert run.checkpoints == whole.checkpoints
    assert not list(tmp_path.rglob("*.pt"))


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*accuracy\.png'"):
        write_whole(tmp_path / "accuracy.png", b"content")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".json", ".npz"])
@pytest.mark.usefixtures("no_pictures")
def test_ctrl_c_in_the_middle_of_a_write_leaves_no_half_record(name, command, tmp_path, monkeypatch, capsys):
    replace, pressed = Path.replace, []

    def interrupted(self, target):
        if not pressed and "B-A" in target.name and target.suffix == name:
            pressed.append(True)
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    out = tmp_path / "out"
    assert main([*command, "--jobs", "1", "--out", str(out)]) == 130
    said = capsys.readouterr().err
    assert f"1 of 2 runs are finished in {out}; the same command goes on from there" in said
    assert said.endswith("dalib: interrupted\n")
    assert [path.name.split("__")[1] for path in out.glob("*.json")] == ["A-B"]
    assert not list(out.rglob("*.part"))
    assert main([*command, "--jobs", "1", "--out", str(out)]) == 0
    assert len(list(out.glob("*.json"))) == 2
