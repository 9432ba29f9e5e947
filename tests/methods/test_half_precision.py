"""Every game under autocast: finite, every part moves, and the gradients point where they point in float32."""

import copy

import pytest
import torch
from torch import nn

from dalib import Batch, FeatureClassifier, gradient_step, methods, separate_forward
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
