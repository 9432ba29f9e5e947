"""A look at a running game: how well the discriminators do, and what reaches the features."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib.objective import Losses, Objective
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal
from dalib.schedules import Scheduled
from dalib.testing._probing import rise, taught

_GAMES = ("discriminator", "discriminators")
_DISCRIMINATORS = (*_GAMES, "weigher")


class AdversaryReport(NamedTuple):
    """What :func:`adversary_report` saw.

    ``accuracy`` holds the balanced accuracy of each discriminator, by its name among the modules: 0.5 is chance. Where
    there is one for each class, each row counts at the discriminator of its most probable class.
    ``gradient_norms`` holds the norm of the gradient that each term sends to the features of both batches.
    """

    accuracy: dict[str, float]
    gradient_norms: dict[str, float]
    warnings: list[str]


def adversary_report(objective: Objective, source: Outputs, target: Outputs) -> AdversaryReport:
    """How a game stands on two batches: accuracy of each discriminator, gradient that each term sends to the features.

    Nothing changes: no parameter, gradient, running statistic, schedule or random state. It costs three evaluations of
    the objective and its gradient at the features, none of the backbone, and reads numbers back from the device: call it
    every hundred steps or so, under ``torch.no_grad()`` or ``torch.inference_mode()`` as well. It warns of

    - a discriminator that is always right by a wide margin (saturated), one that gives all rows the same logit (dead), and
      one whose parameters are all frozen;
    - a network that learns but is no part of the objective, so that no optimizer is given its parameters;
    - a game that sends no gradient to the features though no schedule in it stands at zero, and a reversal whose strength
      is the number zero;
    - a game whose gradient is not reversed, or twice: the features help a discriminator that is right more often than not.

    A discriminator is known by the name ``discriminator``, ``discriminators`` (for each class; called with features and
    probabilities) or ``weigher`` that it has in its module; a weigher plays no game.

    Args:
        objective: An objective without phases.
        source: Outputs of a source batch, for example ``separate_forward(model, *pair)[0]``.
        target: Outputs of a target batch.

    Returns:
        The report.

    Raises:
        TypeError: If the objective has phases.

    Warns:
        RuntimeWarning: Once for each warning of the report.

    Example:
        >>> from dalib.methods import dann
        >>> source = Outputs(torch.randn(8, 2), torch.randn(8, 3), labels=torch.arange(8) % 3)
        >>> target = Outputs(torch.randn(8, 2), torch.randn(8, 3))
        >>> report = adversary_report(dann(2, 3, 100, hidden=4), source, target)
        >>> list(report.accuracy), list(report.gradient_norms)
        (['terms.adversarial.loss.discriminator'], ['classification', 'adversarial'])
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        report = _report(objective, _copied(source), _copied(target))
    for message in report.warnings:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return report


def _copied(outputs: Outputs) -> Outputs:
    """The same values as tensors that autograd may keep, which those of inference mode are not."""
    parts = {part.name: getattr(outputs, part.name) for part in dataclasses.fields(outputs)}
    copies: dict[str, Any] = {name: x.detach().clone() for name, x in parts.items() if isinstance(x, Tensor)}
    return dataclasses.replace(outputs, **copies)


def _report(objective: Objective, source: Outputs, target: Outputs) -> AdversaryReport:
    networks = [objective, *(x.head for x in (source, target) if isinstance(x.head, nn.Module))]

    def look_again(features: list[Tensor]) -> _Look:
        with _undisturbed(networks):
            return _look(objective, (source, target), features)

    with _undisturbed(networks):
        look = _look(objective, (source, target), [source.features, target.features])
        gradients = {name: _gradients(term, look.features) for name, term in look.losses.terms.items()}
    norms = {name: torch.cat([x.float().flatten() for x in each]).norm().item() for name, each in gradients.items()}
    accuracy = {name: _accuracy(both) for name, both in look.logits.items()}
    messages = _strangers(objective, look)
    for name, module in objective.terms.items():
        messages += _stopped(name, module, norms[name])
    for name, both in look.logits.items():
        messages += _state(name, objective.get_submodule(name), both, accuracy[name])
    for term, games in _games(look).items():
        # Of several (DAAN) one may count little at the moment, and be helped by what the features do against the others.
        if norms[term] > 0 and all(
            accuracy[name] > 0.75 and _helped(name, look, gradients[term], look_again) for name in games
        ):
            messages.append(
                f"{' and '.join(games)} helped by the features: their gradient from term {term!r} is not reversed, or "
                f"twice; let the discriminator see reverse_gradient(features), once"
            )
    return AdversaryReport(accuracy, norms, messages)


class _Logits(NamedTuple):
    """What a discriminator said of source rows and of target rows."""

    source: Tensor
    """Shape ``(n, discriminators)``."""
    target: Tensor
    own_source: Tensor
    """Shape ``(n,)``: of each row the logit that counts."""
    own_target: Tensor


class _Look(NamedTuple):
    """One evaluation of an objective at some features."""

    features: list[Tensor]
    losses: Losses
    logits: dict[str, _Logits]
    heads: list[nn.Parameter]
    """The parameters between the features and the model's logits."""


def _look(objective: Objective, pair: tuple[Outputs, Outputs], features: list[Tensor]) -> _Look:
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    leaves = [x.detach().clone().requires_grad_() for x in features]
    source, target = (_moved(x, leaf) for x, leaf in zip(pair, leaves, strict=True))
    with _recorded(objective, seen):
        losses = objective(source, target)
    both = {name: _of_both(calls, len(leaves[0]), len(leaves[1])) for name, calls in seen.items()}
    heads = [*taught(source.logits), *taught(target.logits)]
    return _Look(leaves, losses, {name: logits for name, logits in both.items() if logits is not None}, heads)


