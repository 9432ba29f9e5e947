"""The validators: answers known by hand, the definition in loops, ranges, and what they may look at."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.evaluation import Evaluation
from dalib.outputs import Outputs
from dalib.validators import (
    coral_distance,
    entropy_score,
    information_maximization_score,
    mmd_distance,
    source_accuracy_score,
)

LABELS = torch.tensor([0, 1, 1])
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])


def evaluation(target_logits=LOGITS, *, held_out=None, source=LOGITS, target_features=None, labels=LABELS):
    features = target_logits if target_features is None else target_features
    return Evaluation(
        source=Outputs(source, source, labels=labels), target=Outputs(features, target_logits), source_held_out=held_out
    )


@st.composite
def logits(draw):
    rows, classes = draw(st.integers(1, 6)), draw(st.integers(2, 4))
    numbers = st.floats(-30, 30, allow_nan=False, width=32)
    return torch.tensor(
        draw(st.lists(st.lists(numbers, min_size=classes, max_size=classes), min_size=rows, max_size=rows))
    )


def probabilities(row):
    powers = [math.exp(float(z) - float(row.max())) for z in row]
    return [power / sum(powers) for power in powers]


def entropy(shares):
    return -sum(p * math.log(p) for p in shares if p > 0)


def evaluated(target):
    labels = torch.zeros(len(target), dtype=torch.int64)
    return evaluation(target, source=target, labels=labels)


@given(logits())
def test_entropy_is_its_definition(target):
    expected = -sum(entropy(probabilities(row)) for row in target) / len(target)
    assert entropy_score(evaluated(target)) == pytest.approx(expected, abs=1e-9)
    assert -math.log(target.shape[1]) - 1e-9 <= entropy_score(evaluated(target)) <= 0


@given(logits())
def test_information_maximization_is_its_definition(target):
    rows = [probabilities(row) for row in target]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    expected = entropy(mean) - sum(entropy(row) for row in rows) / len(rows)
    score = information_maximization_score(evaluated(target))
    assert score == pytest.approx(expected, abs=1e-9)
    assert 0 <= score <= math.log(target.shape[1]) + 1e-9


def test_collapse_fools_entropy_but_not_information_maximization():
    collapsed, spread = torch.tensor([[90.0, 0.0]] * 4), torch.tensor([[90.0, 0.0], [0.0, 90.0]] * 2)
    assert entropy_score(evaluated(collapsed)) == pytest.approx(entropy_score(evaluated(spread)), abs=1e-12)
    assert information_maximization_score(evaluated(collapsed)) == pytest.approx(0, abs=1e-12)
    assert information_maximization_score(evaluated(spread)) == pytest.approx(math.log(2))


def test_source_accuracy_reads_the_held_out_rows_where_there_are_some():
    assert source_accuracy_score(evaluation()) == pytest.approx(2 / 3)
    held_out = Outputs(LOGITS[:1], LOGITS[:1], labels=torch.tensor([1]))
    assert source_accuracy_score(evaluation(held_out=held_out)) == 0.0


def test_distances_vanish_for_equal_rows_and_grow_with_a_shift():
    rows = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(30, dtype=torch.int64)

    def shifted(by, scale=1.0):
        return evaluation(rows, source=rows, target_features=scale * rows + by, labels=labels)

    assert mmd_distance(shifted(0.0)) == pytest.approx(0, abs=1e-3)
    assert 0.1 < mmd_distance(shifted(1.0)) < mmd_distance(shifted(5.0)) <= math.sqrt(2)
    assert coral_distance(shifted(0.0)) == pytest.approx(0, abs=1e-9)
    assert coral_distance(shifted(3.0)) == pytest.approx(0, abs=1e-6)  # blind to a shift of the mean
    assert coral_distance(shifted(0.0, 3.0)) == pytest.approx((9 - 1) / (9 + 1))


def test_distances_read_at_most_1000_rows_of_the_whole_range():
    rows = torch.zeros(3000, 2)
    rows[1500:] = 1.0
    found = evaluation(rows, source=rows, labels=torch.zeros(3000, dtype=torch.int64))
    assert mmd_distance(found) == pytest.approx(0, abs=1e-3)
    half = evaluation(
        rows, source=rows, target_features=torch.zeros(3000, 2), labels=torch.zeros(3000, dtype=torch.int64)
    )
    assert mmd_distance(half) > 0.2


def test_constant_features_have_no_coral_distance():
    rows = torch.ones(3, 2)
    assert coral_distance(evaluation(rows, source=rows)) == 0.0


def test_an_evaluation_has_no_place_for_target_labels():
    rows = Outputs(LOGITS, LOGITS, labels=LABELS)
    with pytest.raises(ValueError, match="target must not carry labels, got some"):
        Evaluation(source=rows, target=rows)
    with pytest.raises(ValueError, match="source must carry labels, got None"):
        Evaluation(source=Outputs(LOGITS, LOGITS), target=Outputs(LOGITS, LOGITS))
    with pytest.raises(ValueError, match="target must have logits for 2 classes like source, got 3"):
        Evaluation(source=rows, target=Outputs(LOGITS, torch.zeros(3, 3)))
    with pytest.raises(TypeError, match=r"target must be dalib\.outputs\.Outputs, got ndarray"):
        Evaluation(source=rows, target=np.zeros(3))  # type: ignore[arg-type]
