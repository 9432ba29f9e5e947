"""The contract of an adversarial method, as a check to run on one of your own."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dalib.objective import Objective
from dalib.outputs import Batch, Outputs
from dalib.schedules import Scheduled
from dalib.testing._probing import rise, taught
from dalib.training import FeatureClassifier, PhasedObjective, gradient_step, separate_forward

_WIDTH, _CLASSES, _STEPS = 6, 3, 8


def check_adversary(recipe: Callable[..., Objective], *, seed: int = 0, **options: Any) -> None:
    """Check what every adversarial method promises, on small random problems.

    The recipe passes if

    - it returns an ``Objective`` whose terms are finite for batches of unequal size and, in evaluation mode, of one row;
    - the features of target rows receive a gradient, and at least one term's is reversed: along the gradient that the
      features receive from it, its value falls (not asked of objectives with phases);
    - every network that learns is a part of the model or of the objective, whose parameters the optimizer is given, and
      some parameter of an objective that has any is trainable;
    - in training every layer of the features, of the head and of the objective's own networks moves;
    - a forward pass moves no schedule, and a training resumed from ``state_dict`` goes on bit for bit.

    Args:
        recipe: ``recipe(features, classes, steps, **options) -> Objective``.
        seed: Seed of the problems.
        **options: Options of the recipe.

    Raises:
        AssertionError: At the first promise that is broken; the message says which, and what came.

    Example:
        >>> from dalib.methods import dann
        >>> check_adversary(dann, hidden=16)
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        objective = recipe(_WIDTH, _CLASSES, _STEPS, **options)
        _expect(isinstance(objective, Objective), f"recipe must return an Objective, got {type(objective).__name__}")
        if not isinstance(objective, PhasedObjective):
            with torch.random.fork_rng(devices=[]):  # first: a network that is no part of it stays in train mode
                _check_ownership(*_training(recipe, options)[:2])
            _check_outputs(objective)
            _check_reversal(objective)
        _check_movement(recipe, options)
        _check_resumption(recipe, options)


def _outputs(rows: int, head: nn.Module, shift: float, *, labels: bool) -> Outputs:
    features = (torch.randn(rows, _WIDTH) + shift).requires_grad_()
    y = torch.arange(rows) % _CLASSES if labels else None
    return Outputs(features, head(features), y, head=head)


def _check_outputs(objective: Objective) -> None:
    head = nn.Linear(_WIDTH, _CLASSES)
    objective.eval()
    values = [module().item() for module in _schedules(objective)]
    for n, m in ((7, 4), (4, 7), (1, 1)):
        losses = objective(_outputs(n, head, 0.0, labels=True), _outputs(m, head, 1.0, labels=False))
        for name, term in losses.terms.items():
            _expect(bool(torch.isfinite(term)), f"term {name!r} must be finite for {n} and {m} rows, got {term.item()}")
    after = [module().item() for module in _schedules(objective)]
    _expect(values == after, f"a forward pass must not move a schedule, got {after} after {values}")
    objective.train()


def _schedules(objective: Objective) -> list[Callable[[], Tensor]]:
    return [module for module in objective.modules() if isinstance(module, Scheduled) and module.schedule is not None]


