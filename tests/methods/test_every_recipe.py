"""What every recipe keeps: bad input is named, odd batches give finite numbers, each option is used."""

import inspect
import math

import pytest
import torch
from torch import nn

from dalib import Batch, FeatureClassifier, Outputs, gradient_step, separate_forward
from dalib.methods import OPEN_RECIPES, RECIPES
from dalib.methods.etn import ExampleWeights
from dalib.methods.iwan import ImportanceWeightedAdversarialLoss
from dalib.methods.uan import transferability
from dalib.training import PhasedObjective

ALL = RECIPES | OPEN_RECIPES
SMALL = {"hidden": 8, "class_hidden": 4}
PARAMETERS = {name: inspect.signature(recipe).parameters for name, recipe in ALL.items()}
SCHEDULED = [(name, key) for name, own in PARAMETERS.items() for key in own if "Schedule" in str(own[key].annotation)]


def made(name, **options):
    """A small model and objective; the same at each call."""
    torch.manual_seed(0)
    small = {key: SMALL[key] for key in PARAMETERS[name] if key in SMALL}
    objective = ALL[name](6, 3, 4, **(small | options))
    backbone = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    return FeatureClassifier(backbone, 3 + objective.extra_outputs, bottleneck=None, width=6), objective


def step_of(name):
    model, objective = made(name)
    return gradient_step(model, objective, torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05))


def batches(n=6, m=5, labels=None):
    return Batch(torch.randn(n, 4), torch.arange(n) % 3 if labels is None else labels), Batch(torch.randn(m, 4) + 1)


def test_options_that_may_follow_a_schedule_are_found():
    assert {("dann", "strength"), ("wdgrl", "weight"), ("ovanet", "entropy_weight")} <= set(SCHEDULED)


@pytest.mark.parametrize(("name", "option"), SCHEDULED)
def test_a_schedule_that_breaks_is_told_with_its_step(name, option):
    with pytest.raises(ValueError, match=r"must be finite, got nan from its schedule at step 0"):
        made(name, **{option: lambda step: math.nan})
    _, objective = made(name, **{option: lambda step: math.inf if step == 2 else 0.1})
    objective.advance()
    with pytest.raises(ValueError, match=r"must be finite, got inf from its schedule at step 2"):
        objective.advance()


@pytest.mark.parametrize(("name", "option"), SCHEDULED)
def test_each_weight_and_strength_changes_what_the_model_learns(name, option):
    gradients = []
    for value in (0.0, 1.0):
        model, objective = made(name, **{option: value})
        for _ in range(3):
            objective.advance()  # other ramps leave zero
        pair = batches()
        if isinstance(objective, PhasedObjective):
            losses = [phase.loss(*pair) for phase in objective.phases(model, separate_forward)]
            losses = [loss for loss in losses if loss.requires_grad]
        else:
            losses = [objective(*separate_forward(model, *pair)).total]
        each = [torch.autograd.grad(loss, [*model.parameters()], allow_unused=True) for loss in losses]
        gradients.append([g for one in each for g in one])
    assert any(
        (a is None) != (b is None) or (a is not None and not torch.allclose(a, b, rtol=1e-4, atol=1e-7))
        for a, b in zip(*gradients, strict=True)
    )


@pytest.mark.parametrize("wrong", [-1, 99])
@pytest.mark.parametrize("name", ALL)
def test_labels_out_of_range_are_told(name, wrong):
    labels = torch.arange(6) % 3
    labels[4] = wrong
    with pytest.raises(ValueError, match=rf"source\.labels must lie in 0\.\.[23], got values in .*{wrong}"):
        step_of(name)(*batches(labels=labels))


@pytest.mark.parametrize("name", ALL)
def test_missing_labels_are_told(name):
    source, target = batches()
    with pytest.raises(ValueError, match="source must have labels, got none; build its batches as Batch"):
        step_of(name)(source._replace(labels=None), target)


