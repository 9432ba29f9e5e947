"""Scores of the target predictions: answers known by hand, and the definition in float64 loops."""

import math

import pytest
import torch
from hypothesis import given

from dalib.validators import (
    bnm_score,
    diversity_score,
    entropy_score,
    information_maximization_score,
    mano_score,
    mcc_score,
    snd_score,
    softmax_corr_score,
)
from tests.validators.evaluations import certain, evaluation, logits

EVEN = certain([0, 1, 2, 3] * 3, 4)
COLLAPSED = certain([2] * 12, 4)
UNIFORM = torch.zeros(12, 4)


def probabilities(rows, temperature=1.0):
    found = []
    for row in rows.tolist():
        powers = [math.exp((z - max(row)) / temperature) for z in row]
        found.append([power / sum(powers) for power in powers])
    return found


def entropy(shares):
    return -sum(p * math.log(p) for p in shares if p > 0)


@pytest.mark.parametrize(
    ("score", "even", "collapsed", "uniform"),
    [
        (diversity_score, math.log(4), 0.0, math.log(4)),
        (bnm_score, 1.0, 1 / 2, 1 / 4),
        (mcc_score, 0.0, -3 / 4, -3 / 4),
        (softmax_corr_score, 1.0, 1 / 2, 1 / 2),
        (mano_score, 4 ** (-1 / 4), 4 ** (-1 / 4), 1 / 4),
        (snd_score, None, math.log(11), math.log(11)),
        (entropy_score, 0.0, 0.0, -math.log(4)),
        (information_maximization_score, math.log(4), 0.0, 0.0),
    ],
)
def test_certain_and_even_certain_collapse_and_uniform_predictions(score, even, collapsed, uniform):
    assert score(evaluation(COLLAPSED)) == pytest.approx(collapsed, abs=1e-7)
    assert score(evaluation(UNIFORM)) == pytest.approx(uniform, abs=1e-7)
    if even is not None:
        assert score(evaluation(EVEN)) == pytest.approx(even, abs=1e-7)


@pytest.mark.parametrize("score", [diversity_score, bnm_score, mcc_score, softmax_corr_score, mano_score, snd_score])
@pytest.mark.parametrize("largest", [1e150, 1e308, 1.7e308])
def test_logits_of_any_finite_size_are_certain_predictions(score, largest):
    huge = largest * (EVEN / 100 - 1)
    assert score(evaluation(huge)) == pytest.approx(score(evaluation(EVEN)), abs=1e-7)
    assert entropy_score(evaluation(huge)) == 0.0
    assert information_maximization_score(evaluation(huge)) == pytest.approx(math.log(4))
    assert mcc_score(evaluation(huge), temperature=0.01) == 0.0


def test_snd_of_even_predictions_counts_the_rows_of_the_class():
    # each of 12 rows has 2 equal neighbours of weight e^20 and 9 others of weight 1
    big, small = math.exp(20) / (2 * math.exp(20) + 9), 1 / (2 * math.exp(20) + 9)
    assert snd_score(evaluation(EVEN)) == pytest.approx(2 * entropy([big]) + 9 * entropy([small]), abs=1e-9)
    assert snd_score(evaluation(EVEN), temperature=1e9) == pytest.approx(math.log(11), abs=1e-6)
    assert snd_score(evaluation(EVEN[:1])) == 0.0
    assert snd_score(evaluation(EVEN[:2])) == pytest.approx(0, abs=1e-9)


@given(logits())
def test_diversity_is_its_definition(target):
    rows = probabilities(target)
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    assert diversity_score(evaluation(target)) == pytest.approx(entropy(mean), abs=1e-9)
    gap = diversity_score(evaluation(target)) + entropy_score(evaluation(target))
    assert information_maximization_score(evaluation(target)) == pytest.approx(gap, abs=1e-9)


@given(logits(min_rows=2))
def test_snd_is_its_definition(target):
    rows = probabilities(target)
    length = [math.sqrt(sum(p * p for p in row)) for row in rows]
    total = 0.0
    for i, row in enumerate(rows):
        powers = [
            math.exp(sum(p * q for p, q in zip(row, other, strict=True)) / (length[i] * length[j] * 0.05))
            for j, other in enumerate(rows)
            if j != i
        ]
        total += entropy([power / sum(powers) for power in powers])
    score = snd_score(evaluation(target))
    assert score == pytest.approx(total / len(rows), abs=1e-9)
    assert 0 <= score <= math.log(len(rows) - 1) + 1e-9


