import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dalib import DomainAdversarialLoss, DomainDiscriminator, domain_adversarial_loss, linear_ramp
from tests.strategies import counts, matrix


def test_a_discriminator_at_chance_costs_log_two():
    assert domain_adversarial_loss(torch.zeros(3), torch.zeros(5, 1)).item() == pytest.approx(math.log(2))


@given(matrix(4, 1), matrix(3, 1), st.data())
def test_the_definition_in_loops_and_weights_equal_repetition(source, target, data):
    times = data.draw(counts(4))
    repeated = source.repeat_interleave(times, dim=0)
    expected = sum(-math.log(1 / (1 + math.exp(-z))) for z in repeated[:, 0].tolist()) / len(repeated) / 2
    expected += sum(-math.log(1 - 1 / (1 + math.exp(-z))) for z in target[:, 0].tolist()) / len(target) / 2
    weighted = domain_adversarial_loss(source, target, source_weights=times.double())
    assert weighted.item() == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(domain_adversarial_loss(repeated, target), weighted)


def test_swapping_the_domains_flips_the_sign_of_the_logits():
    source, target = torch.randn(4), torch.randn(3)
    torch.testing.assert_close(domain_adversarial_loss(source, target), domain_adversarial_loss(-target, -source))


def test_gradcheck_and_a_gradient_when_saturated():
    source, target = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (4, 3))
    assert torch.autograd.gradcheck(domain_adversarial_loss, (source, target))
    wrong = torch.tensor([-100.0], requires_grad=True)
    domain_adversarial_loss(wrong, torch.zeros(1)).backward()
    assert wrong.grad.item() == pytest.approx(-0.5)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_features_ascend_with_this_strength_and_the_discriminator_descends(strength):
    discriminator = nn.Linear(2, 1)
    source, target = (torch.randn(n, 2, requires_grad=True) for n in (4, 3))
    DomainAdversarialLoss(discriminator, strength=strength)(source, target).backward()
    reversed_gradients = [source.grad, target.grad]
    moved = [p.grad for p in discriminator.parameters()]
    plain = domain_adversarial_loss(discriminator(source), discriminator(target))
    expected = torch.autograd.grad(plain, [source, target, *discriminator.parameters()])
    torch.testing.assert_close(reversed_gradients, [-strength * g for g in expected[:2]])
    torch.testing.assert_close(moved, list(expected[2:]))


def test_the_schedule_is_in_the_state_and_evaluation_does_not_move_it():
    loss = DomainAdversarialLoss(nn.Linear(2, 1), strength=linear_ramp(10))
    loss.reversal.strength.advance()
    loss.eval()
    with torch.no_grad():
        loss(torch.zeros(1, 2), torch.zeros(1, 2))
    other = DomainAdversarialLoss(nn.Linear(2, 1), strength=linear_ramp(10))
    other.load_state_dict(loss.state_dict())
    assert other.reversal.strength().item() == pytest.approx(0.1)


def test_a_lazy_discriminator_learns_its_width():
    lazy = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 1))
    assert torch.isfinite(DomainAdversarialLoss(lazy)(torch.zeros(2, 5), torch.zeros(3, 5)))
    with pytest.raises(ValueError, match="discriminator must take the 4 features"):
        DomainAdversarialLoss(lazy)(torch.zeros(2, 4), torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: domain_adversarial_loss(torch.zeros(2, 2), torch.zeros(2)),
            ValueError,
            "source_logits must have shape",
        ),
        (lambda: domain_adversarial_loss(torch.zeros(2), torch.zeros(0)), ValueError, "target_logits must have shape"),
        (
            lambda: domain_adversarial_loss(torch.zeros(2), torch.zeros(2).double()),
            TypeError,
            "source_logits and target_l",
        ),
        (lambda: DomainAdversarialLoss(torch.sigmoid), TypeError, "discriminator must be a torch.nn.Module"),
        (lambda: DomainAdversarialLoss(nn.Linear(2, 1), strength=math.nan), ValueError, "strength must be finite"),
        (
            lambda: DomainAdversarialLoss(nn.Linear(2, 1), strength="1"),
            TypeError,
            "strength must be a number or a sched",
        ),
        (
            lambda: DomainAdversarialLoss(DomainDiscriminator(3, hidden=2))(torch.zeros(2, 2), torch.zeros(2, 2)),
            ValueError,
            "discriminator must take the 2 features that it is given, got 3 inputs",
        ),
        (
            lambda: DomainAdversarialLoss(nn.Linear(2, 2))(torch.zeros(2, 2), torch.zeros(2, 2)),
            ValueError,
            r"discriminator must return one number for each of 4 rows, got shape \(4, 2\)",
        ),
        (lambda: DomainDiscriminator(0), ValueError, "width must be at least 1"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
