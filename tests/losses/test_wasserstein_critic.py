"""The penalty of the Wasserstein critic at known slopes, and one step of WDGRL as published."""

import copy

import torch
from torch import nn

from dalib import Batch, FeatureClassifier, gradient_step, separate_forward, source_cross_entropy
from dalib.losses import WassersteinCriticLoss
from dalib.methods import wdgrl


class Parabola(nn.Module):
    """Its slope at x is x."""

    def forward(self, rows):
        return rows[:, 0].square() / 2


def test_the_penalty_at_source_target_and_points_between_with_their_weights():
    source, target = torch.tensor([[2.0], [3.0]]), torch.tensor([[5.0], [6.0], [9.0]])
    a, b = torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0, 1.0])
    loss = WassersteinCriticLoss(Parabola(), penalty=0.5, generator=torch.Generator().manual_seed(4))
    value = loss(source, target, source_weights=a, target_weights=b)
    place = torch.rand(3, 1, generator=torch.Generator().manual_seed(4))  # as many as the larger batch has rows
    between = (1 - place) * source[[0, 1, 0]] + place * target
    a, b = a / 4, b / 4
    gap = a @ source[:, 0].square() / 2 - b @ target[:, 0].square() / 2
    penalty = a @ (source[:, 0] - 1) ** 2 + b @ (target[:, 0] - 1) ** 2 + ((between[:, 0] - 1) ** 2).mean()
    torch.testing.assert_close(value, -gap + 0.5 * penalty / 3)
    with torch.no_grad():
        loss.generator.manual_seed(4)
        torch.testing.assert_close(loss(source, target, source_weights=a, target_weights=b), value)


def test_a_flat_critic_has_a_finite_gradient():
    critic = nn.Linear(2, 1)
    nn.init.zeros_(critic.weight)
    WassersteinCriticLoss(critic)(torch.ones(3, 2), torch.zeros(2, 2)).backward()
    assert torch.isfinite(critic.weight.grad).all()


def parts(**options):
    torch.manual_seed(0)
    model = FeatureClassifier(nn.Linear(4, 6), 3, bottleneck=None, width=6)
    objective = wdgrl(6, 3, 10, hidden=5, weight=0.3, **options)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
    return model, objective, optimizer


def batches():
    source = Batch(torch.randn(7, 4), torch.arange(7) % 3, torch.rand(7) + 0.5)
    return source, Batch(torch.randn(5, 4) + 1, weights=torch.rand(5) + 0.5)


def test_one_step_is_some_of_the_critic_and_then_one_of_the_model():
    model, objective, optimizer = parts(critic_steps=2, penalty=2.0)
    twin, loss = copy.deepcopy(model), copy.deepcopy(objective.parts["critic"])
    source, target = batches()
    torch.manual_seed(5)
    losses = gradient_step(model, objective, optimizer)(source, target)

    def descend(value, parameters):
        for p, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
            p.data -= 0.1 * gradient

    shares = [batch.weights / batch.weights.sum() for batch in (source, target)]
    torch.manual_seed(5)
    for _ in range(2):
        rows = [twin(batch.inputs)[0].detach() for batch in (source, target)]
        value = loss(*rows, source_weights=source.weights, target_weights=target.weights)
        descend(value, [*loss.critic.parameters()])
    first, second = separate_forward(twin, source, target)
    gap = shares[0] @ loss.critic(first.features)[:, 0] - shares[1] @ loss.critic(second.features)[:, 0]
    adapted = source_cross_entropy(first) + 0.3 * gap
    descend(adapted, [*twin.parameters()])
    torch.testing.assert_close(losses.terms["criticise"], value.detach())
    torch.testing.assert_close(losses.terms["adapt"], adapted.detach())
    for p, q in zip(
        [*model.parameters(), *objective.parameters()], [*twin.parameters(), *loss.parameters()], strict=True
    ):
        torch.testing.assert_close(p, q)
