import copy
import math

import pytest
import torch
from torch import nn

from dalib import Batch, DomainAdversarialLoss, FeatureClassifier, Outputs, domain_adversarial_loss, gradient_step
from dalib.methods import dann, etn, iwan, pada
from dalib.methods.etn import ExampleAdversarialLoss, ExampleTransferLoss, ExampleWeights, leaky_log_softmax
from dalib.methods.iwan import ImportanceWeightedAdversarialLoss
from dalib.methods.pada import ClassShares, ClassWeightedCrossEntropy, PartialAdversarialLoss


def rows(n, labels=True, classes=3, width=2):
    y = torch.arange(n) % classes if labels else None
    return Outputs(torch.randn(n, width, requires_grad=True), torch.randn(n, classes, requires_grad=True), y)


def test_uniform_predictions_weigh_all_classes_alike_and_absent_ones_vanish():
    shares = ClassShares(4, window=2, temperature=0.5)
    shares.observe(torch.zeros(3, 4))
    shares.advance()
    assert torch.equal(shares(), torch.ones(4))
    shares.advance()
    torch.testing.assert_close(shares(), torch.ones(4))
    sure = torch.full((2, 4), -200.0)
    sure[0, 1] = sure[1, 2] = 200.0
    shares.observe(sure)
    shares.advance()
    shares.advance()
    torch.testing.assert_close(shares(), torch.tensor([0.0, 2.0, 2.0, 0.0]))
    shares.advance()
    shares.advance()  # a window without target rows changes nothing
    torch.testing.assert_close(shares(), torch.tensor([0.0, 2.0, 2.0, 0.0]))


def test_a_window_with_predictions_that_are_not_finite_changes_nothing():
    shares = ClassShares(2, window=1)
    for logits in ([[50.0, 0.0], [0.0, 0.0]], [[math.nan, 0.0]]):
        shares.observe(torch.tensor(logits))
        shares.advance()
        torch.testing.assert_close(shares(), torch.tensor([1.5, 0.5]))


def test_the_temperature_sharpens():
    shares = ClassShares(2, window=1, temperature=0.1)
    shares.observe(torch.tensor([[1.0, 0.0]]))
    shares.advance()
    p = 1 / (1 + math.exp(-10))
    torch.testing.assert_close(shares(), torch.tensor([2 * p, 2 * (1 - p)]))


def test_an_interrupted_window_goes_on_where_it_stopped():
    shares, resumed = (ClassShares(2, window=2) for _ in range(2))
    shares.observe(torch.tensor([[3.0, 0.0]]))
    shares.advance()
    resumed.load_state_dict(shares.state_dict())
    shares.advance(), resumed.advance()
    assert torch.equal(resumed(), shares())
    assert shares()[0] > 1.5


def test_pada_refuses_negative_row_weights():
    source = rows(3)
    weighted = Outputs(source.features, source.logits, source.labels, torch.tensor([1.0, -1.0, 1.0]))
    with pytest.raises(ValueError, match=r"source\.weights must not be negative, got a smallest weight of -1"):
        ClassWeightedCrossEntropy(ClassShares(3, window=1))(weighted, source)


def test_observed_predictions_carry_no_gradient():
    shares = ClassShares(3, window=2)
    shares.observe(rows(4).logits)
    assert not shares.total.requires_grad


def test_pada_weighs_both_losses_by_class():
    shares = ClassShares(3, window=1)
    shares.weights.copy_(torch.tensor([2.0, 1.0, 0.0]))
    source, target = rows(5), rows(4, labels=False)
    weights = torch.tensor([2.0, 1.0, 0.0, 2.0, 1.0])
    each = nn.functional.cross_entropy(source.logits, source.labels, reduction="none")
    torch.testing.assert_close(ClassWeightedCrossEntropy(shares)(source, target), (weights * each).mean())
    game = DomainAdversarialLoss(nn.Linear(2, 1), strength=0.5)
    loss = PartialAdversarialLoss(game, shares)
    expected = game(source.features, target.features, source_weights=weights)
    torch.testing.assert_close(loss(source, target), expected)
    assert shares.rows == 4
    loss.eval()(source, target)
    assert shares.rows == 4
    only_absent = Outputs(source.features[2:3], source.logits[2:3], source.labels[2:3])
    assert torch.isfinite(loss(only_absent, target))


