import pytest
import torch

from dalib import Batch, FeatureClassifier, Outputs, gradient_step
from dalib.losses import ClassDiscriminators, DomainDiscriminator
from dalib.methods import daan
from dalib.methods.daan import DynamicAdversarialLoss, DynamicFactor


def counts(*errors, classes=2, seen=10.0):
    return torch.tensor([errors, errors]) * seen, torch.full((2, classes + 1), seen)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((0.25, 0.25, 0.25), 0.5),  # d = 1 and 1
        ((0.0, 0.25, 0.25), 2 / 3),  # 2 / (2 + 1)
        ((0.25, 0.0, 0.5), 0.5),  # 1 / (1 + mean(2, 0))
        ((0.5, 0.5, 0.5), 0.5),  # nobody can tell
        ((0.5, 0.0, 0.0), 0.0),
        ((0.9, 0.25, 0.25), 0.0),  # worse than chance is chance
    ],
)
def test_the_factor(errors, expected):
    factor = DynamicFactor(2, window=1)
    factor.observe(*counts(*errors))
    factor.advance()
    assert factor().item() == pytest.approx(expected)


def test_classes_that_a_domain_lacks_do_not_count():
    factor = DynamicFactor(2, window=1)
    wrong, seen = counts(0.25, 0.25, 0.5)
    seen[1, 2] = 0
    factor.observe(wrong * (seen > 0), seen)
    factor.advance()
    assert factor().item() == pytest.approx(0.5)


def test_both_domains_have_equal_shares_of_an_error():
    factor = DynamicFactor(1, window=1)
    wrong, seen = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[2.0, 10.0], [8.0, 10.0]])
    factor.observe(wrong, seen)  # errors 1/2 and 0: a quarter, not a tenth
    factor.advance()
    assert factor().item() == pytest.approx(1 / (1 + 2))


def test_an_interrupted_window_goes_on_where_it_stopped():
    factor, resumed = (DynamicFactor(1, window=2) for _ in range(2))
    factor.observe(*counts(0.0, 0.25, classes=1))
    factor.advance()
    resumed.load_state_dict(factor.state_dict())
    factor.advance(), resumed.advance()
    assert resumed() == factor() == pytest.approx(2 / 3)


def test_the_widths_of_both_kinds_of_discriminators():
    loss = daan(3, 2, 40, hidden=5, class_hidden=4).terms["adversarial"].loss
    assert loss.discriminator[0].out_features == 5
    assert loss.discriminators.weights[0].shape == (2, 3, 4)


def test_it_moves_at_the_end_of_a_window_and_forgets():
    factor = DynamicFactor(1, window=2)
    factor.observe(*counts(0.0, 0.5, classes=1))
    factor.advance()
    assert factor() == 0.5
    factor.advance()
    assert factor() == 1.0
    factor.observe(*counts(0.5, 0.0, classes=1))
    factor.advance()
    factor.advance()
    assert factor() == 0.0


class Sign(torch.nn.Module):
    """Discriminators that call a row source where its first feature is positive."""

    def forward(self, features, probs=None):
        return features[:, :1] if probs is None else features[:, :1].expand(-1, probs.shape[1])


def test_errors_are_counted_by_domain_and_class():
    factor = DynamicFactor(2, window=1)
    loss = DynamicAdversarialLoss(Sign(), Sign(), factor)
    sure = 10.0 * torch.eye(2)
    source = Outputs(torch.tensor([[1.0], [-1.0], [1.0]]), torch.zeros(3, 2), torch.tensor([0, 0, 1]))
    target = Outputs(torch.tensor([[1.0], [-1.0]]), sure)
    loss(source, target)
    assert factor.wrong.tolist() == [[1, 1, 0], [1, 1, 0]]  # the target's second row is called target: right
    assert factor.seen.tolist() == [[3, 2, 1], [2, 1, 1]]
    loss.eval()
    loss(source, target)
    assert factor.seen[0, 0] == 3


def test_the_mixture_and_the_state():
    def build():
        return DynamicAdversarialLoss(
            DomainDiscriminator(3, hidden=4), ClassDiscriminators(3, 2, hidden=4), DynamicFactor(2, window=1)
        ).eval()

    loss, other = build(), build()
    rows = Outputs(torch.randn(4, 3), torch.randn(4, 2)), Outputs(torch.randn(5, 3), torch.randn(5, 2))
    values = []
    for omega in (0.0, 1.0, 0.25):
        loss.factor.factor.fill_(omega)
        values.append(loss(*rows))
    torch.testing.assert_close(values[2], 0.75 * values[0] + 0.25 * values[1])
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(*rows), values[2])


def test_the_objective_moves_it_once_a_step():
    torch.manual_seed(0)
    model = FeatureClassifier(torch.nn.Linear(2, 3), 2, bottleneck=None, width=3)
    objective = daan(3, 2, 40, hidden=4, class_hidden=4)
    factor = objective.terms["adversarial"].loss.factor
    assert factor.window == 2
    step = gradient_step(model, objective, torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.01))
    source = Batch(torch.randn(8, 2) + 3, torch.arange(8) % 2)
    step(source, Batch(torch.randn(8, 2)))
    assert factor.seen[0, 0] == 8
    step(source, Batch(torch.randn(8, 2)))
    assert factor.seen[0, 0] == 0
    assert 0 <= factor() <= 1
