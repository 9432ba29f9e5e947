"""Which validators are scored, and which of them a table shows."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch

from dalib.benchmark import SCORES, Checkpoint, Run, benchmark, load_runs, run, scenarios, select, table
from dalib.benchmark.cli import main
from dalib.benchmark.opt_in_scores import ALL_SCORES
from dalib.benchmark.run import run_key
from dalib.benchmark.select import SHOWN, rules, shown_rules
from dalib.data import arrays
from dalib.outputs import Outputs
from dalib.validators import guarded, snd_score
from tests.benchmark.records import made_record


def scored(**scores):
    """A record whose checkpoints all have these scores."""
    record = made_record()
    return dataclasses.replace(record, checkpoints=[{**c, "scores": dict(scores)} for c in record.checkpoints])


def test_a_table_has_room_for_some_of_the_usual_validators_and_for_all_others():
    runs = [scored(**dict.fromkeys([*SCORES, "mine", "mixval"], 0.5))]
    assert shown_rules(runs) == ["last", *SHOWN, "mine", "mixval", "oracle"]
    assert shown_rules(runs, ["mixval", "rankme"]) == ["last", "mixval", "rankme", "oracle"]
    assert set(SHOWN) < set(SCORES)
    assert len(rules(runs)) == len(SCORES) + 4  # with both extremes: nothing is lost


def test_columns_are_chosen_by_name():
    runs = [scored(entropy=0.1, rankme=0.2, mine=0.3)]
    header = next(line for line in table(runs, parts=["selection"]).splitlines() if line.startswith("method"))
    assert header.split() == ["method", "last", "entropy", "mine", "oracle", "n"]
    chosen = table(runs, parts=["selection"], validators=["rankme"])
    header = next(line for line in chosen.splitlines() if line.startswith("method"))
    assert header.split() == ["method", "last", "rankme", "oracle", "n"]
    assert "source accuracy" not in chosen
    assert "rankme" in table(runs, parts=["validators"], validators=["entropy"])  # every one has a row there
    with pytest.raises(ValueError, match="validators must be among entropy, rankme, mine, got snd"):
        table(runs, validators=["snd"])


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


@pytest.mark.usefixtures("no_pictures")
def test_validators_of_the_command_line_are_scored_and_shown(features, tmp_path, capsys):
    opt_in = [name for name in ALL_SCORES if name not in SCORES]
    options = ["run", "features", "--root", features, "--methods", "source_only", "--pairs", "A-W", "--seeds", "1"]
    options += ["--steps", "6", "--jobs", "1", "--checkpoints", "1", "--holdout", "0.2", "--out", str(tmp_path)]
    assert main([*options, "--validators", ",".join(opt_in)]) == 0
    shown = capsys.readouterr().out
    (done,), _ = load_runs(tmp_path)
    scores = done.checkpoints[0]["scores"]
    assert set(scores) == set(ALL_SCORES)
    assert all(value is not None and math.isfinite(value) for value in scores.values())
    for name in opt_in:
        assert name.replace("_", " ") in shown
    assert "information maximization  " not in shown.split("rule that picks")[1].splitlines()[2]
    assert main(["table", str(tmp_path), "--validators", "rankme", "--parts", "selection"]) == 0
    assert "rankme" in capsys.readouterr().out
    assert main([*options, "--validators", "sdn"]) == 2
    assert "--validators must be among source_accuracy" in capsys.readouterr().err


def collapsing(task, seed):
    """Two checkpoints: one that is right about most rows, and a collapsed one that soft density prefers."""
    rows = task.source.load(np.arange(len(task.source)))
    centres = np.stack([rows[task.source_labels == k].mean(0) for k in range(len(task.classes))])
    centres = rows.new_tensor(centres)
    for step in (1, 2):

        def predict(inputs, step=step):
            x = inputs.load(np.arange(len(inputs)))
            logits = x @ centres.T
            return Outputs(x, logits if step == 1 else 0 * logits + logits.new_tensor([9.0, 0.0, 0.0]))

        yield Checkpoint(step, predict)


def test_a_collapsed_checkpoint_is_null_in_the_record_and_is_not_picked(tmp_path):
    labels = np.repeat([0, 1, 2], 8)
    x = 3 * np.eye(3)[labels] + np.random.default_rng(1).standard_normal((24, 3))
    pair = scenarios(arrays({"amazon": (x, labels), "webcam": (x + 0.1, labels)}))[0]
    scores = {"snd": snd_score, "snd_guarded": guarded(snd_score)}
    done = run(collapsing, "collapsing", pair, 0, scores=scores, out=tmp_path)
    assert [c["scores"]["snd_guarded"] is None for c in done.checkpoints] == [False, True]
    assert done.checkpoints[1]["scores"]["snd"] > done.checkpoints[0]["scores"]["snd"]
    assert select(done, "snd")["accuracy"] == pytest.approx(1 / 3)
    assert select(done, "snd_guarded")["accuracy"] > 0.8
    assert Run.load(tmp_path / f"{done.stem}.json") == done


def test_a_guard_is_part_of_the_key():
    labels = np.repeat([0, 1, 2], 8)
    pair = scenarios(arrays({"amazon": (np.eye(3)[labels], labels), "webcam": (np.eye(3)[labels], labels)}))[0]
    keys = {
        run_key(collapsing, "collapsing", pair, 0, scores={"snd": score})
        for score in (snd_score, guarded(snd_score), guarded(snd_score, max_share=0.9))
    }
    assert len(keys) == 3


def test_features_that_are_not_finite_are_scored_by_nothing():
    def broken(task, seed):
        def predict(inputs):
            x = inputs.load(np.arange(len(inputs)))
            return Outputs(x / 0 if len(inputs) == len(task.source) else x, x)

        yield Checkpoint(1, predict)

    labels = np.repeat([0, 1, 2], 8)
    x = np.eye(3)[labels]
    pair = scenarios(arrays({"amazon": (x, labels), "webcam": (x[:20], labels[:20])}))[0]
    (done,) = benchmark({"broken": broken}, [pair], seeds=1)
    assert set(done.checkpoints[0]["scores"].values()) == {None}


def scaled(factor):
    def method(task, seed):
        def predict(inputs):
            x = inputs.load(np.arange(len(inputs)))
            return Outputs(x * factor, x)

        yield Checkpoint(1, predict)

    return method


def three_classes():
    labels = np.repeat([0, 1, 2], 8)
    x = 3 * np.eye(3)[labels] + np.random.default_rng(1).standard_normal((24, 3))
    return scenarios(arrays({"amazon": (x, labels), "webcam": (x + 0.1, labels)}))


def test_features_that_are_huge_do_not_end_the_benchmark():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = benchmark({"huge": scaled(1e25), "usual": scaled(1.0)}, three_classes(), seeds=1)
    assert [record.method for record in done] == ["huge", "usual"] * 2
    for huge, usual in ((done[0], done[1]), (done[2], done[3])):
        first, other = huge.checkpoints[0], usual.checkpoints[0]
        assert "unscored" not in other
        assert first["descriptions"]["mmd"] == pytest.approx(other["descriptions"]["mmd"], rel=1e-4)
        assert first["scores"]["entropy"] == other["scores"]["entropy"]


@pytest.mark.parametrize(
    "error", [ValueError("no cluster"), np.linalg.LinAlgError("singular"), torch.linalg.LinAlgError("singular")]
)
def test_a_score_that_a_checkpoint_does_not_have_is_null_with_its_reason(error, tmp_path):
    def refusing(evaluation):
        raise error

    pair = three_classes()[0]
    with pytest.warns(UserWarning, match=f"refusing is null at step 1: .*{error}"):
        done = run(scaled(1.0), "m", pair, 0, scores={"snd": snd_score, "refusing": refusing}, out=tmp_path)
    (checkpoint,) = done.checkpoints
    assert checkpoint["scores"]["refusing"] is None
    assert checkpoint["scores"]["snd"] is not None
    assert str(error) in checkpoint["unscored"]["refusing"]
    assert Run.load(tmp_path / f"{done.stem}.json") == done


@pytest.mark.parametrize("error", [TypeError, KeyError, AttributeError, ZeroDivisionError])
def test_errors_of_a_program_end_the_run(error):
    def wrong(evaluation):
        raise error("wrong")

    with pytest.raises(error, match="wrong"):
        run(scaled(1.0), "m", three_classes()[0], 0, scores={"wrong": wrong})


@pytest.mark.parametrize("seeds", [np.int64(2), [np.int64(0), np.int32(1)], np.arange(2)], ids=repr)
def test_seeds_may_be_numpy_integers(seeds, tmp_path):
    done = benchmark({"m": scaled(1.0)}, three_classes()[:1], seeds=seeds, scores={}, out=tmp_path)
    usual = benchmark({"m": scaled(1.0)}, three_classes()[:1], seeds=[0, 1], scores={})
    assert [record.seed for record in done] == [0, 1]
    assert [record.key for record in done] == [record.key for record in usual]
