"""The public check passes every method of the library, and finds what is broken in broken ones."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from dalib import (
    Align,
    Batch,
    DomainAdversarialLoss,
    DomainDiscriminator,
    FeatureClassifier,
    Objective,
    Outputs,
    gradient_step,
    methods,
    reverse_gradient,
    separate_forward,
    sigmoid_ramp,
)
from dalib import source_cross_entropy as cross_entropy
from dalib.conditioning import whole
from dalib.testing import adversary_report, check_adversary

SMALL = {
    "dann": {"hidden": 16},
    "cdan": {"hidden": 16},
    "cdan_e": {"hidden": 16},
    "mdd": {"hidden": 16},
    "bsp": {"hidden": 16},
    "daln": {},
    "daan": {"hidden": 16, "class_hidden": 8},
    "mada": {"hidden": 8},
    "domain_confusion": {"hidden": 16},
    "mcd_reversal": {},
    "mcd": {},
    "swd_mcd": {},
    "adda": {"hidden": 16},
    "pada": {"hidden": 16},
    "iwan": {"hidden": 16},
    "etn": {"hidden": 16},
    "osbp": {},
    "uan": {"hidden": 16},
    "wdgrl": {"hidden": 4},
}


@pytest.mark.parametrize("name", SMALL)
def test_every_method_keeps_its_promises(name):
    check_adversary(getattr(methods, name), **SMALL[name])


class Broken(nn.Module):
    """A game with a fault of choice."""

    def __init__(self, fault, steps):
        super().__init__()
        self.discriminator = DomainDiscriminator(6, hidden=8)
        self.fault = fault
        self.map = torch.randn(6, 6)  # not a buffer
        self.reversal = DomainAdversarialLoss(self.discriminator, strength=sigmoid_ramp(steps))

    def forward(self, source, target):
        f, g = source.features, target.features
        if self.fault == "no reversal":
            return (
                self.reversal(f.detach(), g.detach())
                + (self.discriminator(f).mean() - self.discriminator(g).mean()) ** 2
            )
        if self.fault == "detached":
            return self.reversal(f.detach(), g.detach())
        if self.fault == "constant":
            return self.reversal(f, g) * 0 + self.reversal(0 * f, 0 * g).detach()
        if self.fault == "lost map":
            return self.reversal(f @ self.map, g @ self.map)
        if self.fault == "counts forwards":
            self.reversal.reversal.strength.advance()
        return self.reversal(f, g)


def broken(fault):
    def recipe(features, classes, steps):
        return Objective(classification=cross_entropy, adversarial=Align(Broken(fault, steps), on=whole))

    return recipe


def test_the_sound_game_passes():
    check_adversary(broken(None))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "no reversal",
            "one term's gradient at the features must be reversed, got none among classification, adversarial",
        ),
        ("detached", "features of target rows must receive a gradient at the end of the ramp, got zero"),
        ("constant", "features of target rows must receive a gradient"),
        ("lost map", "a resumed training must go on bit for bit"),
        ("counts forwards", "a forward pass must not move a schedule"),
    ],
)
def test_faults_are_found(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_adversary(broken(fault))


def test_a_layer_that_nothing_moves_is_found():
    def recipe(features, classes, steps):
        objective = methods.dann(features, classes, steps, hidden=8)
        objective.idle = nn.Linear(2, 2)
        return objective

    with pytest.raises(AssertionError, match=r"every layer must move in training, got objective.idle where it was"):
        check_adversary(recipe)


def test_what_is_no_objective_is_found():
    with pytest.raises(AssertionError, match="recipe must return an Objective, got Linear"):
        check_adversary(lambda features, classes, steps: nn.Linear(2, 2))


def rows(n, shift=0.0, width=2):
    head = nn.Linear(width, 3)
    features = torch.randn(n, width) + shift
    return Outputs(features, head(features), torch.arange(n) % 3, head=head)


class First(nn.Module):
    """The first feature, scaled, as the logit."""

    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * x[:, 0]


def game(scale, strength=0.5, weight=2.0):
    adversarial = Align(DomainAdversarialLoss(First(scale), strength=strength), weight=weight)
    return Objective(classification=cross_entropy, adversarial=adversarial)


def test_the_report_by_hand():
    source, target = rows(4), rows(3)
    source.features[:, 0], target.features[:, 0] = torch.tensor([1.0, 2, 3, -1]), torch.tensor([-1.0, -2, 3])
    report = adversary_report(game(1.0), source, target)
    assert report.accuracy == {"terms.adversarial.loss.discriminator": pytest.approx((3 / 4 + 2 / 3) / 2)}
    z_source, z_target = source.features[:, 0], target.features[:, 0]
    pulls = torch.cat([(torch.sigmoid(z_source) - 1) / 4, torch.sigmoid(z_target) / 3]) / 2  # d loss / d logit
    assert report.gradient_norms["adversarial"] == pytest.approx(0.5 * 2.0 * pulls.norm().item(), rel=1e-5)
    assert report.gradient_norms["classification"] > 0
    assert report.warnings == []


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_report_is_the_same_among_evaluations(mode):
    torch.manual_seed(0)
    objective = methods.cdan_e(6, 3, 10, strength=1.0, hidden=8)
    head = nn.Linear(6, 3)

    def report():
        source, target = (Outputs(x, head(x), torch.arange(len(x)) % 3, head=head) for x in (rows[0] + 0, rows[1] + 0))
        return adversary_report(objective, source, target)

    rows = torch.randn(9, 6), torch.randn(8, 6) + 1
    expected = report()
    with mode():
        assert report() == expected
    assert expected.gradient_norms["adversarial"] > 0


def test_nothing_is_disturbed():
    objective = methods.dann(2, 3, 10, hidden=8)
    state = {name: value.clone() for name, value in objective.state_dict().items()}
    source, target = rows(6), rows(5)
    random = torch.get_rng_state()
    adversary_report(objective, source, target)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in objective.state_dict().items())
    assert all(p.grad is None for p in objective.parameters())


@pytest.mark.parametrize(
    ("objective", "shift", "message"),
    [
        (game(50.0), 5.0, "is saturated: right on every row"),
        (game(0.0), 5.0, "is dead: the same logit 0 for every row"),
        (game(0.0), 5.0, "term 'adversarial' sends no gradient to the features although its strength is not zero"),
    ],
)
def test_sick_games_are_warned_of(objective, shift, message):
    source, target = rows(4), rows(3)
    source.features[:, 0], target.features[:, 0] = shift, -shift
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = adversary_report(objective, source, target)
    assert any(message in text for text in report.warnings)
    assert [str(warning.message) for warning in caught] == report.warnings
    assert all(warning.category is RuntimeWarning for warning in caught)


def test_a_strength_of_zero_that_never_moves_is_warned_of():
    with pytest.warns(
        RuntimeWarning, match="term 'adversarial' has a reversal of strength 0: the features never learn"
    ):
        report = adversary_report(game(1.0, strength=0.0), rows(4), rows(3))
    assert len(report.warnings) == 1


@pytest.mark.parametrize("name", ["mada", "daan"])
def test_a_discriminator_for_each_class_counts_at_the_class_of_the_row(name):
    objective = getattr(methods, name)(2, 3, 10, **{**SMALL[name], "strength": 0.5})
    bank = objective.terms["adversarial"].loss.discriminators
    for parameter in bank.parameters():
        nn.init.zeros_(parameter)
    source, target = rows(5), rows(4)
    with pytest.warns(RuntimeWarning, match="discriminators is dead"):
        adversary_report(objective, source, target)
    with torch.no_grad():  # network k answers the same for all rows: class 0 "source", the others "target"
        bank.biases[2][0] = 1.0
        bank.biases[2][1:] = -1.0
    with pytest.warns(RuntimeWarning, match="discriminators is dead"):
        report = adversary_report(objective, source, target)
    first, second = (x.logits.argmax(1) == 0 for x in (source, target))
    expected = (first.float().mean() + (~second).float().mean()).item() / 2
    assert report.accuracy["terms.adversarial.loss.discriminators"] == pytest.approx(expected)


class Apart(nn.Module):
    """A game whose discriminator sees one domain at a time."""

    def __init__(self):
        super().__init__()
        self.discriminator = First(1.0)

    def forward(self, source, target):
        return self.discriminator(reverse_gradient(target)).mean() - self.discriminator(reverse_gradient(source)).mean()


class ApartInOrder(Apart):
    def forward(self, source, target):
        return (
            -self.discriminator(reverse_gradient(source)).mean() + self.discriminator(reverse_gradient(target)).mean()
        )


def test_a_discriminator_that_sees_one_domain_at_a_time():
    source, target = rows(4), rows(3)
    source.features[:, 0], target.features[:, 0] = torch.tensor([1.0, 2, 3, -1]), torch.tensor([-1.0, -2, 3])
    report = adversary_report(Objective(adversarial=Align(ApartInOrder())), source, target)
    assert report.accuracy == {"terms.adversarial.loss.discriminator": pytest.approx((3 / 4 + 2 / 3) / 2)}
    # In the other order no two calls fit, and no number is better than a wrong one.
    assert adversary_report(Objective(adversarial=Align(Apart())), source, target).accuracy == {}


def test_a_head_with_state_is_not_disturbed():
    head = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 3))
    source, target = (Outputs(x.features, x.logits, x.labels, head=head) for x in (rows(6), rows(5)))
    state, random = {name: value.clone() for name, value in head.state_dict().items()}, torch.get_rng_state()
    adversary_report(methods.daln(2, 3, 10), source, target)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in head.state_dict().items())


@pytest.mark.data
def test_no_false_alarm_on_real_features(data_folder):
    """DANN and CDAN on Webcam and DSLR, which are near: two hundred steps without a warning."""
    stored = np.load(data_folder / "office31_mobilenet_v2.npz")
    sets = [torch.from_numpy(stored[f"{name}_{part}"]) for name in ("webcam", "dslr") for part in "xy"]
    for recipe in (methods.dann, methods.cdan):
        torch.manual_seed(0)
        model = FeatureClassifier(nn.Identity(), 31, bottleneck=256, width=1280)
        objective = recipe(256, 31, 200, hidden=256)
        parameters = [*model.parameters(), *objective.parameters()]
        step = gradient_step(model, objective, torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True))
        for number in range(200):
            first, second = (torch.randint(len(labels), (32,)) for labels in sets[1::2])
            pair = Batch(sets[0][first], sets[1][first].long()), Batch(sets[2][second])
            step(*pair)
            if number % 20 == 0:
                report = adversary_report(objective, *separate_forward(model, *pair))
                assert report.warnings == [], f"{recipe.__name__} at step {number}: {report}"
                assert number == 0 or report.gradient_norms["adversarial"] > 0


def test_a_ramp_at_zero_is_no_sickness():
    objective = methods.dann(2, 3, 10, hidden=8)
    assert adversary_report(objective, rows(6), rows(5)).warnings == []


def test_objectives_with_phases_are_refused():
    with pytest.raises(TypeError, match="must be trained by gradient_step"):
        adversary_report(methods.mcd(2, 3, 10), rows(3), rows(3))
