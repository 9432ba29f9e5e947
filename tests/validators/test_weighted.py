"""Importance-weighted validation: by hand with known weights, the guards of DEV, and the density ratio itself."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.validators import _density_ratio, dev_score, devn_score, iwcv_score, source_accuracy_score
from dalib.validators._density_ratio import judged_weights
from dalib.weights import DomainClassifierWeights
from tests.validators.evaluations import blobs, evaluation

LOGITS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.0]])
LABELS = torch.tensor([0, 1, 1, 0])
RIGHT = [1.0, 1.0, 0.0, 1.0]
LOSSES = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(-1)), math.log(1 + math.exp(3)), math.log(2)]


class Known:
    """A ratio whose weights are given."""

    def __init__(self, weights):
        self.weights = weights

    def fit(self, source, target):
        self.seen = len(source), len(target)
        return self

    def predict(self, rows):
        return np.array(self.weights)


def judged_by(weights):
    rows = torch.arange(4.0)[:, None]
    found = evaluation(torch.zeros(3, 2), torch.zeros(3, 1), source=(rows, LOGITS, LABELS))
    return found, Known(weights)


weights4 = st.lists(st.floats(0, 50, width=32), min_size=4, max_size=4)


@given(weights4)
def test_iwcv_is_its_definition(weights):
    found, ratio = judged_by(weights)
    if sum(weights) == 0:
        assert iwcv_score(found, ratio=ratio) == -math.inf
        return
    expected = sum(w * r for w, r in zip(weights, RIGHT, strict=True)) / sum(weights)
    assert iwcv_score(found, ratio=ratio) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rows", [7, 60, 333])
def test_iwcv_is_exactly_one_where_nothing_is_wrong_and_exactly_zero_where_nothing_is_right(rows):
    features, labels = torch.zeros(rows, 1), torch.zeros(rows, dtype=int)
    for seed in range(20):
        ratio = Known(np.random.default_rng(seed).gamma(1.0, size=rows))
        for logits, expected in ((certain_right(rows), 1.0), (certain_right(rows).flip(1), 0.0)):
            found = evaluation(torch.zeros(3, 2), torch.zeros(3, 1), source=(features, logits, labels))
            assert iwcv_score(found, ratio=ratio) == expected


@given(weights4)
def test_dev_is_its_definition_held_between_the_smallest_and_the_largest_loss(weights):
    found, ratio = judged_by(weights)
    score = dev_score(found, ratio=ratio)
    assert -max(LOSSES) - 1e-6 <= score <= -min(LOSSES) + 1e-6
    products = np.array(weights) * np.array(LOSSES)
    if np.var(weights) > 1e-9:
        eta = -np.cov(products, weights)[0, 1] / np.var(weights, ddof=1)
        risk = products.mean() + eta * np.mean(weights) - eta
        assert score == pytest.approx(-min(max(risk, min(LOSSES)), max(LOSSES)), rel=1e-4, abs=1e-6)


def test_dev_of_constant_weights_is_bounded():
    for constant in (0.0, 1.0, 40.0):
        found, ratio = judged_by([constant] * 4)
        expected = min(max(constant * sum(LOSSES) / 4, min(LOSSES)), max(LOSSES))
        assert dev_score(found, ratio=ratio) == pytest.approx(-expected, rel=1e-6)
    found, ratio = judged_by([3.0, 3.0, 3.0, 3.0 + 1e-13])  # next to no variance, a mean far from one
    assert -max(LOSSES) - 1e-6 <= dev_score(found, ratio=ratio) <= -min(LOSSES) + 1e-6


@pytest.mark.parametrize("rows", [7, 36, 129])
@pytest.mark.parametrize("constant", [0.1, 0.7, 1.0, 2.7])
def test_dev_of_constant_weights_is_their_weighted_mean_whatever_is_rounded(rows, constant):
    logits = torch.randn(rows, 5, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    source = (torch.zeros(rows, 1), 3 * logits, torch.arange(rows) % 5)
    losses = torch.nn.functional.cross_entropy(*source[1:], reduction="none")
    found = evaluation(torch.zeros(3, 5), torch.zeros(3, 1), source=source)
    expected = -min(max(constant * float(losses.mean()), float(losses.min())), float(losses.max()))
    for weights in ([constant] * rows, [constant * (1 + 1e-14 * (i % 2)) for i in range(rows)]):
        assert dev_score(found, ratio=Known(weights)) == pytest.approx(expected, rel=1e-9)


def test_dev_of_tiny_weights_that_differ():
    found, ratio = judged_by([1e-200, 2e-200, 3e-200, 4e-200])
    eta = -np.cov(np.array([1, 2, 3, 4]) * LOSSES, [1, 2, 3, 4])[0, 1] / np.var([1, 2, 3, 4], ddof=1)
    assert dev_score(found, ratio=ratio) == pytest.approx(-min(max(-eta, min(LOSSES)), max(LOSSES)), rel=1e-6)


@given(weights4)
def test_devn_is_its_definition(weights):
    found, ratio = judged_by(weights)
    top, mean = max(weights) or 1.0, sum(weights) / 4
    expected = -sum(((w - mean) / top + 1) * loss for w, loss in zip(weights, LOSSES, strict=True)) / 4
    assert devn_score(found, ratio=ratio) == pytest.approx(expected, rel=1e-6)
    assert -max(LOSSES) - 1e-6 <= devn_score(found, ratio=ratio) <= 0


@pytest.mark.parametrize("score", [iwcv_score, dev_score, devn_score])
def test_equal_weights_give_the_plain_mean(score):
    found, ratio = judged_by([1.0] * 4)
    expected = 3 / 4 if score is iwcv_score else -sum(LOSSES) / 4
    assert score(found, ratio=ratio) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("score", [iwcv_score, dev_score, devn_score])
def test_held_out_rows_judge_where_there_are_some_and_the_estimator_is_not_touched(score):
    rows = torch.arange(5.0)[:, None]
    bad = torch.tensor([[0.0, 5.0]] * 2)
    ratio = Known([1.0, 1.0])
    found = evaluation(
        torch.zeros(3, 2),
        torch.zeros(3, 1),
        source=(rows, certain_right(5), torch.zeros(5, dtype=int)),
        held_out=(rows[:2], bad, torch.zeros(2, dtype=int)),
    )
    assert score(found, ratio=ratio) == pytest.approx(
        0.0 if score is iwcv_score else -math.log(1 + math.exp(5)), rel=1e-6
    )
    assert not hasattr(ratio, "seen")  # a copy was fitted


def certain_right(rows):
    return torch.tensor([[50.0, 0.0]]).repeat(rows, 1)


def test_the_ratio_of_two_gaussians_has_the_right_direction_and_size():
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(1000, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    target[:, 0] += 1.0
    grid = torch.tensor([[-1.0, 0.0], [0.5, 0.0], [2.0, 0.0]], dtype=torch.float64)
    logits, labels = torch.zeros(1000, 2).double(), torch.zeros(1000, dtype=int)
    found = evaluation(logits, target, source=(source, logits, labels), held_out=(grid, logits[:3], labels[:3]))
    weights = judged_weights(found)
    true = (grid[:, 0] - 0.5).exp()  # N(1, 1) over N(0, 1)
    assert torch.allclose(weights.log(), true.log(), atol=0.35)
    assert weights[0] < weights[1] < weights[2]
    at_source = judged_weights(evaluation(logits, target, source=(source, logits, labels)))
    assert float(at_source.mean()) == pytest.approx(1, abs=0.1)


def test_a_small_target_does_not_make_its_rows_rare():
    source = torch.randn(600, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target, logits, labels = source[::10], torch.zeros(600, 2).double(), torch.zeros(600, dtype=int)
    weights = judged_weights(evaluation(logits[:60], target, source=(source, logits, labels)))
    assert float(weights.log().mean()) == pytest.approx(0, abs=0.1)  # counts alone would give log(1/10)


def test_the_ratio_agrees_with_the_library_s_estimator_up_to_its_penalty():
    found = blobs(rows=300, shift=0.4)
    own = judged_weights(found).log()
    other = judged_weights(found, DomainClassifierWeights()).log()
    assert np.corrcoef(own.numpy(), other.numpy())[0, 1] > 0.99


@pytest.mark.parametrize("features", [torch.zeros(6, 3), torch.ones(6, 3)])
def test_features_that_say_nothing_weigh_all_rows_alike(features):
    logits = torch.zeros(6, 2)
    found = evaluation(logits, features, source=(features, logits, torch.zeros(6, dtype=int)))
    assert judged_weights(found).tolist() == pytest.approx([1.0] * 6)


def test_domains_that_nothing_joins_give_finite_scores():
    found = blobs(shift=1000.0)
    for score in (iwcv_score, dev_score, devn_score):
        assert math.isfinite(score(found))
    assert float(judged_weights(found).max()) <= math.exp(13.9)


def test_the_ratio_is_fitted_once_an_evaluation_and_no_caller_can_change_it(monkeypatch):
    fits = []
    fit = _density_ratio._logistic
    monkeypatch.setattr(_density_ratio, "_logistic", lambda *rows: fits.append(1) or fit(*rows))
    found = blobs(shift=1.0)
    weights = judged_weights(found)
    before = iwcv_score(found)
    weights.zero_()
    assert (iwcv_score(found), len(fits)) == (before, 1)
    judged_weights(blobs(shift=2.0))
    assert len(fits) == 2


def test_iwcv_prefers_the_model_that_is_right_where_the_target_is():
    generator = torch.Generator().manual_seed(1)
    source, target = torch.randn(400, 1, generator=generator), torch.randn(400, 1, generator=generator) + 2
    labels = torch.zeros(400, dtype=int)
    right_above, right_below = (torch.cat([side, -side], dim=1) for side in (source, -source))
    above, below = (
        evaluation(torch.zeros(400, 2), target, source=(source, z, labels)) for z in (right_above, right_below)
    )
    assert source_accuracy_score(above) == pytest.approx(0.5, abs=0.1)
    for score in (iwcv_score, dev_score):
        assert score(above) > score(below)
    assert iwcv_score(above) > 0.9


@pytest.mark.parametrize("score", [dev_score, devn_score])
@pytest.mark.parametrize("label", [2, -1, -100])
def test_labels_beyond_the_classes_are_named(score, label):
    rows = torch.arange(4.0)[:, None]
    found = evaluation(torch.zeros(3, 2), torch.zeros(3, 1), source=(rows, LOGITS, torch.tensor([0, 1, 1, label])))
    with pytest.raises(ValueError, match=rf"labels of the source rows must lie in 0\.\.1, got values in .*{label}"):
        score(found, ratio=Known([1.0] * 4))


def test_a_ratio_that_cannot_weigh_is_named():
    found, _ = judged_by([1.0] * 4)
    with pytest.raises(TypeError, match=r"ratio must be an estimator with fit.* got float"):
        iwcv_score(found, ratio=1.0)
    for weights in ([1.0], [1.0, -1.0, 1.0, 1.0], [1.0, math.nan, 1.0, 1.0]):
        with pytest.raises(ValueError, match="ratio must predict one finite weight a row, not negative"):
            dev_score(found, ratio=Known(weights))