def _moved(outputs: Outputs, features: Tensor) -> Outputs:
    """The outputs at other features: no gradient goes below these."""
    logits = outputs.logits.detach() if outputs.head is None else outputs.head(features)
    return Outputs(features, logits, outputs.labels, outputs.weights, outputs.index, outputs.head)


def _of_both(calls: list[tuple[Tensor, Tensor]], source: int, target: int) -> _Logits | None:
    """What a discriminator said of source and target rows: in one call, or in two that follow each other."""
    for logits, own in calls:
        if len(own) == source + target:
            return _Logits(logits[:source], logits[source:], own[:source], own[source:])
    for first, second in itertools.pairwise(calls):
        if (len(first[1]), len(second[1])) == (source, target):
            return _Logits(first[0], second[0], first[1], second[1])
    return None


def _gradients(term: Tensor, features: list[Tensor]) -> list[Tensor]:
    """The gradient of a term at the features of both domains; zero where it does not reach them."""
    if not term.requires_grad:
        return [torch.zeros_like(x) for x in features]
    gradients = torch.autograd.grad(term, features, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(features, gradients, strict=True)]


def _accuracy(both: _Logits) -> float:
    return ((both.own_source > 0).float().mean().item() + (both.own_target <= 0).float().mean().item()) / 2


def _games(look: _Look) -> dict[str, list[str]]:
    """The discriminators that play in each term."""
    games: dict[str, list[str]] = {}
    for name in look.logits:
        if name.startswith("terms.") and name.split(".")[-1] in _GAMES:
            games.setdefault(name.split(".")[1], []).append(name)
    return games


@contextmanager
def _undisturbed(networks: list[nn.Module]) -> Iterator[None]:
    """Buffers and random state as they were; dropout and batch norm act as in training."""
    buffers = [(buffer, buffer.detach().clone()) for network in networks for buffer in network.buffers()]
    parts = [part for network in networks for part in (*network.buffers(), *network.parameters())]
    devices = {part.device for part in parts if part.is_cuda}
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def _recorded(objective: Objective, seen: dict[str, list[tuple[Tensor, Tensor]]]) -> Iterator[None]:
    """Keep the logits of every call of a discriminator, and of each row the one that counts."""

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            logits = output.detach().float()
            if logits.ndim == 1 or logits.shape[1:] == (1,):
                seen.setdefault(name, []).append((logits.reshape(-1, 1), logits.flatten()))
            elif len(inputs) == 2 and inputs[1].shape == logits.shape:
                own = logits.gather(1, inputs[1].argmax(dim=1, keepdim=True))
                seen.setdefault(name, []).append((logits, own.flatten()))

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in objective.named_modules()
        if name.split(".")[-1] in _DISCRIMINATORS
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _state(name: str, module: nn.Module, both: _Logits, accuracy: float) -> list[str]:
    logits, own = torch.cat([both.source, both.target]), torch.cat([both.own_source, both.own_target])
    parameters = [parameter.requires_grad for parameter in module.parameters()]
    frozen = [f"{name} is frozen: none of its parameters is trainable"] if parameters and not any(parameters) else []
    if accuracy == 1.0 and own.abs().min().item() > 5:
        return [
            *frozen,
            f"{name} is saturated: right on every row with a logit beyond 5; its gradient hardly changes with the features. "
            f"Lower its learning rate, or give it dropout or spectral_norm=True",
        ]
    if (logits.amax(dim=0) - logits.amin(dim=0)).max().item() < 1e-6:
        return [
            *frozen,
            f"{name} is dead: the same logit {own[0].item():g} for every row; start it anew, or look for units at zero",
        ]
    return frozen


def _strangers(objective: Objective, look: _Look) -> list[str]:
    """Parameters that learn from the losses and that nobody hands to an optimizer."""
    known = {id(parameter) for parameter in (*objective.parameters(), *look.heads)}
    strange = [tuple(parameter.shape) for parameter in taught(look.losses.total) if id(parameter) not in known]
    if not strange:
        return []
    return [
        f"a parameter of shape {strange[0]} learns from the objective but is no part of it, so objective.parameters() "
        f"lacks it; make its module an attribute of the term"
    ]


def _stopped(name: str, term: nn.Module, norm: float) -> list[str]:
    reversals = [module for module in term.modules() if isinstance(module, GradientReversal)]
    if any(module.strength.schedule is None and module.strength.constant == 0 for module in reversals):
        return [f"term {name!r} has a reversal of strength 0: the features never learn from it"]
    # Of the class itself: what derives from it (the class shares of PADA) has no single value.
    at_zero = any(float(module()) == 0 for module in term.modules() if type(module) is Scheduled)
    game = reversals or any(path.split(".")[-1] in _GAMES for path, _ in term.named_modules())
    if game and norm == 0 and not at_zero:
        return [f"term {name!r} sends no gradient to the features although its strength is not zero"]
    return []


def _helped(name: str, look: _Look, gradients: list[Tensor], look_again: Callable[[list[Tensor]], _Look]) -> bool:
    """Whether features that step against these gradients make a discriminator better."""

    def loss(seen: _Look) -> float:
        both = seen.logits[name]
        return (F.softplus(-both.source).mean(dim=0) + F.softplus(both.target).mean(dim=0)).sum().item()

    hundredth = 0.01 * max(x.detach().float().norm().item() for x in look.features)
    # Rounding is far below this share of the loss, what a hundredth of the features changes far above it.
    return rise(lambda features: loss(look_again(features)), look.features, gradients, hundredth) > 1e-4 * loss(look)
