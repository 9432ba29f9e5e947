import math
from functools import partial

import pytest
import torch
from torch import nn

from dalib import Batch, DomainAdversarialLoss, FeatureClassifier, Outputs, domain_adversarial_loss, gradient_step
from dalib.losses import one_vs_all_loss, open_entropy_loss
from dalib.methods import OPEN_RECIPES, osbp, ovanet, uan
from dalib.methods.uan import UniversalAdversarialLoss, transferability, within_batch
from dalib.metrics import open_set_accuracy

CENTRES = torch.cat([4 * torch.eye(4)[:3], torch.tensor([[2.0, 2.0, 2.0, 4.0]])])


def rejection(recipe, outputs, backbone, steps=300, **options):
    """Classes 0 to 2 in the source, these and the unknown 3 in the target: what the trained objective makes of them."""
    torch.manual_seed(0)
    model = FeatureClassifier(backbone(), outputs, bottleneck=None, width=4)
    objective = recipe(4, outputs, steps, **options)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.02)
    step = gradient_step(model, objective, optimizer)

    def draw(labels):
        return CENTRES[labels] + 0.4 * torch.randn(len(labels), 4)

    for _ in range(steps):
        y, hidden = torch.randint(3, (32,)), torch.randint(4, (32,))
        step(Batch(draw(y), y), Batch(draw(hidden)))
    labels = torch.arange(200) % 4
    model.eval(), objective.eval()
    with torch.no_grad():
        features, logits = model(draw(labels))
    rejected = objective.unknown(Outputs(features, logits))
    return open_set_accuracy(torch.where(rejected, 3, logits[:, :3].argmax(1)), labels, known=3)


@pytest.mark.parametrize(
    ("recipe", "outputs", "backbone", "options"),
    [
        (osbp, 4, partial(nn.Linear, 4, 4), {}),
        (uan, 3, partial(nn.Linear, 4, 4), {"hidden": 32, "threshold": 0.0}),
        (ovanet, 3, nn.Identity, {"entropy_weight": 0.0, "steps": 1000}),
    ],
)
def test_rejects_what_the_source_does_not_know(recipe, outputs, backbone, options):
    accuracy = rejection(recipe, outputs, backbone, **options)
    assert accuracy.known > 0.95
    assert accuracy.unknown > 0.7, accuracy


def test_uan_rejects_below_its_threshold():
    objective = uan(2, 3, 10, hidden=4, threshold=0.1).eval()
    weigher = objective.terms["adversarial"].loss.weigher
    for parameter in weigher.parameters():
        nn.init.zeros_(parameter)  # 1/2 for every row
    logits = torch.tensor([[30.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # 0.5, -0.5 and between
    between = transferability(logits[2:], torch.zeros(1)).item()
    assert objective.unknown(Outputs(torch.zeros(3, 2), logits)).tolist() == [False, True, between < 0.1]
    objective.threshold = -0.5
    assert not objective.unknown(Outputs(torch.zeros(3, 2), logits + 0.0)).any()


def test_osbp_needs_one_output_more():
    assert osbp(2, 3, 10).extra_outputs == 1
    assert uan(2, 3, 10).extra_outputs == 0


def test_osbp_rejects_what_its_last_class_wins():
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert osbp(2, 3, 10).unknown(Outputs(torch.zeros(2, 2), logits)).tolist() == [True, False]


def test_ovanet_in_parts():
    objective = ovanet(2, 3, 10, entropy_weight=0.3)
    source, target = (
        Outputs(torch.randn(4, 2), torch.randn(4, 3), torch.tensor([0, 1, 2, 2])),
        Outputs(torch.randn(3, 2), torch.randn(3, 3)),
    )
    of_it, not_of_it = objective.heads.linear(source.features).chunk(2, dim=1)
    probability = torch.softmax(torch.stack([of_it, not_of_it]), dim=0)[0]
    torch.testing.assert_close(torch.sigmoid(objective.heads(source.features)), probability)
    losses = objective(source, target).terms
    torch.testing.assert_close(losses["one_vs_all"], one_vs_all_loss(of_it - not_of_it, source.labels))
    torch.testing.assert_close(losses["open_entropy"], 0.3 * open_entropy_loss(objective.heads(target.features)))
    predicted = target.logits.argmax(1)
    verdict = [objective.heads(target.features)[i, k].item() < 0 for i, k in enumerate(predicted)]
    assert objective.unknown(target).tolist() == verdict


def test_transferability_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    p = torch.softmax(logits / 2, 1)
    expected = 1 / (1 + math.exp(-1.5)) + (p * p.log()).sum(1) / math.log(3)
    torch.testing.assert_close(transferability(logits, torch.full((2,), 1.5), temperature=2.0), expected)
    certain = transferability(torch.tensor([[900.0, 0.0]]), torch.tensor([900.0]))
    assert certain.item() == 1.0


def test_uan_in_parts():
    weigher, discriminator = nn.Linear(2, 1), nn.Linear(2, 1)
    source, target = (
        Outputs(torch.randn(n, 2, requires_grad=True), torch.randn(n, 3, requires_grad=True)) for n in (4, 5)
    )
    loss = UniversalAdversarialLoss(weigher, DomainAdversarialLoss(discriminator, strength=0.5))
    value = loss(source, target)
    value.backward()
    first = domain_adversarial_loss(weigher(source.features.detach()), weigher(target.features.detach()))
    source_weights = within_batch(-transferability(source.logits, weigher(source.features)[:, 0], temperature=10.0))
    target_weights = within_batch(transferability(target.logits, weigher(target.features)[:, 0]))
    second = domain_adversarial_loss(
        discriminator(source.features),
        discriminator(target.features),
        source_weights=source_weights,
        target_weights=target_weights,
    )
    torch.testing.assert_close(value, 2 * (first + second))
    expected = torch.autograd.grad(2 * second, [source.features, target.features])
    torch.testing.assert_close([source.features.grad, target.features.grad], [-0.5 * g for g in expected])
    assert source.logits.grad is None  # weights carry no gradient
    expected = torch.autograd.grad(2 * first, [*weigher.parameters()])
    torch.testing.assert_close([p.grad for p in weigher.parameters()], list(expected))


def test_equal_weights_in_a_batch_are_all_one():
    assert within_batch(torch.full((3,), 0.7)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", OPEN_RECIPES)
def test_one_row_batches_and_states(name):
    head = nn.Linear(4, 3)
    objective, other = (OPEN_RECIPES[name](4, 3, 10) for _ in range(2))
    other.load_state_dict(objective.state_dict())
    for n, m in ((1, 1), (5, 2)):
        f, g = torch.randn(n, 4), torch.randn(m, 4)
        source, target = Outputs(f, head(f), torch.arange(n) % 2, head=head), Outputs(g, head(g), head=head)
        losses = objective.eval()(source, target)
        assert torch.isfinite(losses.total)
        assert torch.equal(other.eval()(source, target).total, losses.total)
        assert objective.unknown(target).shape == (m,)


def test_errors_name_the_argument():
    rows = Outputs(torch.zeros(2, 4), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="source must have labels, got none"):
        ovanet(4, 3, 10)(rows, rows)
    labelled = Outputs(torch.zeros(2, 4), torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(TypeError, match="outputs must know the head of their model"):
        osbp(4, 3, 10)(labelled, rows)
    with pytest.raises(ValueError, match="boundary must be between 0 and 1"):
        osbp(4, 3, 10, boundary=1.5)
