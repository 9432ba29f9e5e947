import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib import entropy_loss
from tests.strategies import counts, matrix


def loops(logits, weights=None):
    """The definition, in float64 loops."""
    weights = [1.0] * len(logits) if weights is None else weights.tolist()
    total = 0.0
    for weight, row in zip(weights, logits.tolist(), strict=True):
        exponentials = [math.exp(z - max(row)) for z in row]
        probs = [e / sum(exponentials) for e in exponentials]
        total -= weight * sum(p * math.log(p) for p in probs if p > 0)
    return total / sum(weights)


def test_uniform_predictions_have_the_largest_entropy():
    assert entropy_loss(torch.zeros(3, 7)).item() == pytest.approx(math.log(7))


def test_a_coin_in_closed_form():
    p = 0.2
    logits = torch.tensor([[math.log(p), math.log(1 - p)]])
    assert entropy_loss(logits).item() == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))


@given(matrix(4, 3))
def test_the_definition_in_loops(logits):
    assert entropy_loss(logits).item() == pytest.approx(loops(logits), abs=1e-12)


@given(matrix(4, 3), st.data())
def test_between_zero_and_log_classes_and_weights_equal_repetition(logits, data):
    times = data.draw(counts(4))
    weighted = entropy_loss(logits, weights=times.double())
    assert 0 <= weighted <= math.log(3) + 1e-12
    torch.testing.assert_close(weighted, entropy_loss(logits.repeat_interleave(times, dim=0)))
    assert weighted.item() == pytest.approx(loops(logits, times), abs=1e-12)


def test_gradcheck_and_a_finite_gradient_for_certain_rows():
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(entropy_loss, logits)
    certain = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    value = entropy_loss(certain)
    value.backward()
    assert value == 0
    assert torch.isfinite(certain.grad).all()


@pytest.mark.parametrize(
    ("logits", "options", "error", "message"),
    [
        (torch.zeros(3), {}, ValueError, r"logits must have shape"),
        (torch.zeros(0, 3), {}, ValueError, "logits must have at least 1 row"),
        (torch.full((2, 2), math.nan), {}, ValueError, "logits must be finite"),
        (torch.zeros(2, 2, dtype=torch.int64), {}, TypeError, "logits must have a floating-point dtype"),
        (torch.zeros(2, 2), {"weights": torch.zeros(2)}, ValueError, "weights must not be all zero"),
    ],
)
def test_errors_name_the_argument(logits, options, error, message):
    with pytest.raises(error, match=message):
        entropy_loss(logits, **options)
