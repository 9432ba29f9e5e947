import math

import pytest
import torch
from hypothesis import given
from torch import nn

from dalib import domain_adversarial_loss
from dalib.losses.class_adversarial import class_adversarial_loss
from dalib.losses.class_discriminators import ClassDiscriminators
from tests.strategies import matrix, row_weights


def test_each_class_has_a_network_of_its_own():
    bank = ClassDiscriminators(3, 2, hidden=4).eval()
    features, probs = torch.randn(5, 3), torch.softmax(torch.randn(5, 2), 1)
    logits = bank(features, probs)
    for k in range(2):
        x = probs[:, k : k + 1] * features
        for weight, bias in zip(bank.weights[:-1], bank.biases[:-1], strict=True):
            x = torch.relu(x @ weight[k] + bias[k])
        torch.testing.assert_close(logits[:, k], (x @ bank.weights[-1][k] + bank.biases[-1][k])[:, 0])


def test_a_network_starts_in_the_range_of_a_linear_layer():
    bank = ClassDiscriminators(16, 2, hidden=4)
    assert bank.weights[0].abs().max() <= 1 / 4 < 1.2 * bank.weights[0].abs().max()
    assert bank.weights[1].abs().max() <= 1 / 2 < 1.2 * bank.weights[1].abs().max()


@given(matrix(4, 3), matrix(2, 3), row_weights(4))
def test_the_loss_is_the_sum_over_its_columns(source, target, weights):
    expected = sum(domain_adversarial_loss(source[:, k], target[:, k], source_weights=weights).item() for k in range(3))
    value = class_adversarial_loss(source, target, source_weights=weights)
    assert value.item() == pytest.approx(expected, abs=1e-10)


def test_chance_and_gradcheck():
    assert class_adversarial_loss(torch.zeros(3, 5), torch.zeros(2, 5)).item() == pytest.approx(5 * math.log(2))
    rows = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 2)]
    assert torch.autograd.gradcheck(class_adversarial_loss, rows)


def test_errors_name_the_argument():
    bank = ClassDiscriminators(3, 2, hidden=4)
    with pytest.raises(ValueError, match="features must have 3 columns, got 4"):
        bank(torch.zeros(1, 4), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="probs must have 2 columns, got 3"):
        bank(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="hidden must be at least 1"):
        ClassDiscriminators(3, 2, hidden=0)
    assert isinstance(bank, nn.Module)
