"""Many runs: order, records, processes, interruption, failure."""

import concurrent.futures
import dataclasses
import pickle
import time

import joblib
import numpy as np
import pytest
import torch

from dalib.benchmark import (
    Checkpoint,
    Protocol,
    Run,
    RunsFailedError,
    benchmark,
    engine,
    scenarios,
    target_supervised,
    trained,
)
from dalib.methods import dan, source_only
from dalib.outputs import Outputs

PROTOCOL = Protocol(bottleneck=8, steps=4, checkpoints=2)


def guessing(task, seed):
    """A method of the user's own: class probabilities at random, the same for a seed."""

    def predict(inputs):
        generator = torch.Generator().manual_seed(seed)
        return Outputs(torch.ones(len(inputs), 1), torch.rand(len(inputs), len(task.classes), generator=generator))

    yield Checkpoint(0, predict)


def diverging(task, seed):
    if seed == 1:
        raise FloatingPointError("the loss must be finite, got classification = nan")
    yield from guessing(task, seed)


def methods():
    return {
        "source_only": trained(source_only, PROTOCOL),
        "dan": trained(dan, PROTOCOL),
        "guessing": guessing,
        "target_supervised": target_supervised(trained(source_only, PROTOCOL)),
    }


def stripped(run):
    return run.method, run.scenario, run.seed, run.checkpoints


def test_runs_are_ordered_and_equal_in_one_process_and_in_two(domain_set, tmp_path):
    pairs = scenarios(domain_set, [("A", "W"), ("W", "A")])
    alone = benchmark(methods(), pairs, seeds=2)
    assert [(r.seed, r.scenario, r.method) for r in alone] == [
        (seed, pair, name) for seed in (0, 1) for pair in ("A-W", "W-A") for name in methods()
    ]
    beside = benchmark(methods(), pairs, seeds=2, jobs=2, out=tmp_path)
    assert list(map(stripped, alone)) == list(map(stripped, beside))
    assert [r.supervised for r in alone[:4]] == [False, False, False, True]
    assert all(r.environment["threads"] == 1 for r in beside)


def test_a_repeated_benchmark_is_served_from_its_records(domain_set, tmp_path):
    pairs = scenarios(domain_set, [("A", "W")])
    first = benchmark(methods(), pairs, seeds=(4,), out=tmp_path)
    reports = []
    assert benchmark(methods(), pairs, seeds=(4,), out=tmp_path, progress=reports.append) == first
    assert [(r.done, r.total, r.served) for r in reports] == [(4, 4, 4)]
    victim = next(tmp_path.glob("dan__*.json"))
    victim.write_text(victim.read_text()[:100])
    reports.clear()
    again = benchmark(methods(), pairs, seeds=(4,), out=tmp_path, progress=reports.append)
    assert [(r.done, r.served) for r in reports] == [(3, 3), (4, 3)]
    assert reports[-1].run.method == "dan"
    assert list(map(stripped, again)) == list(map(stripped, first))