def _check_reversal(objective: Objective) -> None:
    """Let the adversary learn; then move the features along the gradient of each term: where it is reversed, it falls."""
    for _ in range(_STEPS):
        objective.advance()  # ramps start at zero
    head = nn.Linear(_WIDTH, _CLASSES)
    made = [_outputs(n, head, s, labels=not s) for n, s in ((24, 0.0), (23, 1.0))]
    leaves = [rows.features.detach().requires_grad_() for rows in made]
    labels = [rows.labels for rows in made]
    learners = [*head.parameters(), *(p for p in objective.parameters() if p.requires_grad)]
    optimizer = torch.optim.Adam(learners, lr=0.01)
    for _ in range(40):
        rows = [Outputs(x.detach(), head(x.detach()), y, head=head) for x, y in zip(leaves, labels, strict=True)]
        optimizer.zero_grad()
        objective(*rows).total.backward()
        optimizer.step()

    def terms(features: list[Tensor]) -> dict[str, Tensor]:
        rows = [Outputs(x, head(x), y, head=head) for x, y in zip(features, labels, strict=True)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            values: dict[str, Tensor] = objective(*rows).terms
        return values

    def value(name: str, features: list[Tensor]) -> float:
        return terms(features)[name].item()

    slopes, reached = {}, 0.0
    for name, term in terms(leaves).items():
        gradients = (
            torch.autograd.grad(term, leaves, allow_unused=True, retain_graph=True) if term.requires_grad else ()
        )
        if all(gradient is None for gradient in gradients):
            continue
        moves = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]
        reached += moves[1].abs().sum().item()
        slopes[name] = rise(functools.partial(value, name), leaves, moves, 1e-2)
    _expect(reached > 0, "the features of target rows must receive a gradient at the end of the ramp, got zero")
    _expect(
        any(slope < 0 for slope in slopes.values()),
        f"one term's gradient at the features must be reversed, got none among {', '.join(slopes)}; "
        f"use reverse_gradient, or your discriminator and your features help each other",
    )


def _training(recipe: Callable[..., Objective], options: dict[str, Any]) -> tuple[nn.Module, Objective, Any, Any]:
    model = FeatureClassifier(nn.Linear(4, 5), _CLASSES, bottleneck=_WIDTH, width=5)
    objective = recipe(_WIDTH, _CLASSES, _STEPS, **options)
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    return model, objective, optimizer, gradient_step(model, objective, optimizer)


def _batches() -> tuple[Batch, Batch]:
    return Batch(torch.randn(9, 4), torch.arange(9) % _CLASSES), Batch(torch.randn(8, 4) + 1)


def _check_movement(recipe: Callable[..., Objective], options: dict[str, Any]) -> None:
    model, objective, _, step = _training(recipe, options)
    whole = nn.ModuleDict({"model": model, "objective": objective})
    before = copy.deepcopy(dict(whole.named_parameters()))
    for _ in range(_STEPS):
        step(*_batches())
    moved = {name: not torch.equal(p, before[name]) for name, p in whole.named_parameters() if p.requires_grad}
    for name, layer in whole.named_modules():
        own = [moved[f"{name}.{key}"] for key, p in layer.named_parameters(recurse=False) if p.requires_grad]
        _expect(not own or any(own), f"every layer must move in training, got {name} where it was")
    _check_ownership(model, objective)


def _check_ownership(model: nn.Module, objective: Objective) -> None:
    """Whoever learns from a loss belongs to the model or the objective; an optimizer is not given anything else."""
    source, target = _batches()
    if isinstance(objective, PhasedObjective):
        losses = [phase.loss(source, target) for phase in objective.phases(model, separate_forward)]
    else:
        losses = [objective(*separate_forward(model, source, target)).total]
    known = {id(parameter) for parameter in (*model.parameters(), *objective.parameters())}
    strange = [parameter for loss in losses for parameter in taught(loss) if id(parameter) not in known]
    _expect(
        not strange,
        f"every network that learns must be a part of the objective, got a parameter of shape "
        f"{tuple(strange[0].shape) if strange else ()} that is none; make its module an attribute of the term",
    )
    trainable = [parameter.requires_grad for parameter in objective.parameters()]
    _expect(
        not trainable or any(trainable), "some parameters of the objective must be trainable, got all of them frozen"
    )


def _check_resumption(recipe: Callable[..., Objective], options: dict[str, Any]) -> None:
    parts = _training(recipe, options)
    pairs = [_batches() for _ in range(_STEPS)]
    half = _STEPS // 2 + 1
    for pair in pairs[:half]:
        parts[3](*pair)
    states = copy.deepcopy([part.state_dict() for part in parts[:3]])
    again = _training(recipe, options)
    for part, state in zip(again[:3], states, strict=True):
        part.load_state_dict(state)
    ends = []
    for run in (parts, again):
        torch.manual_seed(1)
        ends.append([run[3](*pair).total.item() for pair in pairs[half:]])
    _expect(ends[0] == ends[1], f"a resumed training must go on bit for bit, got losses {ends[1]} instead of {ends[0]}")


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
