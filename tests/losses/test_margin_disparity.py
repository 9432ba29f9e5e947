import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dalib import Outputs
from dalib.losses.margin_disparity import MarginDisparityLoss, margin_disparity_loss
from tests.strategies import counts, matrix, row_weights

CLASSES = 3


def labels(rows):
    return st.lists(st.integers(0, CLASSES - 1), min_size=rows, max_size=rows).map(torch.tensor)


def test_an_undecided_head_costs_what_the_paper_says():
    zeros, label = torch.zeros(1, 4), torch.tensor([2])
    source_part = margin_disparity_loss(zeros, zeros, label, label, margin=2.0) - margin_disparity_loss(
        zeros, zeros, label, label, margin=1.0
    )
    assert source_part.item() == pytest.approx(math.log(4))
    rest = margin_disparity_loss(zeros, zeros, label, label, margin=1.0) - source_part
    assert rest.item() == pytest.approx(-math.log(1 - 1 / 4))


@pytest.mark.parametrize("offset", [0.0, 1024.0])
@pytest.mark.parametrize("gap", [3.0, 12.0, 20.0])
def test_a_head_that_disagrees_costs_a_small_number_with_all_its_digits(gap, offset):
    sure, label = torch.tensor([[200.0, 0.0]]), torch.tensor([0])  # nothing is lost on the source
    value = margin_disparity_loss(sure, torch.tensor([[-gap, 0.0]]) + offset, label, label)
    assert value.item() == pytest.approx(math.log1p(math.exp(-gap)), rel=1e-5)


def test_where_both_densities_are_one_the_optimum_is_gamma_over_one_plus_gamma():
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    label = torch.tensor([0])
    optimizer = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = margin_disparity_loss(logits, logits, label, label, margin=4.0)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.softmax(logits, 1)[0, 0].item() == pytest.approx(0.8, abs=1e-6)


@given(matrix(4, CLASSES), matrix(3, CLASSES), labels(4), labels(3), row_weights(4))
def test_the_definition_in_loops(source, target, first, second, weights):
    expected = 0.0
    for i in range(4):
        probability = torch.softmax(source[i], 0)[first[i]].item()
        expected += 4 * (weights[i] / weights.sum()).item() * -math.log(probability)
    for j in range(3):
        others = [k for k in range(CLASSES) if k != second[j]]
        expected += -math.log(torch.softmax(target[j], 0)[others].sum().item()) / 3
    value = margin_disparity_loss(source, target, first, second, source_weights=weights)
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert value.item() >= 0


@given(matrix(3, CLASSES), matrix(2, CLASSES), labels(3), labels(2), counts(3))
def test_integer_weights_equal_repetition(source, target, first, second, times):
    repeated = margin_disparity_loss(
        source.repeat_interleave(times, 0), target, first.repeat_interleave(times), second, margin=2.0
    )
    weighted = margin_disparity_loss(source, target, first, second, margin=2.0, source_weights=times.double())
    torch.testing.assert_close(repeated, weighted)


def test_gradcheck_and_a_certain_head_has_a_finite_gradient():
    source, target = (torch.randn(n, CLASSES, dtype=torch.float64, requires_grad=True) for n in (4, 3))
    y = torch.tensor([0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda s, t: margin_disparity_loss(s, t, y, y[:3]), (source, target))
    certain = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = margin_disparity_loss(certain.detach(), certain, y[:1], y[:1])
    loss.backward()
    assert loss.item() == pytest.approx(200 - math.log(2))
    torch.testing.assert_close(certain.grad, torch.tensor([[1.0, -0.5, -0.5]]))


def outputs(n):
    return Outputs(torch.randn(n, 2, requires_grad=True), torch.randn(n, CLASSES, requires_grad=True))


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_the_game(strength):
    head, source, target = nn.Linear(2, CLASSES), outputs(4), outputs(3)
    MarginDisparityLoss(head, margin=2.0, strength=strength)(source, target).backward()
    plain = margin_disparity_loss(
        head(source.features),
        head(target.features),
        source.logits.argmax(1),
        target.logits.argmax(1),
        margin=2.0,
    )
    parts = [source.features, target.features, *head.parameters()]
    expected = torch.autograd.grad(plain, parts)
    torch.testing.assert_close([p.grad for p in parts[:2]], [-strength * g for g in expected[:2]])
    torch.testing.assert_close([p.grad for p in parts[2:]], list(expected[2:]))
    assert source.logits.grad is None  # the main head's predictions count as labels
    assert target.logits.grad is None


Y = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: margin_disparity_loss(torch.zeros(2, 3), torch.zeros(2, 2), Y, Y),
            ValueError,
            "must have the same number of classes, at least 2, got 3 and 2",
        ),
        (
            lambda: margin_disparity_loss(torch.zeros(2, 1), torch.zeros(2, 1), Y, Y),
            ValueError,
            "at least 2, got 1 and 1",
        ),
        (
            lambda: margin_disparity_loss(torch.zeros(2, 3), torch.zeros(2, 3), Y + 3, Y),
            ValueError,
            r"source_labels must lie in 0\.\.2",
        ),
        (
            lambda: margin_disparity_loss(torch.zeros(2, 3), torch.zeros(2, 3), Y, Y[:1]),
            ValueError,
            "target_labels must have shape",
        ),
        (
            lambda: margin_disparity_loss(torch.zeros(2, 3), torch.zeros(2, 3), Y, Y, margin=0.0),
            ValueError,
            "margin must be positive",
        ),
        (lambda: MarginDisparityLoss(torch.relu), TypeError, "head must be a torch.nn.Module"),
        (lambda: MarginDisparityLoss(nn.Linear(2, 3), margin=-1.0), ValueError, "margin must be positive"),
        (
            lambda: MarginDisparityLoss(nn.Linear(2, 4))(outputs(2), outputs(2)),
            ValueError,
            r"head must return logits of shape \(4, 3\), one column a class of the model, got \(4, 4\)",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
