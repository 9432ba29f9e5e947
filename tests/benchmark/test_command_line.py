"""The command line: what it prints, where it writes, and one sentence for every error."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dalib.benchmark import Run, load_runs, progress, report
from dalib.benchmark.cli import main
from dalib.benchmark.engine import Progress
from dalib.benchmark.pictured import load_features
from dalib.benchmark.sets import SETS


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 12)
    content = {"classes": np.array(["mug", "pen", "ruler"])}
    for number, name in enumerate(("amazon", "webcam")):
        content[f"{name}_x"] = (np.eye(5)[labels] * 3 + generator.standard_normal((36, 5)) + number).astype(np.float32)
        content[f"{name}_y"] = labels
    path = tmp_path_factory.mktemp("data") / "office.npz"
    np.savez(path, **content)
    return str(path)


def run(features, out, *more):
    usual = ("--root", features, "--methods", "source_only,dan", "--seeds", "1", "--steps", "6", "--jobs", "1")
    return main(["run", "features", *usual, "--out", str(out), *more])


def test_run_prints_the_table_and_the_pictures_and_the_same_command_goes_on(features, tmp_path, capsys, monkeypatch):
    drawn = []

    def once(runs, folder, **options):  # the same pictures again would take as long again
        if not drawn:
            drawn.extend(report(runs, folder, **options))
        return drawn

    monkeypatch.setattr("dalib.benchmark.cli.report", once)
    assert run(features, tmp_path) == 0
    first = capsys.readouterr()
    assert "method       A-W  W-A" in " ".join(first.out.split(" ")).replace("   ", "  ") or "A-W" in first.out
    for word in ("source_only", "dan", "oracle", "information maximization", "picture:"):
        assert word in first.out
    assert "4 runs (2 methods, 2 pairs, seeds: 1), 6 steps on" in first.err
    assert "[4/4] W-A dan (separate) seed 0:" in first.err
    assert "left" in first.err
    assert (tmp_path / "report" / "accuracy.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "report" / "features.png").read_bytes()[:4] == b"\x89PNG"
    assert run(features, tmp_path) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "[4/4] 4 runs are finished already" in second.err
    # the other forward mode stands beside the first in the folder's table; source_only is not run again
    assert run(features, tmp_path, "--forward", "joint") == 0
    assert "[2/4] 2 runs are finished already" in capsys.readouterr().err
    assert main(["table", str(tmp_path), "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert "| dan (joint) |" in shown
    assert "| dan (separate) |" in shown
    monkeypatch.undo()
    assert main(["report", str(tmp_path), "--pair", "W-A"]) == 0
    assert main(["report", str(tmp_path), "--pair", "A-X"]) == 2
    assert "--pair must have stored features, got 'A-X'; there are: A-W, W-A" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pictures")
def test_options_reach_the_protocol_and_the_record(features, tmp_path):
    more = ("--pairs", "w-a", "--batch-size", "7", "--checkpoints", "3", "--holdout", "0.25", "--autocast", "bfloat16")
    assert (
        run(features, tmp_path, "--methods", "importance_weighted,target_supervised,mcc", "--device", "cpu", *more) == 0
    )
    runs, damaged = load_runs(tmp_path)
    assert not damaged
    assert {r.scenario for r in runs} == {"W-A"}
    by_method = {r.method: r for r in runs}
    protocol = by_method["mcc"].config["protocol"]
    assert (protocol["batch_size"], protocol["steps"], protocol["autocast"]) == (7, 6, "torch.bfloat16")
    assert [c["step"] for c in by_method["mcc"].checkpoints] == [2, 4, 6]
    assert by_method["mcc"].split["rows"]["source_held_out"] == 9
    assert by_method["target_supervised"].supervised
    assert by_method["importance_weighted"].checkpoints[0]["notes"]["effective_rows"] > 1


@pytest.mark.usefixtures("no_pictures")
def test_damaged_records_are_named_and_left_out(features, tmp_path, capsys):
    run(features, tmp_path)
    (tmp_path / "other.json").write_text("{")
    capsys.readouterr()
    assert main(["table", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "other.json must be the record of a run" in captured.err
    assert "source_only" in captured.out
    assert main(["table", str(tmp_path), "--parts", "accuracy,"]) == 0
    assert "accuracy" in capsys.readouterr().out
    for option, message in (
        ("--parts", "parts must be among"),
        ("--validators", "--validators must name at least one"),
    ):
        assert main(["table", str(tmp_path), option, ""]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_pictures")
def test_a_record_nested_too_deeply_is_named(features, tmp_path, capsys):
    run(features, tmp_path)
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    capsys.readouterr()
    assert main(["table", str(tmp_path)]) == 0
    assert "deep.json must be the record of a run, got a file that cannot be read" in capsys.readouterr().err


def test_damaged_features_are_named_and_left_out(features, tmp_path, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(
        "dalib.benchmark.cli.report", lambda runs, folder, **options: told.extend(options["damaged"]) or [folder]
    )
    run(features, tmp_path)
    told.clear()
    first, second, third, *_ = sorted((tmp_path / "features").iterdir())
    content = second.read_bytes()
    first.write_bytes(b"")
    second.write_bytes(content[:80] + bytes(range(40)) + content[120:])
    np.savez(third, source=np.zeros(3))
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [f"note: {sentence}" for sentence in told]
    for path, sentence in zip((first, second, third), sorted(told), strict=True):
        assert sentence.startswith(f"{path} must be the features of a run, got a file ")
    found, _ = load_runs(tmp_path)
    assert {run.stem: load_features(tmp_path, run.stem) is None for run in found} == {
        run.stem: tmp_path / "features" / f"{run.stem}.npz" in (first, second, third) for run in found
    }


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in (*SETS, "source_only", "importance_weighted", "target_supervised", "entropy", "timm:NAME"):
        assert name in shown
    assert ":math:" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "pictogrms"],
            "features, folder, list, got 'pictogrms'; nearest: pictograms",
        ),
        (["run", "features"], "--root must be the file of features for the set features, got none"),
        (["run", "pictograms", "--root", "."], "--root must not be given for the set pictograms"),
        (
            ["run", "features", "--root", "/nowhere/x.npz"],
            "--root must be the file of features, got '/nowhere/x.npz', which does not exist",
        ),
        (["run", "list", "--root", "."], "--lists must be given for the set list"),
        (["run", "FILE", "--methods", "dan,dnn"], "got 'dnn'; nearest: dann"),
        (["run", "FILE", "--methods", ","], "--methods must name at least one of"),
        (
            ["run", "FILE", "--pairs", "A-X"],
            "pairs must name domains of office, got 'X'; known: amazon (A), webcam (W)",
        ),
        (["run", "FILE", "--pairs", "AW"], "--pairs must look like A-W,W-A (source-target), got 'AW'"),
        (["run", "FILE", "--pairs", ","], "--pairs must name at least one pair"),
        (["run", "FILE", "--pairs", ""], "--pairs must name at least one pair"),
        (["run", "FILE", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["run", "FILE", "--seeds", "99999999999"], "seeds must be a number of seeds up to 10000, got 99999999999"),
        (["run", "FILE", "--out", ""], "out must be the name of a folder, got an empty one"),
        (["run", "FILE", "--steps", "0"], "steps must be at least 1, got 0"),
        (["run", "FILE", "--jobs", "0"], "jobs must be at least 1, got 0"),
        (["run", "FILE", "--holdout", "1"], "holdout must be in [0, 1), got 1"),
        (["run", "FILE", "--backbone", "timm:resnet18"], "--backbone must not be given for feature vectors"),
        (["table", "/nowhere"], "folder must be an existing folder of records, got '/nowhere'"),
    ],
)
def test_one_sentence_for_every_error(arguments, message, features, tmp_path, capsys):
    out = tmp_path / "out"
    if "FILE" in arguments:
        place = arguments.index("FILE")
        arguments = [*arguments[:place], "features", "--root", features, "--out", str(out), *arguments[place + 1 :]]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    *_, last = captured.err.strip().splitlines()
    assert last.startswith("dalib: error: ")
    assert message in last
    assert captured.out == ""
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["run"], "the following arguments are required: SET"),
        (["rnu"], "invalid choice: 'rnu'"),
        (["run", "features", "--forward", "both"], "invalid choice: 'both'"),
        (["run", "features", "--steps", "many"], "invalid int value: 'many'"),
    ],
)
def test_the_parser_says_it_in_one_line_too(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_cuda_is_refused_where_there_is_none(features, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(features, tmp_path, "--device", "cuda") == 2
    assert "--device must be cpu or auto on this machine, got cuda without a CUDA device" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(features, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(features, tmp_path / "file" / "runs") == 2
    assert "out must be a folder that can be written" in capsys.readouterr().err


def test_interruption_says_how_to_go_on(features, tmp_path, capsys, monkeypatch):
    from dalib.benchmark import engine

    real, calls = engine.run, []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(engine, "run", interrupted)
    assert run(features, tmp_path) == 130
    assert f"2 of 4 runs are finished in {tmp_path}; the same command goes on from there" in capsys.readouterr().err
    assert len([Run.load(path) for path in tmp_path.glob("*.json")]) == 2
    monkeypatch.undo()
    assert run(features, tmp_path) == 0
    assert "[2/4] 2 runs are finished already" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs the processes in /proc")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_sigterm_stops_the_workers_and_says_how_to_go_on(jobs, features, tmp_path):
    command = ["run", "features", "--root", features, "--methods", "source_only,dan", "--steps", "100000"]
    command += ["--checkpoints", "100", "--jobs", jobs, "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dalib", *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_until(lambda: (tmp_path / ".unfinished").is_dir())  # the workers are at work
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 143
        assert f"no runs are finished in {tmp_path}" in said or f"of 12 runs are finished in {tmp_path}" in said
        assert said.endswith("dalib: interrupted\n")
        wait_until(lambda: not session(process.pid), seconds=20)
    finally:
        for left in session(process.pid):
            os.kill(left, signal.SIGKILL)


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def session(leader):
    """The processes that one has started, and itself, but for those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, number, *_ = path.read_text().rpartition(")")[2].split()
            if int(number) == leader and state != "Z":
                found.append(int(path.parent.name))
    return found


