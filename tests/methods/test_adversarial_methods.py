"""What holds for every adversarial recipe: it repairs a shift, its state resumes, its features get the paper's gradient."""

import copy
import functools

import pytest
import torch
from torch import nn

from dalib import Batch, FeatureClassifier, Outputs, gradient_step, methods
from dalib.losses import (
    batch_spectral_loss,
    class_adversarial_loss,
    classifier_discrepancy_loss,
    domain_adversarial_loss,
    nuclear_wasserstein_loss,
)
from dalib.methods import (
    adda,
    bsp,
    cdan,
    cdan_e,
    daan,
    daln,
    dann,
    domain_confusion,
    mada,
    mcd,
    mcd_reversal,
    mdd,
    source_only,
    swd_mcd,
)
from tests.shifted_problem import target_accuracy

SMALL = {
    dann: {"hidden": 16},
    cdan: {"hidden": 16},
    cdan_e: {"hidden": 16},
    mdd: {"hidden": 16},
    bsp: {"hidden": 16},
    daln: {},
    daan: {"hidden": 16, "class_hidden": 8, "window": 2},
    mada: {"hidden": 8},
    domain_confusion: {"hidden": 16},
    mcd_reversal: {},
    mcd: {},
    swd_mcd: {},
    adda: {"hidden": 16, "pretraining": 2},
}
NAMES = [recipe.__name__ for recipe in SMALL]


@functools.cache
def without_adaptation():
    return target_accuracy(source_only, 0)


@pytest.mark.parametrize(
    ("recipe", "options", "margin"),
    [
        (cdan_e, {"hidden": 64}, 0.15),
        (mdd, {"hidden": 64}, 0.2),
        (bsp, {"hidden": 64}, 0.2),
        (daln, {}, 0.2),
        (mada, {"hidden": 32}, 0.2),
        (daan, {"hidden": 32, "class_hidden": 16}, 0.2),
        (domain_confusion, {"hidden": 64}, 0.05),
        (mcd_reversal, {}, 0.2),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_beats_source_only_by_a_margin_and_every_part_moves(recipe, options, margin):
    assert target_accuracy(recipe, 0, **options) > without_adaptation() + margin


def made(name, seed=0, bottleneck=None):
    torch.manual_seed(seed)
    model = FeatureClassifier(nn.Linear(4, 6), 3, bottleneck=bottleneck, width=6)
    recipe = getattr(methods, name)
    objective = recipe(6, 3, 10, **SMALL[recipe])
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05, momentum=0.9)
    return model, objective, optimizer


def batches(n=7, m=5, classes=3):
    return Batch(torch.randn(n, 4), torch.arange(n) % classes), Batch(torch.randn(m, 4))


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_goes_on_bit_for_bit(name):
    model, objective, optimizer = made(name)
    step = gradient_step(model, objective, optimizer)
    pairs = [batches() for _ in range(7)]
    for pair in pairs[:4]:
        step(*pair)
    saved = copy.deepcopy([x.state_dict() for x in (model, objective, optimizer)])
    generator = torch.get_rng_state()
    for pair in pairs[4:]:
        last = step(*pair).total
    again = made(name, seed=5)
    for part, state in zip(again, saved, strict=True):
        part.load_state_dict(state)
    torch.set_rng_state(generator)
    resumed = gradient_step(*again)
    for pair in pairs[4:]:
        last_again = resumed(*pair).total
    assert torch.equal(last, last_again)
    for p, q in zip(model.parameters(), again[0].parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 7])
def test_one_class_one_row_and_unequal_batches(name, n):
    model, objective, optimizer = made(name)
    objective.eval()  # batch norm in a discriminator cannot train on one row of each domain
    step = gradient_step(model, objective, optimizer)
    for _ in range(4):
        source, target = Batch(torch.randn(n, 4), torch.full((n,), 2)), Batch(torch.randn(1, 4))
        assert torch.isfinite(step(source, target).total)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_parts_stay(name):
    model, objective, optimizer = made(name, bottleneck=6)
    model.backbone.requires_grad_(False)
    before = copy.deepcopy(model.backbone.state_dict())
    step = gradient_step(model, objective, optimizer)
    for _ in range(4):
        step(*batches())
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[key])


def outputs(n, head):
    features = torch.randn(n, 6, requires_grad=True)
    return Outputs(features, head(features), torch.arange(n) % 3, head=head)


def feature_gradients(name, strength):
    """Gradients of the adversarial terms alone at the features, and what they are made of."""
    torch.manual_seed(3)
    head = nn.Linear(6, 3)
    options = dict(SMALL[getattr(methods, name)])
    objective = getattr(methods, name)(6, 3, 10, strength=strength, **options).eval()
    source, target = outputs(5, head), outputs(4, head)
    terms = objective(source, target).terms
    adversarial = next(terms[key] for key in ("adversarial", "discrepancy", "disparity") if key in terms)
    gradients = torch.autograd.grad(adversarial, [source.features, target.features], allow_unused=True)
    return gradients, objective, source, target


def plain_value(name, objective, source, target):
    """The adversarial term without any reversal, from public parts."""
    parts = objective.terms
    if name in ("dann", "bsp"):
        loss = parts["adversarial"].loss
        return domain_adversarial_loss(loss.discriminator(source.features), loss.discriminator(target.features))
    if name == "mada":
        bank = parts["adversarial"].loss.discriminators
        return class_adversarial_loss(*(bank(x.features, x.probs.detach()) for x in (source, target)))
    if name == "daan":
        loss = parts["adversarial"].loss
        return (
            domain_adversarial_loss(loss.discriminator(source.features), loss.discriminator(target.features))
            + class_adversarial_loss(*(loss.discriminators(x.features, x.probs.detach()) for x in (source, target)))
        ) / 2
    if name == "daln":
        return nuclear_wasserstein_loss(source.logits, target.logits)
    second = parts["discrepancy"].loss.second
    return -classifier_discrepancy_loss(target.logits, second(target.features))


@pytest.mark.parametrize("strength", [0.0, 0.7])
@pytest.mark.parametrize("name", ["dann", "bsp", "mada", "daan", "daln", "mcd_reversal"])
def test_the_features_ascend_in_units_of_the_strength(name, strength):
    gradients, objective, source, target = feature_gradients(name, strength)
    expected = torch.autograd.grad(
        plain_value(name, objective, source, target), [source.features, target.features], allow_unused=True
    )
    for got, plain in zip(gradients, expected, strict=True):
        if plain is None:
            assert got is None
        else:
            torch.testing.assert_close(got, -strength * plain)
            assert plain.abs().max() > 1e-5


def test_the_penalty_of_bsp_is_not_reversed():
    head = nn.Linear(6, 3)
    source, target = outputs(5, head), outputs(4, head)
    term = bsp(6, 3, 10, spectral_weight=0.5, hidden=4).eval()(source, target).terms["spectral"]
    torch.testing.assert_close(term, 0.5 * batch_spectral_loss(source.features, target.features))
    got = torch.autograd.grad(term, [source.features, target.features])
    for gradient, rows in zip(got, (source.features, target.features), strict=True):
        u, s, v = torch.linalg.svd(rows.detach(), full_matrices=False)
        torch.testing.assert_close(gradient, 0.5 * 2 * s[0] * torch.outer(u[:, 0], v[0]))  # d sigma^2 = 2 sigma u v'
