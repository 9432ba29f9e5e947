import math

import pytest
import torch
from hypothesis import given
from torch import nn

from dalib import Outputs
from dalib.losses.one_vs_all import one_vs_all_loss, open_entropy_loss
from dalib.losses.unknown_boundary import UnknownBoundaryLoss, unknown_boundary_loss
from tests.strategies import counts, matrix, row_weights


@given(matrix(3, 4), row_weights(3))
def test_the_boundary_in_loops(logits, weights):
    expected = 0.0
    for z, w in zip(logits, (weights / weights.sum()).tolist(), strict=True):
        p = torch.softmax(z, 0)[-1].item()
        expected += w * (-0.3 * math.log(p) - 0.7 * math.log(1 - p))
    value = unknown_boundary_loss(logits, boundary=0.3, weights=weights)
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert value.item() >= -0.3 * math.log(0.3) - 0.7 * math.log(0.7) - 1e-12


def test_the_optimum_is_at_the_boundary():
    at = torch.tensor([[0.0, 0.0, math.log(2.0)]], dtype=torch.float64, requires_grad=True)  # p = 2 / 4
    loss = unknown_boundary_loss(at)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    torch.testing.assert_close(at.grad, torch.zeros_like(at))


def test_boundary_gradcheck_and_saturated_rows():
    rows = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unknown_boundary_loss, [rows])
    certain = torch.tensor([[0.0, 300.0]], requires_grad=True)
    unknown_boundary_loss(certain).backward()
    torch.testing.assert_close(certain.grad, torch.tensor([[-0.5, 0.5]]))


@pytest.mark.parametrize("strength", [0.0, 1.0, 0.4])
def test_the_head_holds_the_boundary_and_the_features_push_off(strength):
    head, features = nn.Linear(2, 3), torch.randn(4, 2, requires_grad=True)
    target = Outputs(features, head(features), head=head)
    source = Outputs(torch.randn(5, 2), torch.randn(5, 3), head=nn.Linear(2, 3))  # is not looked at
    UnknownBoundaryLoss(strength=strength)(source, target).backward()
    plain = unknown_boundary_loss(head(features))
    expected = torch.autograd.grad(plain, [features, *head.parameters()])
    torch.testing.assert_close(features.grad, -strength * expected[0])
    torch.testing.assert_close([p.grad for p in head.parameters()], list(expected[1:]))


@given(matrix(3, 3), row_weights(3))
def test_one_vs_all_in_loops(logits, weights):
    labels = torch.tensor([2, 0, 1])
    sigma = torch.sigmoid(logits)
    expected = entropy = 0.0
    for i, w in enumerate((weights / weights.sum()).tolist()):
        y = labels[i].item()
        hardest = max(-math.log(1 - sigma[i, k].item()) for k in range(3) if k != y)
        expected += w * (-math.log(sigma[i, y].item()) + hardest) / 2
        entropy += w * sum(-p * math.log(p) - (1 - p) * math.log(1 - p) for p in sigma[i].tolist()) / 3
    assert one_vs_all_loss(logits, labels, weights=weights).item() == pytest.approx(expected, rel=1e-9)
    assert open_entropy_loss(logits, weights=weights).item() == pytest.approx(entropy, rel=1e-9)


@given(matrix(3, 3), counts(3))
def test_integer_weights_equal_repetition(logits, times):
    labels = torch.tensor([2, 0, 1])
    repeated, weights = logits.repeat_interleave(times, 0), times.double()
    torch.testing.assert_close(
        one_vs_all_loss(repeated, labels.repeat_interleave(times)), one_vs_all_loss(logits, labels, weights=weights)
    )
    torch.testing.assert_close(open_entropy_loss(repeated), open_entropy_loss(logits, weights=weights))
    torch.testing.assert_close(unknown_boundary_loss(repeated), unknown_boundary_loss(logits, weights=weights))


def test_one_vs_all_gradcheck_and_certain_rows():
    rows = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 3])
    assert torch.autograd.gradcheck(lambda z: one_vs_all_loss(z, labels), [rows])
    assert torch.autograd.gradcheck(open_entropy_loss, [rows])
    certain = torch.tensor([[500.0, -500.0]], requires_grad=True)
    open_entropy_loss(certain).backward()
    assert open_entropy_loss(certain).item() == 0
    assert torch.isfinite(certain.grad).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unknown_boundary_loss(torch.zeros(2, 1)), "logits must have a known and the unknown class, got 1"),
        (lambda: unknown_boundary_loss(torch.zeros(2, 2), boundary=1.0), "boundary must be between 0 and 1, got 1"),
        (lambda: UnknownBoundaryLoss(boundary=0.0), "boundary must be positive"),
        (lambda: one_vs_all_loss(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)), "at least two classes, got 1"),
        (lambda: one_vs_all_loss(torch.zeros(2, 2), torch.tensor([0, 2])), r"labels must lie in 0\.\.1"),
        (lambda: open_entropy_loss(torch.zeros(2)), "open_logits must have shape"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