def test_python_m_dalib_and_the_installed_command_are_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "dalib", "table", "/nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dalib: error: folder must be an existing folder")


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("rich", reason="rich is an optional extra")
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with progress.shown_progress(terminal) as show:
        show(Progress(None, done=3, total=8, served=3, left=None))
    assert "3/8" in terminal.getvalue()
    assert "3 runs are finished already" in terminal.getvalue()


def office_features(path):
    """A feature file with the names, classes and counts of Office-31, rows that are easy to tell apart."""
    from dalib.data.known_sets import OFFICE31_CLASSES, OFFICE31_COUNTS

    generator = np.random.default_rng(0)
    content = {"classes": np.array(OFFICE31_CLASSES)}
    for number, (name, counts) in enumerate(OFFICE31_COUNTS.items()):
        labels = np.repeat(np.arange(31), counts)
        rows = np.eye(31)[labels] * 3 + generator.standard_normal((len(labels), 31)) + number
        content |= {f"{name}_x": rows.astype(np.float32), f"{name}_y": labels}
    np.savez(path, **content)
    return str(path)


@pytest.mark.parametrize(
    ("kind", "methods"),
    [("partial", "source_only dann pada iwan etn"), ("open", "source_only dann osbp")],
)
def test_scenarios_of_other_kinds_run_their_own_methods(kind, methods, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dalib.benchmark.cli.report", lambda runs, folder, **options: [folder])  # pictures take long
    office = office_features(tmp_path / "office31.npz")
    usual = ("--root", office, "--pairs", "W-D", "--seeds", "1", "--steps", "2", "--checkpoints", "1", "--jobs", "1")
    assert main(["run", "office31", "--scenario", kind, *usual]) == 0
    shown = capsys.readouterr().out
    runs, _ = load_runs(f"runs/office31_{kind}")
    assert sorted(run.method for run in runs) == sorted(methods.split())
    assert {run.kind for run in runs} == {kind}
    assert ("HOS in percent" in shown) == (kind == "open")
    assert ("OS*" in shown) == (kind == "open")


def test_a_set_without_a_published_split_is_told_and_recipes_of_all_kinds_are_listed(features, tmp_path, capsys):
    assert run(features, tmp_path, "--scenario", "universal") == 2
    error = capsys.readouterr().err
    assert "no split is published; choose its classes in Python with dalib.benchmark.universal_scenarios" in error
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for word in ("pada", "iwan", "etn", "osbp", "uan", "ovanet", "universal", "published classes: office31"):
        assert word in shown


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m dalib list | head -n 1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "Data sets:\n"
    assert ended.stderr == ""
