"""A run and its record: what is scored, written, served, refused."""

import ast
import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from dalib.benchmark import (
    SCORES,
    Checkpoint,
    Protocol,
    Run,
    benchmark,
    code,
    groups,
    identity,
    load_runs,
    run,
    table,
    target_supervised,
    trained,
)
from dalib.benchmark.judge import accuracies
from dalib.benchmark.record import file_stem, write_whole
from dalib.benchmark.run import run_key
from dalib.methods import dann, mcc
from dalib.outputs import Outputs


def nearest_centre(task, seed):
    """A shallow method: two checkpoints, the second with the centres moved by the difference of the domains' means."""
    source, target = (inputs.load(np.arange(len(inputs))) for inputs in (task.source, task.target))
    labels = torch.from_numpy(task.source_labels.copy())
    centres = torch.stack([source[labels == label].mean(0) for label in range(len(task.classes))])
    for step, shift in enumerate((torch.zeros(6), target.mean(0) - source.mean(0))):

        def predict(inputs, shift=shift):
            rows = inputs.load(np.arange(len(inputs)))
            return Outputs(rows, -torch.cdist(rows, centres + shift))

        yield Checkpoint(step, predict, losses={"gap": float(shift.norm())})


def test_a_run_records_every_score_and_the_accuracy_of_every_checkpoint(scenario):
    done = run(nearest_centre, "centre", scenario, 0)
    assert [c["step"] for c in done.checkpoints] == [0, 1]
    first, last = done.checkpoints
    assert last["accuracy"] > first["accuracy"]  # the domains differ by a shift of 1.5
    for checkpoint in done.checkpoints:
        assert set(checkpoint["scores"]) == set(SCORES)
        assert set(checkpoint["descriptions"]) == {"mmd", "coral", "proxy_a"}
    assert first["losses"]["gap"] == 0.0
    # the accuracy is that of the target's labels, computed here from the domains alone
    labels = scenario.target.labels
    centres = np.stack([scenario.source.inputs.tensor.numpy()[scenario.source.labels == k].mean(0) for k in range(4)])
    predicted = np.linalg.norm(scenario.target.inputs.tensor.numpy()[:, None] - centres, axis=2).argmin(1)
    assert first["accuracy"] == pytest.approx((predicted == labels).mean())


def test_a_record_survives_the_file(scenario, tmp_path):
    done = run(nearest_centre, "centre", scenario, 0, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [f"{done.stem}.json"]
    assert Run.load(tmp_path / f"{done.stem}.json") == done
    assert load_runs(tmp_path) == ([done], [])
    assert done.data["source"] == "amazon"
    assert done.split["rows"] == {"source": 60, "source_held_out": 0, "target": 60, "target_test": 0}
    assert {"torch", "numpy", "python"} <= set(done.environment["versions"])


def test_a_finished_run_is_served_and_a_stale_or_damaged_one_is_not(scenario, tmp_path):
    calls = []

    def counted(task, seed):
        calls.append(seed)
        yield from nearest_centre(task, seed)

    def again(**changes):
        return run(
            counted, "centre", changes.pop("scenario", scenario), changes.pop("seed", 0), out=tmp_path, **changes
        )

    first = again(key="a" * 64)
    assert again(key="a" * 64) == first
    assert len(calls) == 1
    again(key="b" * 64)  # another key: other configuration, data or code
    again(seed=1, key="a" * 64)
    assert len(calls) == 3
    path = tmp_path / f"{first.stem}.json"
    for damage in (
        path.read_bytes()[:200],
        path.read_bytes().replace(b'"accuracy": 0', b'"accuracy": 1'),
        b"[]",
        b"\xff",
    ):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match="must"):
            Run.load(path)
        assert again(key="a" * 64).checkpoints == first.checkpoints
    assert len(calls) == 7
    assert Run.load(path).checkpoints == first.checkpoints


