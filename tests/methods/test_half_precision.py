"""Every game under autocast: finite, every part moves, and the gradients point where they point in float32."""

import copy

import pytest
import torch
from torch import nn

from dalib import Batch, FeatureClassifier, Outputs, gradient_step, methods, separate_forward
from dalib.losses import WassersteinCriticLoss
from dalib.losses.entropy_conditioned import EntropyConditionedLoss
from dalib.methods.adda import AdversarialDiscriminative
from dalib.methods.domain_confusion import DomainConfusionLoss
from dalib.methods.reweighted import RecentRatio
from dalib.training import PhasedObjective

GAMES = {
    **{name: {"hidden": 16} for name in ("dann", "cdan", "cdan_e", "mdd", "bsp", "domain_confusion", "pada", "iwan")},
    "daln": {},
    "daan": {"hidden": 16, "class_hidden": 8},
    "mada": {"hidden": 8, "dropout": 0.0},
    "etn": {"hidden": 16, "dropout": 0.0},
    "uan": {"hidden": 16, "dropout": 0.0},
    "osbp": {},
    "ovanet": {},
    "mcd_reversal": {},
    "mcd": {},
    "swd_mcd": {},
    "adda": {"hidden": 16, "pretraining": 1},
    "wdgrl": {"hidden": 8, "critic_steps": 2},
}
PLACES = [
    pytest.param("cpu", torch.bfloat16, id="bfloat16 on the CPU"),
    pytest.param("cuda", torch.float16, id="float16 on CUDA", marks=pytest.mark.cuda),
]
STEPS = 6


def training(name, device):
    torch.manual_seed(0)
    objective = getattr(methods, name)(6, 3, STEPS, **GAMES[name])
    backbone = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    model = FeatureClassifier(backbone, 3 + objective.extra_outputs, bottleneck=None, width=6)
    model, objective = model.to(device), objective.to(device)
    return model, objective, torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.05)


def batches(device):
    return Batch(torch.randn(12, 4), torch.arange(12) % 3).to(device), Batch(torch.randn(9, 4) + 1).to(device)


@pytest.mark.parametrize(("device", "dtype"), PLACES)
@pytest.mark.parametrize("name", GAMES)
def test_losses_are_finite_and_every_part_moves(name, device, dtype):
    model, objective, optimizer = training(name, device)
    # A scale that small gradients need and no gradient here overflows.
    scaler = torch.amp.GradScaler(device, init_scale=256.0) if dtype == torch.float16 else None
    step = gradient_step(model, objective, optimizer, autocast=dtype, scaler=scaler)
    whole = nn.ModuleDict({"model": model, "objective": objective})
    before = copy.deepcopy(dict(whole.named_parameters()))
    for _ in range(STEPS):
        assert torch.isfinite(step(*batches(device)).total)
    for layer, module in whole.named_modules():
        own = [f"{layer}.{key}" for key, _ in module.named_parameters(recurse=False)]
        moved = [not torch.equal(whole.get_parameter(key), before[key]) for key in own]
        assert not own or any(moved), f"{layer} did not move"
        assert all(torch.isfinite(whole.get_parameter(key)).all() for key in own)


def gradients(name, device, dtype):
    """One gradient at all parameters for each loss of the next step, after the game has run for a while in float32."""
    model, objective, optimizer = training(name, device)
    step = gradient_step(model, objective, optimizer)
    for _ in range(STEPS):
        step(*batches(device))
    pair = batches(device)
    torch.manual_seed(1)  # of what a loss draws for itself
    parameters = [*model.parameters(), *objective.parameters()]
    made = []
    phases = objective.phases(model, separate_forward) if isinstance(objective, PhasedObjective) else [None]
    for phase in phases:
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            loss = objective(*separate_forward(model, *pair)).total if phase is None else phase.loss(*pair)
        learners = parameters if phase is None else list(phase.parameters)
        made.append(torch.autograd.grad(loss, learners, allow_unused=True))
    return made


@pytest.mark.parametrize(("device", "dtype"), PLACES)
@pytest.mark.parametrize("name", GAMES)
def test_gradients_keep_their_direction(name, device, dtype):
    for half, full in zip(gradients(name, device, dtype), gradients(name, device, None), strict=True):
        for a, b in zip(half, full, strict=True):
            assert (a is None) == (b is None)
            if b is not None and b.norm() > 1e-4:
                assert torch.cosine_similarity(a.float().flatten(), b.flatten(), dim=0) > 0.9


class First(nn.Module):
    """The first feature as the logit: no layer of its own for autocast to run in half precision."""

    def forward(self, rows):
        return rows[:, 0]


def deception(rows, weights):
    """What the encoder of ADDA minimises on some target rows."""
    model = FeatureClassifier(nn.Identity(), 2, bottleneck=None, width=3)
    phases = AdversarialDiscriminative(First(), pretraining=0).phases(model, separate_forward)
    return phases[1].loss(None, Batch(rows, weights=weights))


def of_known_ratio(rows):
    torch.manual_seed(0)
    ratio = RecentRatio(3, every=1, bank=32)
    ratio.observe(torch.randn(32, 3), torch.randn(32, 3) + 0.5)
    ratio.advance()
    return ratio.weigh(rows)


@pytest.mark.parametrize(
    "value",
    [
        lambda x, y, w: DomainConfusionLoss(First(), confusion=100.0)(x, y, source_weights=w),
        lambda x, y, w: WassersteinCriticLoss(First(), penalty=0.0)(x, y, source_weights=w),
        lambda x, y, w: deception(x, w),
        lambda x, y, w: of_known_ratio(x),
    ],
    ids=["domain confusion", "Wasserstein critic", "deception of ADDA", "weights that follow the features"],
)
def test_means_are_taken_in_float32_under_autocast(value):
    x, y, weights = torch.randn(9, 3) + 7, torch.randn(7, 3) + 7, torch.rand(9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = value(x, y, weights)
    torch.testing.assert_close(under_autocast, value(x, y, weights), rtol=0, atol=0)


def test_halves_of_a_discriminator_beside_predictions_in_float32_are_promoted():
    class Half(First):
        def forward(self, rows):
            return super().forward(rows).bfloat16()

    rows = [Outputs(torch.randn(n, 3), torch.randn(n, 2)) for n in (9, 7)]
    value = EntropyConditionedLoss(Half())(*rows)
    single = [Outputs(x.features.bfloat16().float(), x.logits) for x in rows]
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, EntropyConditionedLoss(First())(*single), rtol=1e-2, atol=0)


def test_confusion_of_half_precision_logits_is_promoted():
    rows, weights = torch.randn(9, 3).bfloat16(), torch.rand(9)
    confused = DomainConfusionLoss(First())(rows, rows[:5], source_weights=weights)
    single = DomainConfusionLoss(First())(rows.float(), rows[:5].float(), source_weights=weights)
    torch.testing.assert_close(confused, single, rtol=0, atol=0)
