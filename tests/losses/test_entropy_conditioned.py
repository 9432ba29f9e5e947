import math

import pytest
import torch
from hypothesis import given
from torch import nn

from dalib import Outputs, RandomizedMultilinear, multilinear
from dalib.losses.entropy_conditioned import EntropyConditionedLoss
from tests.strategies import matrix, row_weights


class First(nn.Module):
    """The first conditioned feature as the logit."""

    def forward(self, x):
        return x[:, 0]


def entropy(logits):
    p = torch.softmax(logits, 0)
    return -(p * p.log()).sum().item()


@given(matrix(3, 2), matrix(3, 2), matrix(2, 2), matrix(2, 2), row_weights(3))
def test_the_definition_in_loops(source, source_logits, target, target_logits, weights):
    expected = 0.0
    for features, logits, sign, given_weights in (
        (source, source_logits, -1, weights.tolist()),
        (target, target_logits, 1, [1.0, 1.0]),
    ):
        certainty = [(1 + math.exp(-entropy(z))) * w for z, w in zip(logits, given_weights, strict=True)]
        scores = [(torch.softmax(z, 0)[0] * f[0]).item() for f, z in zip(features, logits, strict=True)]
        costs = [c * math.log(1 + math.exp(sign * x)) for c, x in zip(certainty, scores, strict=True)]
        expected += sum(costs) / sum(certainty) / 2
    loss = EntropyConditionedLoss(First(), on=multilinear)
    value = loss(Outputs(source, source_logits), Outputs(target, target_logits), source_weights=weights)
    assert value.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_all_gradients(strength):
    discriminator = nn.Linear(6, 1)
    parts = [torch.randn(n, d, requires_grad=True) for n, d in ((4, 2), (4, 3), (3, 2), (3, 3))]
    loss = EntropyConditionedLoss(discriminator, strength=strength)
    loss(Outputs(*parts[:2]), Outputs(*parts[2:])).backward()

    # By hand: probabilities inside the map and the sums of the weights are constants.
    total = 0
    for features, logits, sign in ((*parts[:2], -1), (*parts[2:], 1)):
        probs = torch.softmax(logits, 1)
        domain = discriminator((probs.detach()[:, :, None] * features[:, None]).flatten(1))[:, 0]
        weights = 1 + torch.exp((probs * probs.log()).sum(1))
        total = total + (weights * nn.functional.softplus(sign * domain)).sum() / weights.sum().detach() / 2
    expected = torch.autograd.grad(total, [*parts, *discriminator.parameters()])
    torch.testing.assert_close([p.grad for p in parts], [-strength * g for g in expected[:4]])
    torch.testing.assert_close([p.grad for p in discriminator.parameters()], list(expected[4:]))


def test_equal_certainty_is_the_plain_loss():
    from dalib import DomainAdversarialLoss

    discriminator = nn.Linear(4, 1)
    source, target = (Outputs(torch.randn(n, 2), torch.zeros(n, 2)) for n in (4, 3))
    plain = DomainAdversarialLoss(discriminator)(multilinear(source), multilinear(target))
    torch.testing.assert_close(EntropyConditionedLoss(discriminator)(source, target), plain)


def test_the_random_map_is_in_the_state():
    loss, other = (
        EntropyConditionedLoss(nn.Linear(8, 1), on=RandomizedMultilinear(2, 3, dimension=8)) for _ in range(2)
    )
    rows = Outputs(torch.randn(4, 2), torch.randn(4, 3))
    assert loss(rows, rows) != other(rows, rows)
    other.load_state_dict(loss.state_dict())
    assert loss(rows, rows) == other(rows, rows)


def test_a_saturated_discriminator_still_has_a_gradient():
    features = torch.tensor([[-400.0, 0.0]], requires_grad=True)
    rows = Outputs(features, torch.zeros(1, 2))
    EntropyConditionedLoss(First())(rows, Outputs(torch.zeros(1, 2), torch.zeros(1, 2))).backward()
    assert features.grad[0, 0].item() == pytest.approx(0.25)  # reversed: + 1/2 (domain) * 1/2 (probability)


def test_errors_name_the_argument():
    rows = Outputs(torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(TypeError, match=r"discriminator must be a torch.nn.Module"):
        EntropyConditionedLoss(torch.sigmoid)
    with pytest.raises(TypeError, match="on must be callable, got str"):
        EntropyConditionedLoss(nn.Linear(4, 1), on="features")
    with pytest.raises(
        ValueError, match=r"discriminator must return one number for each of 4 rows, got shape \(4, 2\)"
    ):
        EntropyConditionedLoss(nn.Linear(4, 2))(rows, rows)
    with pytest.raises(ValueError, match="source_weights must have shape"):
        EntropyConditionedLoss(nn.Linear(4, 1))(rows, rows, source_weights=torch.ones(3))