def test_the_key_depends_on_everything_that_decides_the_numbers(domain_set, scenario):
    from dalib.benchmark import scenarios

    def other(task, seed):
        return nearest_centre(task, seed)

    turned = scenarios(domain_set, [("W", "A")])[0]
    keys = [
        run_key(nearest_centre, "centre", scenario, 0),
        run_key(nearest_centre, "centre", scenario, 1),
        run_key(nearest_centre, "centre", turned, 0),
        run_key(nearest_centre, "centre", scenario, 0, holdout=0.1),
        run_key(nearest_centre, "centre", scenario, 0, scores={}),
        run_key(nearest_centre, "other name", scenario, 0),
        run_key(other, "centre", scenario, 0),
        run_key(target_supervised(nearest_centre), "centre", scenario, 0),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == run_key(nearest_centre, "centre", scenario, 0)


def test_the_key_changes_with_the_code_of_the_library_and_of_the_user(tmp_path, monkeypatch):
    library = code.code(sorted)
    monkeypatch.setattr(code, "_statements", lambda module: "other")
    assert code.code(sorted) != library
    monkeypatch.undo()
    path = tmp_path / "mine.py"
    monkeypatch.syspath_prepend(tmp_path)
    path.write_text("def method(task, seed):\n    return 1\n")
    import mine  # type: ignore[import-not-found]

    before = code.code(mine.method)
    path.write_text("SCALE = 2\ndef method(task, seed):\n    return 1\n")
    assert code.code(mine.method) != before


def test_the_key_changes_with_what_a_method_reaches_and_with_nothing_else(monkeypatch):
    methods = {recipe: trained(recipe, Protocol(steps=2)) for recipe in (dann, mcc)}
    before = {recipe: code.code(method) for recipe, method in methods.items()}
    assert before[dann] != before[mcc]
    kept = code._statements
    for module, changed in (
        ("dalib.losses.discriminator", {dann}),
        ("dalib.losses.mcc", {mcc}),
        ("dalib.training.step", {dann, mcc}),
        ("dalib.data.batches", {dann, mcc}),
        ("dalib.validators.entropy", {dann, mcc}),
        ("dalib.benchmark.table", set()),
        ("dalib.methods.cdan", set()),
    ):
        monkeypatch.setattr(code, "_statements", lambda name, m=module: "changed" if name == m else kept(name))
        assert {recipe for recipe, method in methods.items() if code.code(method) != before[recipe]} == changed, module


def test_docstrings_and_comments_are_not_code(monkeypatch):
    def statements(text):
        monkeypatch.setattr(code, "_tree", lambda module: ast.parse(text))
        return code._statements.__wrapped__("some.module")

    plain = statements("def f(x):\n    return x + 1\n")
    assert statements('"""Title."""\ndef f(x):\n    """Adds one."""\n    return x + 1  # one\n') == plain
    assert statements("def f(x):\n    return x + 2\n") != plain


def test_descriptions_are_equal_in_every_process_and_tell_configurations_apart():
    def closed_over(number):
        return lambda task, seed: number

    class Estimator:
        def __init__(self, clip):
            self.clip = clip

    assert identity.describe(closed_over(1)) != identity.describe(closed_over(2))
    assert identity.describe(Estimator(1)) == identity.describe(Estimator(1)) != identity.describe(Estimator(2))
    values = [
        torch.tensor([1.0]),
        np.array([1.0]),
        torch.float16,
        closed_over(1),
        Estimator(2),
        {1, 2},
        torch.nn.Linear,
    ]
    text = json.dumps(identity.describe(values))
    assert "0x" not in text  # no addresses


def test_the_harness_alone_trains_on_target_labels(scenario):
    seen = []

    def spying(task, seed):
        seen.append(task)
        yield from nearest_centre(task, seed)

    done = run(target_supervised(spying), "target_supervised", scenario, 0)
    assert done.supervised
    assert not run(spying, "plain", scenario, 0).supervised
    task = seen[0]
    rows = {tuple(row) for row in scenario.target.inputs.tensor.tolist()}
    trained, scored = (
        {tuple(row) for row in part.load(np.arange(len(part))).tolist()} for part in (task.source, task.target)
    )
    assert trained | scored == rows  # target rows alone,
    assert not trained & scored  # and none that is scored was trained on
    assert len(scored) == pytest.approx(0.2 * len(rows), abs=2)
    assert done.split["rows"]["target"] == len(scored)
    with pytest.raises(TypeError):
        target_supervised(spying)(task, 0)  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"method must be a function \(task, seed\)"):
        target_supervised("mine")  # type: ignore[arg-type]