def test_pada_learns_which_classes_the_target_lacks():
    torch.manual_seed(0)
    centres = 4 * torch.eye(3)
    model = FeatureClassifier(nn.Linear(3, 3), 3, bottleneck=None, width=3)
    objective = pada(3, 3, 200, hidden=8)
    step = gradient_step(model, objective, torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05))
    for _ in range(200):
        y, hidden = torch.randint(3, (16,)), torch.randint(2, (16,))
        step(Batch(centres[y] + 0.3 * torch.randn(16, 3), y), Batch(centres[hidden] + 0.5 + 0.3 * torch.randn(16, 3)))
    shares = objective.terms["classification"].class_weights
    assert shares is objective.terms["adversarial"].loss.class_weights
    assert shares.window == 10
    assert shares()[2] < 0.2
    assert (shares()[:2] > 0.8).all()
    assert shares().mean().item() == pytest.approx(1)


def test_iwan_weighs_by_what_the_first_discriminator_takes_for_target():
    weigher, discriminator = nn.Linear(2, 1), nn.Linear(2, 1)
    source, target = (torch.randn(n, 2, requires_grad=True) for n in (4, 3))
    loss = ImportanceWeightedAdversarialLoss(weigher, DomainAdversarialLoss(discriminator, strength=0.5))
    value = loss(source, target)
    value.backward()
    z = weigher(source)[:, 0].detach()
    weights = 1 - torch.sigmoid(z)
    weights = weights / weights.mean()
    torch.testing.assert_close(loss.weights(z), weights)
    first = domain_adversarial_loss(weigher(source.detach()), weigher(target.detach()))
    second = domain_adversarial_loss(discriminator(source), discriminator(target), source_weights=weights)
    torch.testing.assert_close(value, first + second)
    expected = torch.autograd.grad(second, [source, target, *discriminator.parameters()])
    torch.testing.assert_close([source.grad, target.grad], [-0.5 * g for g in expected[:2]])
    torch.testing.assert_close([p.grad for p in discriminator.parameters()], list(expected[2:]))
    expected = torch.autograd.grad(first, [*weigher.parameters()])
    torch.testing.assert_close([p.grad for p in weigher.parameters()], list(expected))


def test_iwan_weights_are_finite_where_the_first_discriminator_is_certain():
    torch.testing.assert_close(ImportanceWeightedAdversarialLoss.weights(torch.tensor([900.0, 900.0])), torch.ones(2))
    torch.testing.assert_close(
        ImportanceWeightedAdversarialLoss.weights(torch.tensor([-900.0, 900.0])), torch.tensor([2.0, 0.0])
    )


def test_leaky_softmax_in_loops_and_at_the_ends():
    logits = torch.randn(4, 3, dtype=torch.float64)
    inside, outside = leaky_log_softmax(logits)
    for i in range(4):
        total = 3 + sum(math.exp(z) for z in logits[i].tolist())
        for k in range(3):
            s = math.exp(logits[i, k].item()) / total
            assert inside[i, k].item() == pytest.approx(math.log(s))
            assert outside[i, k].item() == pytest.approx(math.log(1 - s))
    for x in (-500.0, 500.0):
        ends = leaky_log_softmax(torch.tensor([[x, 0.0]]))
        assert all(torch.isfinite(end).all() for end in ends)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_etn_in_parts(strength):
    auxiliary, discriminator = nn.Linear(2, 3), nn.Linear(2, 1)
    source, target = rows(5), rows(4, labels=False)
    examples = ExampleWeights(auxiliary)
    adversarial = ExampleAdversarialLoss(examples, DomainAdversarialLoss(discriminator, strength=strength))
    value = ExampleTransferLoss(examples, auxiliary_weight=3.0)(source, target)
    value = value + adversarial(source.features, target.features)
    value.backward()

    def leaky(x):
        return auxiliary(x.detach()).exp() / (3 + auxiliary(x.detach()).exp().sum(1, keepdim=True))

    s, t = leaky(source.features), leaky(target.features)
    one_hot = nn.functional.one_hot(source.labels, 3).float()
    learn = nn.functional.binary_cross_entropy(s, one_hot, reduction="sum") / 5
    domains = -(s.sum(1).log().mean() + (1 - t.sum(1)).log().mean())
    weights = (1 - s.sum(1)).detach()
    weights = weights / weights.mean()
    classification = (weights * nn.functional.cross_entropy(source.logits, source.labels, reduction="none")).mean()
    domain = [
        nn.functional.logsigmoid(sign * discriminator(x.features)[:, 0]) for sign, x in ((1, source), (-1, target))
    ]
    game = -(weights * domain[0]).mean() - domain[1].mean()
    torch.testing.assert_close(value, classification + learn + 3 * domains + game)
    expected = torch.autograd.grad(learn + 3 * domains, [*auxiliary.parameters()], retain_graph=True)
    torch.testing.assert_close([p.grad for p in auxiliary.parameters()], list(expected))
    expected = torch.autograd.grad(game, [source.features, target.features, *discriminator.parameters()])
    torch.testing.assert_close([source.features.grad, target.features.grad], [-strength * g for g in expected[:2]])
    torch.testing.assert_close([p.grad for p in discriminator.parameters()], list(expected[2:]))


