import pytest
import torch
from hypothesis import given
from torch import nn

from dalib import Outputs, linear_ramp
from dalib.losses.nuclear_wasserstein import NuclearWassersteinLoss, nuclear_wasserstein_loss
from tests.strategies import matrix, two_samples


def test_balanced_certain_against_uniform():
    certain = 200 * torch.eye(3, dtype=torch.float64).repeat(4, 1)  # 12 rows, 3 classes: norm / B = sqrt(K / B)
    uniform = torch.zeros(12, 3, dtype=torch.float64)  # norm / B = 1 / sqrt(B K)
    value = nuclear_wasserstein_loss(certain, uniform).item()
    assert value == pytest.approx(-((3 / 12) ** 0.5 - (1 / 36) ** 0.5))


@given(matrix(4, 3), matrix(4, 3))
def test_the_definition_for_equal_batches(source, target):
    norms = [torch.linalg.matrix_norm(torch.softmax(x, 1), ord="nuc") for x in (source, target)]
    torch.testing.assert_close(nuclear_wasserstein_loss(source, target), -(norms[0] - norms[1]) / 4)


@given(two_samples(max_columns=3))
def test_exchanged_domains_and_repeated_rows(samples):
    source, target = samples
    value = nuclear_wasserstein_loss(source, target)
    torch.testing.assert_close(nuclear_wasserstein_loss(target, source), -value)
    assert nuclear_wasserstein_loss(source, source.repeat(3, 1)).abs() < 1e-9
    torch.testing.assert_close(nuclear_wasserstein_loss(source.repeat(4, 1), target), value / 4**0.25)


def test_gradcheck():
    rows = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5)]
    assert torch.autograd.gradcheck(nuclear_wasserstein_loss, rows)


@pytest.mark.parametrize("rows", [torch.zeros(3, 4), torch.ones(1, 4), 300 * torch.eye(4)[:1].repeat(5, 1)])
def test_the_gradient_at_deficient_rank_is_the_least_subgradient(rows):
    probs = torch.softmax(rows.double(), 1).requires_grad_()
    from dalib.losses.nuclear_wasserstein import _nuclear_norm

    _nuclear_norm(probs).backward()
    gradient = probs.grad
    singular = torch.linalg.svdvals(gradient)
    assert singular[0] == pytest.approx(1)  # rank one: one singular value of one, no made-up directions
    assert (singular[1:] < 1e-9).all()
    rows = rows.clone().requires_grad_()
    nuclear_wasserstein_loss(rows, rows.detach() + 1).backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("strength", [0.0, 1.0, 0.4])
def test_the_head_maximises_the_discrepancy_and_the_features_minimise_it(strength):
    head = nn.Linear(2, 3)
    features = [torch.randn(n, 2, requires_grad=True) for n in (4, 5)]
    source, target = (Outputs(x, head(x), head=head) for x in features)
    NuclearWassersteinLoss(strength=strength)(source, target).backward()
    plain = nuclear_wasserstein_loss(*(head(x) for x in features))
    expected = torch.autograd.grad(plain, [*features, *head.parameters()])
    torch.testing.assert_close([x.grad for x in features], [-strength * g for g in expected[:2]])
    torch.testing.assert_close([p.grad for p in head.parameters()], list(expected[2:]))


def test_the_schedule_is_in_the_state():
    loss, other = (NuclearWassersteinLoss(strength=linear_ramp(10)) for _ in range(2))
    loss.reversal.strength.advance()
    other.load_state_dict(loss.state_dict())
    assert other.reversal.strength().item() == pytest.approx(0.1)


def test_errors_name_the_argument():
    rows = Outputs(torch.zeros(2, 2), torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"outputs must know the head of their model, got head=None; make them by"):
        NuclearWassersteinLoss()(rows, rows)
    wrong = Outputs(torch.zeros(2, 2), torch.zeros(2, 3), head=nn.Linear(2, 4))
    with pytest.raises(ValueError, match=r"outputs.head must map features to logits of shape \(2, 3\), got \(2, 4\)"):
        NuclearWassersteinLoss()(wrong, wrong)
    with pytest.raises(ValueError, match="same number of features, got 3 and 2"):
        nuclear_wasserstein_loss(torch.zeros(2, 3), torch.zeros(2, 2))