def test_the_bound_of_the_inductive_protocol_is_scored_on_the_rows_that_no_method_sees(scenario):
    seen = []

    def spying(task, seed):
        seen.append(task)
        yield from nearest_centre(task, seed)

    shares = {"target_test": 0.25, "holdout": 0.2}
    done = run(target_supervised(spying), "target_supervised", scenario, 0, **shares)
    plain = run(spying, "plain", scenario, 0, **shares)
    bound, other = seen
    part = scenario.split(0, 0.2, 0.25)
    values = scenario.target.inputs.tensor
    rows = {tuple(row) for row in values[part.target].tolist()}
    test = {tuple(row) for row in values[part.target_test].tolist()}
    held_out, trained, target = (
        {tuple(row) for row in inputs.load(np.arange(len(inputs))).tolist()}
        for inputs in (bound.source_held_out, bound.source, bound.target)
    )
    assert trained | held_out == target == rows  # labelled and held out, all of them rows that others see
    assert not (trained | target) & test
    assert len(other.target) == len(bound.target)
    assert (done.split["protocol"], done.split["holdout"], done.split["target_test"]) == ("inductive", 0.2, 0.25)
    assert done.split["rows"]["target_test"] == plain.split["rows"]["target_test"] == len(test)
    assert done.split["rows"]["source_held_out"] == len(held_out) > 0
    assert "scored_share" not in done.config
    labels = {tuple(row): label for row, label in zip(values.tolist(), scenario.target.labels.tolist(), strict=True)}
    own = bound.source.load(np.arange(len(bound.source))).tolist()
    assert [labels[tuple(row)] for row in own] == bound.source_labels.tolist()
    text = table([done, plain], parts=("accuracy",))
    assert "trained on the labels of the target rows that others see, scored on the same rows as they are" in text
    assert "80 %" not in text


@pytest.mark.parametrize("name", ["last", "oracle"])
def test_a_validator_cannot_take_the_name_of_a_rule(scenario, name):
    scores = {name: lambda evaluation: 0.0}
    with pytest.raises(ValueError, match=f"scores must have other names than last and oracle.* got '{name}'"):
        run(nearest_centre, "centre", scenario, 0, scores=scores)
    with pytest.raises(ValueError, match=f"scores must have other names than last and oracle.* got '{name}'"):
        benchmark({"centre": nearest_centre}, [scenario], seeds=1, scores=scores)


def test_long_names_are_files_and_stay_distinct(scenario, tmp_path):
    names = [f"dan,note={'x' * 300}{end}" for end in "ab"]
    runs = benchmark(dict.fromkeys(names, nearest_centre), [scenario], seeds=1, out=tmp_path)
    assert [run.method for run in runs] == names
    assert sorted(run.method for run in load_runs(tmp_path)[0]) == names
    stems = {file_stem(name, "S" * 300, 10**9, "0" * 64) for name in names}
    assert len(stems) == 2
    assert max(map(len, stems)) < 200  # a name while it is written has 44 characters more


def test_the_bound_holds_out_labelled_rows(scenario):
    done = run(target_supervised(nearest_centre), "target_supervised", scenario, 0, holdout=0.3)
    rows = done.split["rows"]
    assert rows["source_held_out"] == pytest.approx(0.3 * (rows["source"] + rows["source_held_out"]), abs=3)


def test_held_out_rows_are_scored(scenario):
    done = run(nearest_centre, "centre", scenario, 0, holdout=0.5)
    assert done.split["holdout"] == 0.5
    assert 20 < done.split["rows"]["source_held_out"] < 32


def test_numbers_that_are_not_finite_become_null(scenario):
    def diverged(task, seed):
        def predict(inputs):
            return Outputs(torch.full((len(inputs), 2), math.nan), torch.zeros(len(inputs), len(task.classes)))

        yield Checkpoint(1, predict, losses={"total": math.nan})

    checkpoint = run(diverged, "diverged", scenario, 0).checkpoints[0]
    assert set(checkpoint["scores"].values()) == {None}
    assert checkpoint["losses"] == {"total": None}