@pytest.mark.parametrize("recipe", [pada, iwan, etn])
def test_every_part_moves_and_the_state_resumes(recipe):
    torch.manual_seed(0)
    model = FeatureClassifier(nn.Linear(3, 4), 3, bottleneck=None, width=4)
    objective = recipe(4, 3, 10, hidden=8)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
    before = copy.deepcopy(dict(objective.named_parameters()))
    step = gradient_step(model, objective, optimizer)
    for _ in range(3):
        step(Batch(torch.randn(8, 3), torch.arange(8) % 3), Batch(torch.randn(7, 3)))
    for name, p in objective.named_parameters():
        before_norm = name.endswith(("discriminator.0.bias", "discriminator.3.bias")) and recipe is pada
        assert before_norm or not torch.equal(p, before[name]), name
    other = recipe(4, 3, 10, hidden=8)
    other.load_state_dict(objective.state_dict())
    source, target = rows(5, width=4), rows(4, labels=False, width=4)
    assert torch.equal(other.eval()(source, target).total, objective.eval()(source, target).total)


def test_errors_name_the_argument():
    source = rows(4, labels=False)
    for objective in (pada(2, 3, 10, hidden=4), etn(2, 3, 10, hidden=4)):
        with pytest.raises(ValueError, match="source must have labels, got none"):
            objective(source, source)
    with pytest.raises(ValueError, match="window must be at least 1"):
        pada(2, 3, 10, window=0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        pada(2, 3, 10, temperature=0.0)
    with pytest.raises(ValueError, match="auxiliary_weight must be positive"):
        etn(2, 3, 10, auxiliary_weight=-1.0)
    weighted = Outputs(source.features, source.logits, torch.zeros(4, dtype=torch.int64), torch.ones(4))
    with pytest.raises(TypeError, match="loss must take source_weights="):
        etn(2, 3, 10, hidden=4)(weighted, source)
    assert dann is not None


@pytest.mark.parametrize("scale", [1e-37, 1e-7, 3e38])
def test_the_scale_of_the_row_weights_does_not_matter(scale):
    class_shares = ClassShares(3, window=1)
    class_shares.weights.copy_(torch.tensor([2.9, 0.1, 0.0]))
    game = DomainAdversarialLoss(nn.Linear(2, 1))
    weighted = PartialAdversarialLoss(game, class_shares), ImportanceWeightedAdversarialLoss(nn.Linear(2, 1), game)
    source, target, weights = rows(5), rows(4, labels=False), torch.tensor([0.1, 1.0, 0.5, 0.0, 0.7])
    for loss, pair in zip(weighted, ((source, target), (source.features, target.features)), strict=True):
        expected = loss(*pair, source_weights=weights)
        torch.testing.assert_close(loss(*pair, source_weights=scale * weights), expected)
    product = class_shares()[source.labels] * weights
    torch.testing.assert_close(
        weighted[0](source, target, source_weights=1e-7 * weights),
        game(source.features, target.features, source_weights=product),
    )
    with pytest.raises(ValueError, match="source_weights must not be all zero"):
        weighted[0](source, target, source_weights=torch.zeros(5))
