import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib import MCCLoss, mcc_loss
from tests.strategies import counts, matrix


def loops(logits, temperature, weights=None):
    """The definition, in float64 loops."""
    n, k = logits.shape
    probs = []
    for row in logits.tolist():
        exponentials = [math.exp((z - max(row)) / temperature) for z in row]
        probs.append([e / sum(exponentials) for e in exponentials])
    certainty = [1 + math.exp(sum(p * math.log(p) for p in row if p > 0)) for row in probs]
    if weights is not None:
        certainty = [c * w for c, w in zip(certainty, weights.tolist(), strict=True)]
    certainty = [n * c / sum(certainty) for c in certainty]
    total = 0.0
    for j in range(k):
        confusion = [sum(certainty[i] * probs[i][j] * probs[i][c] for i in range(n)) for c in range(k)]
        total += 1 - confusion[j] / sum(confusion)
    return total / k


@pytest.mark.parametrize("classes", [2, 5, 31])
def test_uniform_predictions_are_confused_most(classes):
    assert mcc_loss(torch.zeros(4, classes)).item() == pytest.approx((classes - 1) / classes)


def test_certain_balanced_predictions_are_not_confused():
    assert mcc_loss(1e4 * torch.eye(3)).item() == pytest.approx(0, abs=1e-6)


@given(matrix(5, 3), st.sampled_from([1.0, 2.5]))
def test_the_definition_in_loops(logits, temperature):
    assert mcc_loss(logits, temperature=temperature).item() == pytest.approx(loops(logits, temperature), abs=1e-12)


@given(matrix(5, 3), st.data())
def test_bounds_order_and_weights_equal_repetition(logits, data):
    times = data.draw(counts(5))
    value = mcc_loss(logits, weights=times.double())
    assert 0 <= value <= 2 / 3 + 1e-12
    torch.testing.assert_close(value, mcc_loss(logits.repeat_interleave(times, dim=0)))
    torch.testing.assert_close(mcc_loss(logits.flip(0)), mcc_loss(logits))
    torch.testing.assert_close(mcc_loss(logits.flip(1)), mcc_loss(logits))


def test_the_gradient_leaves_the_certainty_weights_out():
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    probs = torch.softmax(logits.detach() / 2.5, dim=1)
    certainty = 1 + torch.exp((probs * probs.log()).sum(dim=1))

    def with_fixed_certainty(z):
        p = torch.softmax(z / 2.5, dim=1)
        confusion = p.T @ torch.diag(certainty) @ p
        return (1 - confusion.diagonal() / confusion.sum(dim=1)).mean()

    expected = torch.autograd.grad(with_fixed_certainty(logits), logits)
    torch.testing.assert_close(torch.autograd.grad(mcc_loss(logits), logits), expected)
    assert torch.autograd.gradcheck(with_fixed_certainty, logits)


def test_an_absent_class_adds_nothing_and_keeps_the_gradient_finite():
    logits = torch.tensor([[0.0, 0.0, -1e6], [1.0, 0.0, -1e6]], requires_grad=True)
    value = mcc_loss(logits)
    value.backward()
    assert value.item() == pytest.approx(mcc_loss(logits[:, :2].detach()).item() * 2 / 3, abs=1e-6)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("logits", "options", "error", "message"),
    [
        (torch.zeros(3, 1), {}, ValueError, "logits must have at least two classes, got 1"),
        (torch.zeros(0, 3), {}, ValueError, "logits must have at least 1 row"),
        (torch.zeros(3, 2), {"temperature": 0.0}, ValueError, "temperature must be positive"),
        (torch.zeros(3, 2), {"temperature": "hot"}, TypeError, "temperature must be a number, got str"),
        (torch.zeros(3, 2), {"weights": torch.ones(2)}, ValueError, r"weights must have shape \(3,\)"),
    ],
)
def test_errors_name_the_argument(logits, options, error, message):
    with pytest.raises(error, match=message):
        mcc_loss(logits, **options)


def test_module_refuses_a_bad_temperature_when_it_is_built():
    with pytest.raises(ValueError, match="temperature must be positive"):
        MCCLoss(temperature=-1)