@given(logits())
def test_bnm_is_its_definition(target):
    probs = torch.tensor(probabilities(target), dtype=torch.float64)
    values = torch.linalg.eigvalsh(probs @ probs.T).clamp_min(0).sqrt()
    expected = float(values.sum()) / math.sqrt(len(probs) * min(probs.shape))
    score = bnm_score(evaluation(target))
    assert score == pytest.approx(expected, abs=1e-6)
    assert 0 < score <= 1


@given(logits())
def test_mcc_is_its_definition(target):
    for temperature in (1.0, 2.5):
        rows = probabilities(target, temperature)
        certainty = [1 + math.exp(-entropy(row)) for row in rows]
        classes = range(len(rows[0]))
        confusion = [
            [sum(w * row[j] * row[k] for w, row in zip(certainty, rows, strict=True)) for k in classes] for j in classes
        ]
        expected = sum(confusion[j][j] / sum(confusion[j]) - 1 for j in classes) / len(classes)
        score = mcc_score(evaluation(target), temperature=temperature)
        assert score == pytest.approx(expected, abs=1e-9)
        assert -(len(classes) - 1) / len(classes) - 1e-12 <= score <= 0


def test_mcc_counts_a_class_without_any_probability_as_confused_like_one_with_next_to_none():
    impossible, unlikely = (torch.tensor([[0.0, -gap]] * 3, dtype=torch.float64) for gap in (1e4, 100.0))
    assert mcc_score(evaluation(impossible)) == pytest.approx(mcc_score(evaluation(unlikely)), abs=1e-9)
    assert mcc_score(evaluation(impossible)) == pytest.approx(-0.5)


@given(logits())
def test_softmax_corr_is_its_definition(target):
    rows = probabilities(target)
    classes = range(len(rows[0]))
    products = [[sum(row[j] * row[k] for row in rows) for k in classes] for j in classes]
    size = math.sqrt(sum(value * value for line in products for value in line))
    expected = sum(products[k][k] for k in classes) / (size * math.sqrt(len(classes)))
    score = softmax_corr_score(evaluation(target))
    assert score == pytest.approx(expected, abs=1e-9)
    assert 1 / math.sqrt(len(classes)) - 1e-9 <= score <= 1


@given(logits())
def test_mano_is_its_definition_in_both_cases(target):
    softmax = probabilities(target)
    surprise = -sum(sum(math.log(p) if p > 0 else -745 for p in row) / len(row) for row in softmax) / len(softmax)
    taylor = [[1 + z + z * z / 2 for z in row] for row in target.tolist()]
    taylor = [[value / sum(row) for value in row] for row in taylor]
    for threshold, expected in ((-1.0, softmax), (1e9, taylor), (5.0, softmax if surprise > 5 else taylor)):
        entries = [q**4 for row in expected for q in row]
        score = mano_score(evaluation(target), threshold=threshold)
        assert score == pytest.approx((sum(entries) / len(entries)) ** 0.25, abs=1e-9)
        assert 1 / target.shape[1] - 1e-9 <= score <= target.shape[1] ** -0.25 + 1e-9


def test_mano_of_huge_logits_is_finite():
    target = torch.tensor([[3e38, 0.0], [0.0, 3e38]])
    assert mano_score(evaluation(target), threshold=1e300) == pytest.approx(2**-0.25)


@pytest.mark.parametrize(
    "score",
    [snd_score, bnm_score, mcc_score, softmax_corr_score, diversity_score, entropy_score],
    ids=lambda s: s.__name__,
)
def test_a_constant_added_to_the_logits_of_a_row_changes_nothing(score):
    target = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = target + 7 * torch.arange(9)[:, None]
    assert score(evaluation(moved)) == pytest.approx(score(evaluation(target)), abs=1e-9)


@pytest.mark.parametrize("score", [bnm_score, mcc_score, softmax_corr_score, entropy_score, mano_score])
def test_more_confidence_in_even_predictions_scores_higher(score):
    target = torch.eye(4, dtype=torch.float64).repeat(3, 1)
    values = [score(evaluation(sharper * target)) for sharper in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_wrong_options_are_named():
    found = evaluation(EVEN)
    for score in (snd_score, mcc_score):
        with pytest.raises(ValueError, match="temperature must be positive and finite, got 0"):
            score(found, temperature=0.0)
    with pytest.raises(ValueError, match=r"power must be finite and at least 1, got 0\.5"):
        mano_score(found, power=0.5)
    with pytest.raises(ValueError, match="power must be finite and at least 1, got inf"):
        mano_score(found, power=math.inf)  # the root of order infinity of anything is 1
    with pytest.raises(TypeError, match="power must be a number, got str"):
        mano_score(found, power="4")
    with pytest.raises(ValueError, match="threshold must be a number, got nan"):
        mano_score(found, threshold=math.nan)
