"""Records as TensorBoard scalars."""

import sys
import types
from pathlib import Path

import pytest

from dalib.benchmark.cli import main
from dalib.benchmark.engine import Progress
from dalib.benchmark.tensorboard import TensorBoard
from tests.benchmark.records import made_record


@pytest.fixture
def written(monkeypatch):
    """What a writer that stands in for TensorBoard's is told."""
    calls = []

    class Writer:
        def __init__(self, folder):
            self.folder = Path(folder)

        def __enter__(self):
            self.folder.mkdir(parents=True)
            (self.folder / "events.out").touch()
            return self

        def __exit__(self, *error):
            calls.append("closed")

        def add_scalar(self, tag, value, step):
            calls.append((tag, value, step))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return calls


def test_every_number_of_every_checkpoint_is_written_once(tmp_path, written):
    run = made_record(scores=(0.3, None, 0.1))
    log = TensorBoard(tmp_path)
    log(Progress(None, 0, 1, 0, None))
    assert written == []
    log(Progress(run, 1, 1, 0, 0.0))
    assert [call for call in written if call[0] == "target/accuracy"] == [
        ("target/accuracy", 0.5, 10),
        ("target/accuracy", 0.7, 20),
        ("target/accuracy", 0.6, 30),
    ]
    assert [call for call in written if call[0] == "scores/confidence"] == [
        ("scores/confidence", 0.3, 10),  # the score that was no number is left out
        ("scores/confidence", 0.1, 30),
    ]
    assert ("losses/total", 1.0, 30) in written
    assert written[-1] == "closed"
    assert (tmp_path / "office" / "dann-joint" / "A-W-0-dannA-W0" / "events.out").is_file()
    count = len(written)
    assert log.write([run]) == []
    assert len(written) == count


def test_no_name_leads_out_of_the_folder(tmp_path, written):
    log = TensorBoard(tmp_path / "logs")
    for name in ("../up", "/there", "dan,weight=1/2"):
        (place,) = log.write([made_record(name)])
        assert place.parent.parent == tmp_path / "logs" / "office"


def test_without_tensorboard_nothing_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="--tensorboard needs tensorboard; pip install"):
        TensorBoard(tmp_path)
    out = tmp_path / "runs"
    assert main(["run", "pictograms", "--out", str(out), "--tensorboard", str(tmp_path / "logs")]) == 2
    assert "--tensorboard needs tensorboard" in capsys.readouterr().err
    assert not out.exists()


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is an optional extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = TensorBoard(tmp_path).write([made_record()])
    events = EventAccumulator(str(folder)).Reload()
    shown = [(event.step, round(event.value, 6)) for event in events.Scalars("target/accuracy")]
    assert shown == [(10, 0.5), (20, 0.7), (30, 0.6)]