def wrong(yielded):
    def method(task, seed):
        yield from yielded(task)

    return method


@pytest.mark.parametrize(
    ("yielded", "error", "message"),
    [
        (lambda task: [], ValueError, "a method must yield at least one checkpoint, got none"),
        (lambda task: [Checkpoint(1.5, None)], TypeError, "step must be an integer, got float"),
        (lambda task: [Checkpoint(-1, None)], ValueError, "step must be at least 0, got -1"),
        (lambda task: [3], TypeError, r"a method must yield dalib\.benchmark\.Checkpoint, got int"),
        (lambda task: [Checkpoint(1, lambda inputs: 3)], TypeError, r"must return dalib\.outputs\.Outputs, got int"),
        (
            lambda task: [Checkpoint(1, lambda inputs: Outputs(torch.zeros(60, 1), torch.zeros(60, 3)))],
            ValueError,
            r"must return logits of shape \(60, 4\) for the source rows, got \(60, 3\)",
        ),
    ],
)
def test_what_a_method_must_yield(scenario, yielded, error, message):
    with pytest.raises(error, match=message):
        run(wrong(yielded), "wrong", scenario, 0)


def test_a_step_of_numpy_is_recorded(scenario, tmp_path):
    def shallow(task, seed):
        yield Checkpoint(np.int64(7), lambda inputs: Outputs(torch.zeros(len(inputs), 1), torch.zeros(len(inputs), 4)))

    run(shallow, "shallow", scenario, 0, out=tmp_path)
    (path,) = tmp_path.glob("*.json")
    assert Run.load(path).checkpoints[0]["step"] == 7


def test_class_accuracy_weighs_classes_and_not_rows():
    assert accuracies(np.array([0, 0, 0, 2]), np.array([0, 0, 0, 2])) == (1.0, 1.0)
    overall, by_class = accuracies(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2]))
    assert (overall, by_class) == (0.75, 0.5)


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "record.json", b"first")
    real = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"second")
    monkeypatch.setattr(os, "fsync", real)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_another_schema_is_refused(scenario, tmp_path):
    done = replace(run(nearest_centre, "centre", scenario, 0), schema=99)
    with pytest.raises(ValueError, match="must have schema 1, got 99; run it again"):
        Run.load(done.save(tmp_path))


def test_folders_without_records(tmp_path):
    with pytest.raises(ValueError, match="folder must be an existing folder of records"):
        load_runs(tmp_path / "missing")
    with pytest.raises(ValueError, match="folder must hold records of runs, got none"):
        load_runs(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="got other JSON"):
        load_runs(tmp_path)


def test_in_the_inductive_protocol_accuracy_is_that_of_unseen_rows(scenario, tmp_path):
    """A method that knows its rows by heart is right on none of the others."""
    seen = {}

    def mine(task, seed):
        rows = task.target.load(np.arange(len(task.target)))
        seen["rows"] = {tuple(row) for row in rows.tolist()}

        def predict(inputs):
            content = inputs.load(np.arange(len(inputs)))
            known = torch.tensor([tuple(row) in seen["rows"] for row in content.tolist()])
            return Outputs(content, torch.where(known[:, None], 1.0, -1.0) * torch.eye(4)[[0] * len(content)])

        yield Checkpoint(1, predict)

    record = run(mine, "mine", scenario, seed=0, target_test=0.3, out=tmp_path)
    split = scenario.split(0, target_test=0.3)
    labels = scenario.target.labels[split.target_test]
    assert record.split["rows"]["target_test"] == len(labels) == round(0.3 * len(scenario.target))
    assert record.split["protocol"] == "inductive"
    assert record.checkpoints[-1]["accuracy"] == pytest.approx((labels == 1).mean())  # unknown rows: class 0 is last
    usual = run(mine, "mine", scenario, seed=0)
    assert usual.key != record.key
    assert usual.checkpoints[-1]["accuracy"] == pytest.approx((scenario.target.labels == 0).mean())
    assert len(groups([usual, record])) == 2
    assert "inductive: on the 30 % of the target rows that no method was trained on" in table([record])
