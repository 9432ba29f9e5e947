import math

import pytest
import torch
from torch import nn

from dalib import domain_adversarial_loss
from dalib.losses import DomainDiscriminator
from dalib.methods.domain_confusion import DomainConfusionLoss


@pytest.mark.parametrize("confusion", [0.0, 0.3])
def test_each_part_moves_its_own_parameters(confusion):
    discriminator = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    source, target = (torch.randn(n, 2, requires_grad=True) for n in (4, 3))
    value = DomainConfusionLoss(discriminator, confusion=confusion)(source, target)
    value.backward()
    apart = domain_adversarial_loss(discriminator(source), discriminator(target))
    undecided = [
        -(torch.log(torch.sigmoid(z)) + torch.log(torch.sigmoid(-z))).mean() / 2
        for z in (discriminator(source), discriminator(target))
    ]
    expected = torch.autograd.grad(apart, [*discriminator.parameters()], retain_graph=True)
    torch.testing.assert_close([p.grad for p in discriminator.parameters()], list(expected))
    expected = torch.autograd.grad(sum(undecided) / 2, [source, target], retain_graph=True)
    torch.testing.assert_close([source.grad, target.grad], [confusion * g for g in expected])
    torch.testing.assert_close(value, apart + confusion * sum(undecided) / 2)


def test_an_undecided_classifier_gives_no_gradient_and_a_certain_one_a_finite_one():
    discriminator = nn.Linear(1, 1)
    nn.init.zeros_(discriminator.bias)
    nn.init.ones_(discriminator.weight)
    rows = torch.tensor([[0.0], [500.0]], requires_grad=True)
    DomainConfusionLoss(discriminator)(rows, torch.zeros(1, 1)).backward()
    torch.testing.assert_close(rows.grad, torch.tensor([[0.0], [0.125]]))  # 1/2 (domain) * 1/2 (rows) * 1/2 (uniform)


def test_weights_equal_repetition():
    discriminator = DomainDiscriminator(2, hidden=3).eval()
    source, target, times = torch.randn(3, 2), torch.randn(2, 2), torch.tensor([1, 2, 1])
    loss = DomainConfusionLoss(discriminator)
    repeated = loss(source.repeat_interleave(times, 0), target)
    torch.testing.assert_close(loss(source, target, source_weights=times.float()), repeated)


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match=r"discriminator must be a torch.nn.Module, got builtin_function"):
        DomainConfusionLoss(torch.sigmoid)
    with pytest.raises(ValueError, match="confusion must be finite"):
        DomainConfusionLoss(nn.Linear(2, 1), confusion=math.nan)
