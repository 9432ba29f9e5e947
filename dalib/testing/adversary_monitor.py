"""A look at a running game: how well the discriminators do, and what reaches the features."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dalib.objective import Objective
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal

_DISCRIMINATORS = ("discriminator", "discriminators", "weigher")


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

    Nothing changes: no parameter, gradient, running statistic, schedule or random state. It costs one evaluation of the
    objective and its gradient at the features, none of the backbone, and reads numbers back from the device: call it
    every hundred steps or so. A discriminator that is always right by a wide margin (saturated), one that gives all rows
    the same logit (dead), a reversal whose features get no gradient though its strength is not zero, and one whose
    strength is the number zero, are warned of. A discriminator is known by the name ``discriminator``, ``discriminators``
    (for each class; called with features and probabilities) or ``weigher`` that it has in its module.

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
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    networks = [objective, *(x.head for x in (source, target) if isinstance(x.head, nn.Module))]
    with _undisturbed(networks), _recorded(objective, seen):
        source, target = _leaf(source), _leaf(target)
        norms = _gradient_norms(objective(source, target).terms, [source.features, target.features])
    accuracy, messages = {}, []
    rows = len(source.features)
    for name, calls in seen.items():
        both = _of_both(calls, rows, len(target.features))
        if both is not None:
            logits, own = both
            right = torch.cat([own[:rows] > 0, own[rows:] <= 0]).float()
            accuracy[name] = ((right[:rows].mean() + right[rows:].mean()) / 2).item()
            messages += _state(name, logits, own, accuracy[name])
    messages += _stopped(objective, norms)
    for message in messages:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return AdversaryReport(accuracy, norms, messages)


def _of_both(calls: list[tuple[Tensor, Tensor]], source: int, target: int) -> tuple[Tensor, Tensor] | None:
    """What a discriminator said of source and target rows: in one call, or in two that follow each other."""
    for logits, own in calls:
        if len(own) == source + target:
            return logits, own
    for first, second in itertools.pairwise(calls):
        if (len(first[1]), len(second[1])) == (source, target):
            return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])
    return None


def _gradient_norms(terms: dict[str, Tensor], features: list[Tensor]) -> dict[str, float]:
    norms = {}
    for name, term in terms.items():
        gradients = (
            torch.autograd.grad(term, features, retain_graph=True, allow_unused=True) if term.requires_grad else ()
        )
        parts = [gradient.float().norm() for gradient in gradients if gradient is not None]
        norms[name] = torch.stack(parts).norm().item() if parts else 0.0
    return norms


def _leaf(outputs: Outputs) -> Outputs:
    """The same values on features of their own, so that no gradient goes below them."""
    features = outputs.features.detach().clone().requires_grad_()
    logits = outputs.logits.detach() if outputs.head is None else outputs.head(features)
    return Outputs(features, logits, outputs.labels, outputs.weights, outputs.index, outputs.head)


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


def _state(name: str, logits: Tensor, own: Tensor, accuracy: float) -> list[str]:
    if accuracy == 1.0 and own.abs().min().item() > 5:
        return [
            f"{name} is saturated: right on every row with a logit beyond 5; its gradient hardly changes with the features. "
            f"Lower its learning rate, or give it dropout or spectral_norm=True"
        ]
    if (logits.amax(dim=0) - logits.amin(dim=0)).max().item() < 1e-6:
        return [
            f"{name} is dead: the same logit {own[0].item():g} for every row; start it anew, or look for units at zero"
        ]
    return []


def _stopped(objective: Objective, norms: dict[str, float]) -> list[str]:
    stopped = []
    for name, term in objective.terms.items():
        reversals = [module for module in term.modules() if isinstance(module, GradientReversal)]
        if any(module.strength.schedule is None and module.strength.constant == 0 for module in reversals):
            stopped.append(f"term {name!r} has a reversal of strength 0: the features never learn from it")
        active = any(float(module.strength()) != 0 for module in reversals)
        weight = getattr(term, "weight", None)
        if active and norms.get(name) == 0 and (weight is None or float(weight()) != 0):
            stopped.append(f"term {name!r} sends no gradient to the features although its strength is not zero")
    return stopped