@pytest.mark.parametrize("name", ALL)
def test_an_optimizer_without_the_objectives_parameters_is_refused(name):
    model, objective = made(name)
    if not list(objective.parameters()):  # nothing to forget
        gradient_step(model, objective, torch.optim.SGD(model.parameters(), lr=0.1))
        return
    with pytest.raises(ValueError, match="optimizer must hold the parameters of the objective, got one without"):
        gradient_step(model, objective, torch.optim.SGD(model.parameters(), lr=0.1))


ODD = {
    "one class": (6, 4, torch.full((6,), 2)),
    "an absent class": (5, 7, torch.arange(5) % 2),
    "one row": (1, 1, torch.tensor([1])),
    "one row of the target": (6, 1, None),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ALL)
def test_odd_batches_train_to_finite_numbers(name, kind):
    model, objective = made(name)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05)
    step = gradient_step(model, objective, optimizer)
    if name in ("deep_coral", "log_coral") and "row" in kind:
        with pytest.raises(ValueError, match=r"(source|target) must have at least 2 rows, got 1"):
            step(*batches(*ODD[kind]))
        return
    for _ in range(4):
        assert torch.isfinite(step(*batches(*ODD[kind])).total)
    assert all(torch.isfinite(p).all() for p in (*model.parameters(), *objective.parameters()))


# Means over rows, so that a row is worth what two of it are; not the norms of DALN and BSP.
MEANS = ("dann", "cdan", "cdan_e", "mdd", "mada", "daan", "domain_confusion", "mcd_reversal", "pada", "iwan", "etn")


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("name", [*MEANS, "osbp", "uan", "ovanet"])
def test_rows_that_stand_twice_change_nothing(name, rows):
    model, objective = made(name)
    model.double(), objective.double().eval()
    for _ in range(4):
        objective.advance()
    once = [
        Outputs(*model(torch.randn(n, 4).double()), torch.arange(n) % 3, head=model.head) for n in (rows, 2 * rows - 1)
    ]
    twice = [Outputs(*(torch.cat([p, p]) for p in (x.features, x.logits, x.labels)), head=x.head) for x in once]
    for key, value in objective(*twice).terms.items():
        torch.testing.assert_close(value, objective(*once).terms[key], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_float64_stays_float64(name):
    model, objective = made(name)
    model.double(), objective.double()
    step = gradient_step(model, objective, torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05))
    for _ in range(4):
        source, target = batches()
        losses = step(source._replace(inputs=source.inputs.double()), target._replace(inputs=target.inputs.double()))
        assert {term.dtype for term in losses.terms.values()} == {torch.float64}


@pytest.mark.parametrize(
    "weights",
    [
        ImportanceWeightedAdversarialLoss.weights,
        ExampleWeights.of,
        lambda z: transferability(torch.stack([z, -z], dim=1), z),
    ],
)
def test_weights_of_rows_have_the_digits_of_float64(weights):
    logits = torch.tensor([0.1, -0.7], dtype=torch.float64)
    assert weights(logits).dtype == torch.float64
    torch.testing.assert_close(weights(logits), weights(logits.float()).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["iwan", "etn", "uan", "adda", "wdgrl"])
def test_networks_that_must_not_mix_rows_have_no_batch_norm(name):
    assert not any(isinstance(part, nn.BatchNorm1d) for part in made(name)[1].modules())


@pytest.mark.parametrize("name", [name for name, own in PARAMETERS.items() if "dropout" in own])
def test_dropout_that_leaves_nothing_is_refused(name):
    for wrong in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got"):
            made(name, dropout=wrong)
    with pytest.raises(TypeError, match="dropout must be a number, got str"):
        made(name, dropout="0.5")


@pytest.mark.parametrize(("name", "places"), [("etn", 4), ("uan", 4), ("mada", 1), ("mdd", 1)])
def test_dropout_is_where_the_option_says(name, places):
    parts = [part.p for part in made(name, dropout=0.3)[1].modules() if isinstance(part, nn.Dropout)]
    assert parts == [0.3] * places
