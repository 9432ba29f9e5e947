"""A search maximises a validator and cannot be asked to look at target accuracy."""

import functools
import logging

import numpy as np
import pytest

from dalib.benchmark import Protocol, Search, Trial, grid_search, optuna_search, scenarios, trained
from dalib.data import arrays
from dalib.methods import dan, source_only
from tests.benchmark.records import made_record

PROTOCOL = Protocol(steps=6, checkpoints=2, batch_size=8, bottleneck=4)


def build(**options):
    return trained(dan, PROTOCOL, **options)


@pytest.fixture
def pairs():
    draw = np.random.default_rng(0)
    labels = np.arange(30) % 3
    rows = {name: (draw.normal(size=(30, 4)) + labels[:, None] + i, labels) for i, name in enumerate(("A", "B"))}
    return scenarios(arrays(rows))


def test_every_setting_of_the_grid_is_tried_and_the_largest_score_is_best(pairs, tmp_path):
    found = grid_search(build, {"weight": [0.0, 1.0, 5.0]}, pairs, by="entropy", seeds=2, out=tmp_path)
    assert [trial.options for trial in found.trials] == [{"weight": 0.0}, {"weight": 1.0}, {"weight": 5.0}]
    for trial in found.trials:
        values = [max(checkpoint["scores"]["entropy"] for checkpoint in run.checkpoints) for run in trial.runs]
        assert len(values) == 4
        assert trial.score == pytest.approx(np.mean(values))
    assert found.best.score == max(trial.score for trial in found.trials)
    one = found.restricted("A-B")
    assert {run.scenario for trial in one.trials for run in trial.runs} == {"A-B"}
    served = grid_search(build, {"weight": [5.0, 0.0]}, pairs, by="entropy", seeds=2, out=tmp_path)
    assert served.trials[0].runs == found.trials[2].runs


def test_optuna_proposes_the_same_settings_for_the_same_seed(pairs):
    optuna = pytest.importorskip("optuna", reason="needs the extra search")
    optuna.logging.set_verbosity(logging.WARNING)

    def suggest(trial):
        return {"weight": trial.suggest_float("weight", 0.1, 10.0, log=True)}

    searches = [optuna_search(build, suggest, pairs[:1], by="entropy", trials=3, seeds=1) for _ in range(2)]
    assert [t.options for t in searches[0].trials] == [t.options for t in searches[1].trials]
    assert len({trial.options["weight"] for trial in searches[0].trials}) == 3


def test_a_setting_without_a_score_is_never_best():
    found = Search("entropy", (Trial({"a": 1}, None, ()), Trial({"a": 2}, -3.0, ()), Trial({"a": 3}, -3.0, ())))
    assert found.best.options == {"a": 2}
    with pytest.raises(ValueError, match="trials must have a score by entropy, got none in 1 trials"):
        _ = Search("entropy", (Trial({"a": 1}, None, ()),)).best


def test_a_setting_that_diverges_has_no_score_and_the_others_are_tried(pairs):
    def build(rate):
        return trained(source_only, Protocol(steps=10, checkpoints=1, batch_size=8, bottleneck=4, rate=rate))

    with pytest.warns(UserWarning, match="a setting has no score: 2 of 2 runs failed"):
        found = grid_search(build, {"rate": [1e30, 0.01]}, pairs, by="entropy", seeds=1)
    assert [trial.score is None for trial in found.trials] == [True, False]
    assert found.best.options == {"rate": 0.01}
    assert found.restricted("A-B").best.options == {"rate": 0.01}


def test_runs_that_a_trial_lacks_leave_it_without_a_score():
    runs = [made_record(pair=pair, seed=seed) for pair in ("A-W", "W-A") for seed in (0, 1)]
    whole, broken = Trial({"a": 1}, 0.9, tuple(runs)), Trial({"a": 2}, None, tuple(runs[:3]))
    search = Search("confidence", (whole, broken))
    assert [trial.score for trial in search.restricted("A-W").trials] == [0.9, 0.9]
    assert [trial.score for trial in search.restricted("W-A").trials] == [0.9, None]


def test_a_recipe_with_some_options_set_is_searched_under_its_name(pairs):
    def build(**options):
        return trained(functools.partial(dan, weight=2.0), PROTOCOL, **options)

    found = grid_search(build, {"bandwidths": [None]}, pairs[:1], by="entropy", seeds=1)
    assert found.best.runs[0].method == "dan,bandwidths=None"


def test_what_is_built_must_be_trained_and_the_grid_must_hold_a_setting(pairs):
    with pytest.raises(TypeError, match=r"build must return what trained\(recipe, ...\) makes, got function"):
        grid_search(lambda **options: build, {"weight": [1.0]}, pairs, by="entropy")
    with pytest.raises(ValueError, match="grid must hold at least one setting, got none"):
        grid_search(build, [], pairs, by="entropy")


def test_the_oracle_is_refused_before_anything_runs(pairs):
    with pytest.raises(ValueError, match=r"by must be a validator, .*, got 'oracle'; the oracle reads target labels"):
        grid_search(build, {"weight": [0.0]}, pairs, by="oracle")
    with pytest.raises(ValueError, match=r"by must be a validator, one of source_accuracy.*got 'last'"):
        optuna_search(build, lambda trial: {}, pairs, by="last", trials=1)
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        optuna_search(build, lambda trial: {}, pairs, by="entropy", trials=0)
    with pytest.raises(ValueError, match="scenario must be one of A-B, B-A, got 'A-X'"):
        grid_search(build, {"weight": [0.0]}, pairs, by="entropy", seeds=1).restricted("A-X")