def test_an_interrupted_benchmark_keeps_what_is_finished(domain_set, tmp_path):
    pairs = scenarios(domain_set, [("A", "W"), ("W", "A")])

    def interrupt(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(methods(), pairs, seeds=1, out=tmp_path, progress=interrupt)
    assert len([Run.load(path) for path in tmp_path.glob("*.json")]) == 3
    assert not list(tmp_path.glob(".*"))
    reports = []
    runs = benchmark(methods(), pairs, seeds=1, out=tmp_path, progress=reports.append)
    assert reports[0].served == 3
    assert len(runs) == 8


def test_a_diverging_run_does_not_stop_the_others(scenario, tmp_path):
    with pytest.raises(RuntimeError, match="1 of 6 runs failed, the others are finished: bad on A-W, seed 1: the loss"):
        benchmark({"bad": diverging, "good": guessing}, [scenario], seeds=3, out=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 5


def test_features_that_grow_out_of_their_dtype_are_a_diverging_run_too(scenario):
    fast = trained(dan, Protocol(bottleneck=8, steps=4, checkpoints=2, rate=1e18))
    with pytest.raises(
        RunsFailedError, match=r"1 of 2 runs failed.*fast on A-W, seed 0: source and target must"
    ) as error:
        benchmark({"fast": fast, "good": guessing}, [scenario], seeds=1)
    assert [run.method for run in error.value.finished] == ["good"]
    sent = pickle.loads(pickle.dumps(error.value))  # as from another process
    assert str(sent) == str(error.value)
    assert sent.finished == error.value.finished


def broken(task, seed):
    raise KeyError("oops")
    yield


@pytest.mark.parametrize("jobs", [1, 2])
def test_other_errors_say_which_run_they_are_from(scenario, jobs):
    with pytest.raises(KeyError) as error:
        benchmark({"broken": broken}, [scenario], seeds=2, jobs=jobs)
    assert error.value.__notes__[0].startswith("in the run of broken on A-W, seed")


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("threading", "of processes: threads share their random numbers, got 2 and threading"),
        ("multiprocessing", "that gives results as they come, got 2 and multiprocessing"),
    ],
)
def test_backends_that_cannot_run_it_are_refused(backend, reason, scenario, tmp_path):
    with (
        joblib.parallel_config(backend=backend),
        pytest.raises(ValueError, match=rf"jobs must be 1, or joblib's backend one {reason}; use loky or dask"),
    ):
        benchmark({"guessing": guessing}, [scenario], seeds=2, jobs=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with joblib.parallel_config(backend=backend):
        assert len(benchmark({"guessing": guessing}, [scenario], seeds=2)) == 2


def drawing(task, seed):
    """A method that draws, and waits between its draws."""
    torch.manual_seed(seed)
    drawn = []
    for _ in range(5):
        drawn.append(torch.rand(()).item())
        time.sleep(0.01)
    yield dataclasses.replace(next(guessing(task, seed)), notes={"drawn": drawn[-1]})


def test_runs_in_threads_do_not_mix_their_random_numbers(scenario):
    expected = [run.checkpoints for run in benchmark({"drawing": drawing}, [scenario], seeds=4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: benchmark({"drawing": drawing}, [scenario], seeds=[seed]), range(4)))
    assert [runs[0].checkpoints for runs in found] == expected


def test_the_number_of_threads_is_given_back(scenario):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        runs = benchmark({"guessing": guessing}, [scenario], seeds=1)
        assert torch.get_num_threads() == 3
        assert runs[0].environment["threads"] == 1
    finally:
        torch.set_num_threads(before)


def test_features_are_kept_for_the_first_seed_alone(scenario, tmp_path):
    benchmark({"guessing": guessing}, [scenario], seeds=(5, 6), out=tmp_path)
    files = list((tmp_path / "features").iterdir())
    assert len(files) == 1
    assert "__5__" in files[0].name
    with np.load(files[0]) as stored:
        assert len(stored["source"]) == len(stored["source_labels"]) == 60
        assert len(stored["target_labels"]) == 60


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": [guessing]}, TypeError, "methods must be a mapping"),
        ({"methods": {"dan": dan}}, TypeError, r"methods\['dan'\] must take \(task, seed\), got .*trained\(recipe\)"),
        ({"methods": {}}, ValueError, "methods and scenarios must not be empty, got 0 and 1"),
        ({"methods": {"a": 3}}, TypeError, r"methods\['a'\] must be a function \(task, seed\), got int"),
        ({"scenarios": ["A-W"]}, TypeError, "scenarios must hold Scenario, got str"),
        ({"seeds": 0}, ValueError, "seeds must be at least 1, got 0"),
        ({"seeds": [1, 1]}, ValueError, "seeds must be different numbers"),
        ({"seeds": [-1]}, ValueError, "seeds must be at least 0, got -1"),
        ({"jobs": 0}, ValueError, "jobs must be at least 1, got 0"),
        ({"seeds": 1.5}, TypeError, "seeds must be an integer or a sequence of integers, got float"),
        ({"methods": {3: guessing}}, TypeError, "methods must have names that are strings, got 3"),
        ({"scenarios": 3}, TypeError, "scenarios must be a sequence of Scenario, got int"),
        ({"scores": [guessing]}, TypeError, "scores must be a mapping such as .*, got list"),
        ({"scores": {"a": 3}}, TypeError, r"scores\['a'\] must be a function of an evaluation under a string, got 3"),
        ({"holdout": "a"}, TypeError, "holdout must be a number, got str"),
    ],
)
def test_wrong_arguments(scenario, arguments, error, message):
    call = {"methods": {"guessing": guessing}, "scenarios": [scenario], **arguments}
    with pytest.raises(error, match=message):
        benchmark(call.pop("methods"), call.pop("scenarios"), **call)


def test_scenarios_need_names_of_their_own(scenario):
    with pytest.raises(ValueError, match="scenarios must have different names, got A-W, A-W"):
        benchmark({"guessing": guessing}, [scenario, scenario])


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(scenario, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out must be a folder that can be written"):
        benchmark({"broken": broken}, [scenario], out=tmp_path / "file")

    def refused(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine.tempfile, "TemporaryFile", refused)
    with pytest.raises(ValueError, match=r"\(Permission denied\); choose another one"):
        benchmark({"broken": broken}, [scenario], out=tmp_path)
