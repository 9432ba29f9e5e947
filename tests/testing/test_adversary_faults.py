"""The five ways in which a game is dead without an error: each is found before training and while it runs."""

import warnings

import pytest
import torch
from torch import nn

from dalib import (
    Align,
    Batch,
    DomainDiscriminator,
    EntropyLoss,
    FeatureClassifier,
    Objective,
    OnTarget,
    Outputs,
    domain_adversarial_loss,
    gradient_step,
    methods,
    reverse_gradient,
    separate_forward,
)
from dalib import source_cross_entropy as cross_entropy
from dalib.testing import adversary_report, check_adversary


class OneColumnSoftmax(nn.Sequential):
    """The classic of a constant discriminator: a softmax over one column is one."""

    def __init__(self, width):
        super().__init__(nn.Linear(width, 1), nn.Softmax(dim=1))


class Game(nn.Module):
    """DANN with a fault of choice."""

    def __init__(self, fault, width=6):
        super().__init__()
        discriminator = OneColumnSoftmax(width) if fault == "constant" else DomainDiscriminator(width, hidden=8)
        if fault == "left out":
            self.parts = [discriminator]
        else:
            self.discriminator = discriminator.requires_grad_(fault != "frozen")
        self.fault = fault

    def forward(self, source, target):
        times = {"not reversed": 0, "reversed twice": 2}.get(self.fault, 1)
        rows = torch.cat([source, target])
        for _ in range(times):
            rows = reverse_gradient(rows, 0.7)
        rows = rows.detach() if self.fault == "detached" else rows
        discriminator = self.parts[0] if self.fault == "left out" else self.discriminator
        logits = discriminator(rows)
        return domain_adversarial_loss(logits[: len(source)], logits[len(source) :])


def faulty(fault):
    def recipe(features, classes, steps):
        return Objective(
            classification=cross_entropy,
            adversarial=Align(Game(fault, features)),
            entropy=OnTarget(EntropyLoss(), weight=0.1),  # so that the target rows always get some gradient
        )

    return recipe


FAULTS = {
    "constant": ("one term's gradient at the features must be reversed", ("is dead", "sends no gradient")),
    "not reversed": ("one term's gradient at the features must be reversed", ("helped by the features",)),
    "reversed twice": ("one term's gradient at the features must be reversed", ("helped by the features",)),
    "left out": (
        r"every network that learns must be a part of the objective, got a parameter of shape \(.+\) that is none; make",
        ("learns from the objective but is no part of it",),
    ),
    "frozen": ("some parameters of the objective must be trainable, got all of them frozen", ("is frozen",)),
    "detached": ("one term's gradient at the features must be reversed", ("sends no gradient to the features",)),
}


def test_the_sound_game_passes():
    check_adversary(faulty(None))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_finds_it(fault):
    with pytest.raises(AssertionError, match=FAULTS[fault][0]):
        check_adversary(faulty(fault))


def test_a_discriminator_outside_that_sees_one_domain_at_a_time_is_found():
    def recipe(features, classes, steps):
        outside = DomainDiscriminator(features, hidden=8)  # whose batch norm could not take one row in train mode
        game = Align(lambda source, target: domain_adversarial_loss(outside(source), outside(target)))
        return Objective(classification=cross_entropy, game=game)

    with pytest.raises(AssertionError, match="every network that learns must be a part of the objective"):
        check_adversary(recipe)


def test_a_loss_that_one_row_breaks_is_found():
    def recipe(features, classes, steps):
        spread = Align(lambda source, target: source.square().sum() / (len(source) - 1))
        return Objective(classification=cross_entropy, adversarial=Align(Game(None, features)), spread=spread)

    with pytest.raises(AssertionError, match="term 'spread' must be finite for 1 and 1 rows, got inf"):
        check_adversary(recipe)


def running(objective, steps):
    """Train on two shifted domains; every few steps what the monitor says."""
    torch.manual_seed(0)
    model = FeatureClassifier(nn.Linear(4, 6), 3, bottleneck=None, width=6)
    optimizer = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05)
    step = gradient_step(model, objective, optimizer)
    said = []
    for number in range(steps):
        pair = Batch(torch.randn(24, 4), torch.arange(24) % 3), Batch(torch.randn(20, 4) + 1.5)
        step(*pair)
        if number % 5 == 4:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said += adversary_report(objective, *separate_forward(model, *pair)).warnings
    return said


@pytest.mark.parametrize("fault", FAULTS)
def test_the_monitor_warns_of_it(fault):
    said = running(faulty(fault)(6, 3, 30), 30)
    for part in FAULTS[fault][1]:
        assert any(part in message for message in said), said


SOUND = {
    **{name: {"hidden": 16} for name in ("dann", "cdan", "cdan_e", "bsp", "pada", "iwan", "etn", "uan")},
    "daan": {"hidden": 16, "class_hidden": 8},
    "mada": {"hidden": 8},
    "domain_confusion": {"hidden": 16},
    "mdd": {"hidden": 16},
    "daln": {},
    "osbp": {},
    "mcd_reversal": {},
}


@pytest.mark.parametrize("name", SOUND)
def test_the_monitor_is_silent_about_sound_games(name):
    assert running(getattr(methods, name)(6, 3, 30, **SOUND[name]), 30) == []


def test_a_head_that_is_no_module_is_not_taken_for_a_stranger():
    head = nn.Linear(2, 3)
    rows = [Outputs(x, head(x), torch.arange(4) % 3, head=lambda f: head(f)) for x in (torch.randn(4, 2),) * 2]
    assert adversary_report(methods.dann(2, 3, 10, hidden=4), *rows).warnings == []


def test_the_monitor_looks_three_times_and_leaves_nothing_behind():
    """Also where it takes a second look: dropout, batch norm and counted rows are as they were."""
    objective = methods.etn(2, 3, 10, hidden=8, strength=0.5)
    with torch.no_grad():  # a discriminator that is mostly right
        for part in objective.terms["adversarial"].loss.adversarial.discriminator:
            if isinstance(part, nn.Linear):
                part.weight.abs_()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    head = nn.Linear(2, 3)
    source, target = (
        Outputs(x, head(x), torch.arange(8) % 3, head=head) for x in (torch.rand(8, 2) + 1, torch.zeros(8, 2))
    )
    random = torch.get_rng_state()
    adversary_report(objective, source, target)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
