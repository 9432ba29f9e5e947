"""What holds for every score: order of rows, odd domains, collapse, no NaN, and errors that name what is wrong."""

import dataclasses
import inspect
import math
import pickle
import warnings

import numpy as np
import pytest
import torch

import dalib.validators
from dalib.evaluation import Evaluation
from dalib.outputs import Outputs
from dalib.validators import entropy_score, guarded, snd_score
from tests.validators.evaluations import blobs, certain, evaluation

SCORES = {
    name: getattr(dalib.validators, name)
    for name in dalib.validators.__all__
    if name.endswith(("_score", "_distance")) and name != "mixval_score"
}
every_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)


def order(part, index):
    tensors = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return Outputs(**{name: value[index] for name, value in tensors.items() if isinstance(value, torch.Tensor)})


@every_score
def test_the_order_of_the_rows_does_not_matter(score):
    found = blobs(rows=60)
    mixed = torch.randperm(60, generator=torch.Generator().manual_seed(5))
    again = Evaluation(
        source=order(found.source, mixed),
        target=order(found.target, mixed.flip(0)),
        source_held_out=order(found.source_held_out, mixed),
    )
    # the proxy distance deals its folds by position: some of sixty rows may change sides
    tolerance = 0.3 if score.__name__ == "proxy_a_distance" else 1e-5
    assert score(again) == pytest.approx(score(found), abs=tolerance)


@every_score
def test_scores_are_deterministic_and_leave_everything_as_it_was(score):
    found = blobs()
    before = [found.source.features.clone(), found.target.features.clone(), found.target.logits.clone()]
    state = torch.get_rng_state()
    values = {score(found) for _ in range(3)}
    assert len(values) == 1
    assert isinstance(values.pop(), float)
    assert torch.equal(torch.get_rng_state(), state)
    for kept, now in zip(before, (found.source.features, found.target.features, found.target.logits), strict=True):
        assert torch.equal(kept, now)


