import copy
import math

import pytest
import torch
from torch import nn

import tests.shifted_problem as shifted
from dalib import Batch, FeatureClassifier, gradient_step, joint_forward, separate_forward
from dalib.losses import classifier_discrepancy_loss
from dalib.methods import mcd, source_only, swd_mcd


def parts():
    torch.manual_seed(0)
    model = FeatureClassifier(nn.Linear(4, 6), 3, bottleneck=None, width=6)
    return model, mcd(6, 3, 10, weight=0.5, times=2)


def batches():
    return Batch(torch.randn(7, 4), torch.arange(7) % 3), Batch(torch.randn(5, 4))


@pytest.mark.parametrize("forward", [separate_forward, joint_forward])
def test_one_step_is_the_three_phases_of_the_paper(forward):
    model, objective = parts()
    twin, second = copy.deepcopy(model), copy.deepcopy(objective.parts["second"])
    source, target = batches()
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
    losses = gradient_step(model, objective, optimizer, forward=forward)(source, target)

    def descend(loss, parameters):
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.data -= 0.1 * gradient

    def classify():
        features, logits = twin(source.inputs)
        return sum(nn.functional.cross_entropy(z, source.labels) for z in (logits, second(features)))

    def apart():
        features, logits = twin(target.inputs)
        return 0.5 * classifier_discrepancy_loss(logits, second(features))

    heads = [*twin.head.parameters(), *second.parameters()]
    descend(classify(), [*twin.backbone.parameters(), *heads])
    descend(classify() - apart(), heads)
    for _ in range(2):
        last = apart()
        descend(last, [*twin.backbone.parameters()])
    for p, q in zip(
        [*model.parameters(), *objective.parameters()], [*twin.parameters(), *second.parameters()], strict=True
    ):
        torch.testing.assert_close(p, q)
    assert list(losses.terms) == ["classify", "disagree", "agree"]
    torch.testing.assert_close(losses.terms["agree"], last.detach())


def test_heads_that_start_alike_would_stay_alike():
    model, objective = parts()
    assert not torch.equal(model.head.weight, objective.parts["second"].weight)


@pytest.mark.parametrize("recipe", [mcd, pytest.param(swd_mcd, marks=pytest.mark.slow)])
def test_repairs_a_rotation(recipe, monkeypatch):
    angle = torch.tensor(1.25)
    rotation = torch.eye(6)
    rotation[:2, :2] = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])

    def rotated(seed):
        inputs, labels = shifted.rows(seed + 100)
        return *shifted.rows(seed), inputs @ rotation, labels

    monkeypatch.setattr(shifted, "problem", rotated)
    before = shifted.target_accuracy(source_only, 0)
    assert before < 0.97
    assert shifted.target_accuracy(recipe, 0) > before + 0.02


def test_row_weights_count():
    model, objective = parts()
    source, target = batches()
    source = source._replace(weights=torch.tensor([2.0, 0, 0, 0, 0, 0, 0]))
    phase = objective.phases(model, separate_forward)[0]
    features, logits = model(source.inputs[:1])
    each = [nn.functional.cross_entropy(z, source.labels[:1]) for z in (logits, objective.parts["second"](features))]
    assert phase.loss(source, target).item() == pytest.approx(2 / 7 * sum(each).item(), rel=1e-5)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="times must be at least 1, got 0"):
        mcd(6, 3, 10, times=0)
    with pytest.raises(ValueError, match="times must be at least 1"):
        swd_mcd(6, 3, 10, times=0)
    with pytest.raises(ValueError, match="weight must be finite"):
        mcd(6, 3, 10, weight=math.nan)
    model, objective = parts()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"got one without parts.second.weight, parts.second.bias"):
        gradient_step(model, objective, optimizer)