@every_score
def test_outputs_inside_a_graph_score_as_outside(score):
    found = blobs()
    inside = {
        part: dataclasses.replace(
            getattr(found, part),
            features=getattr(found, part).features.clone().requires_grad_(),
            logits=getattr(found, part).logits.clone().requires_grad_(),
        )
        for part in ("source", "target", "source_held_out")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(Evaluation(**inside)) == score(found)


def odd_evaluations():
    found = blobs()
    parts = (found.source.features, found.source.logits, found.source.labels)
    zeros, one = torch.zeros(60, 5), slice(0, 1)
    yield (
        "zero features",
        evaluation(torch.zeros(60, 3), zeros, source=(zeros, torch.zeros(60, 3), found.source.labels)),
    )
    yield (
        "equal features",
        evaluation(torch.ones(60, 3), zeros + 3, source=(zeros + 3, zeros[:, :3], found.source.labels)),
    )
    yield "one target row", evaluation(found.target.logits[one], found.target.features[one], source=parts)
    yield "one source row", evaluation(found.target.logits, found.target.features, source=[p[one] for p in parts])
    yield "one row each", evaluation(certain([1], 3), zeros[one], source=[p[one] for p in parts])
    yield "collapse", evaluation(certain([1] * 60, 3), zeros + 1, source=parts)
    yield "huge", evaluation(1e30 * found.target.logits, 1e15 * found.target.features, source=parts)
    largest = torch.tensor([1e308, -1e308, 0.0], dtype=torch.float64)
    rows = torch.stack([largest.roll(i) for i in range(60)])
    yield "largest logits", evaluation(rows, found.target.features, source=(parts[0], rows.flip(1), parts[2]))
    yield "no held-out rows", evaluation(found.target.logits, found.target.features, source=parts)
    yield (
        "one class",
        evaluation(torch.zeros(5, 1), torch.randn(5, 2), source=(zeros[:3, :2], zeros[:3, :1], torch.zeros(3).long())),
    )
    yield "float64", blobs(dtype=torch.float64)
    yield "bfloat16", blobs(dtype=torch.bfloat16)


@every_score
@pytest.mark.parametrize("odd", [pytest.param(found, id=name) for name, found in odd_evaluations()])
def test_no_score_is_ever_nan(score, odd):
    value = score(odd)
    assert not math.isnan(value)
    assert value < math.inf


@every_score
def test_what_is_not_finite_is_refused(score):
    found = blobs()
    for part in ("features", "logits"):
        broken = getattr(found.target, part).clone()
        broken[3, 1] = math.nan
        target = dataclasses.replace(found.target, **{part: broken})
        source = dataclasses.replace(found.source, **{part: broken})
        bad = Evaluation(source=source, target=target, source_held_out=source)
        with pytest.raises(ValueError, match=f"{part} of the (target|source|source_held_out) rows must be finite"):
            score(bad)


@every_score
def test_wrong_kinds_and_no_rows_are_refused(score):
    with pytest.raises(TypeError, match=r"evaluation must be a dalib\.evaluation\.Evaluation, got Outputs"):
        score(blobs().target)
    none = (torch.zeros(0, 2), torch.zeros(0, 3), torch.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="must have at least one row, got none"):
        score(evaluation(torch.zeros(0, 3), torch.zeros(0, 2), source=none))


@every_score
def test_options_are_by_keyword_and_documented_with_range_and_failure(score):
    first, *options = inspect.signature(score).parameters.values()
    assert first.name == "evaluation"
    assert all(option.kind is option.KEYWORD_ONLY for option in options)
    text = inspect.getdoc(score)
    assert "Returns:" in text
    assert "[" in text.split("Returns:")[1] or "up to 1" in text
    if score.__name__.endswith("_score"):
        assert "larger is better" in text
        assert "Known failure" in text


def test_the_guard_rejects_before_scoring():
    calls = []

    def score(found):
        calls.append(found)
        return 3.0

    guard = guarded(score, max_share=0.5)
    assert guard(evaluation(certain([0, 0, 1, 2], 3))) == 3.0  # exactly the share
    assert guard(evaluation(certain([0, 0, 0, 2], 3))) == -math.inf
    assert len(calls) == 1
    assert guarded(score, max_share=np.float32(0.8))(evaluation(certain([0, 0, 0, 2], 3))) == 3.0


def test_a_guarded_score_can_be_pickled_and_guarded_again():
    twice = pickle.loads(pickle.dumps(guarded(guarded(entropy_score), max_share=0.9)))
    spread, most = evaluation(certain([0, 1, 2], 3)), evaluation(certain([0] * 3 + [1, 2], 3))
    assert twice(spread) == pytest.approx(entropy_score(spread))
    assert twice(most) == -math.inf


def test_the_guard_takes_the_prize_from_a_collapsed_model():
    collapsed, fair = evaluation(certain([1] * 12, 3)), evaluation(certain([0, 1, 2] * 4, 3))
    assert snd_score(collapsed) > snd_score(fair)
    assert guarded(snd_score)(collapsed) < guarded(snd_score)(fair)


def test_wrong_guards_are_named():
    with pytest.raises(TypeError, match="score must be a function of an evaluation, got str"):
        guarded("snd")
    with pytest.raises(TypeError, match="max_share must be a number, got str"):
        guarded(snd_score, max_share="half")
    for share in (0, 1, 1.5, math.nan):
        with pytest.raises(ValueError, match="max_share must lie between 0 and 1, got"):
            guarded(snd_score, max_share=share)


def test_rows_beyond_the_limit_are_read_evenly():
    """Thousands of rows, of two halves: reading the first ones alone would see one half."""
    rows = 4000
    half = certain([0] * (rows // 2) + [1] * (rows // 2), 2)
    for name, value in (("silhouette_score", 1.0), ("class_ami_score", 1.0), ("nearest_source_score", 1.0)):
        found = evaluation(half, half.float() + 1e-3, source=(torch.eye(2), torch.eye(2), torch.tensor([0, 1])))
        assert SCORES[name](found) == pytest.approx(value, abs=1e-2)
