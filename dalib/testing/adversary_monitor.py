"""A look at a running game: how well the discriminators do, and what reaches the features."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dalib.objective import Objective
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal

_DISCRIMINATORS = ("discriminator", "weigher")


class AdversaryReport(NamedTuple):
    """What :func:`adversary_report` saw.

    ``accuracy`` holds the balanced accuracy of each discriminator, by its name among the modules: 0.5 is chance.
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
    the same logit (dead), and a reversal whose features get no gradient though its strength is not zero, are warned of.

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
    source, target = _leaf(source), _leaf(target)
    seen: dict[str, Tensor] = {}
    with _undisturbed(objective), _recorded(objective, seen):
        norms = _gradient_norms(objective(source, target).terms, [source.features, target.features])
    accuracy, messages = {}, []
    for name, logits in seen.items():
        rows = len(source.features)
        accuracy[name] = (((logits[:rows] > 0).float().mean() + (logits[rows:] <= 0).float().mean()) / 2).item()
        messages += _state(name, logits, accuracy[name])
    messages += _stopped(objective, norms)
    for message in messages:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return AdversaryReport(accuracy, norms, messages)


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
def _undisturbed(objective: Objective) -> Iterator[None]:
    """Buffers and random state as they were; dropout and batch norm act as in training."""
    buffers = {name: buffer.detach().clone() for name, buffer in objective.named_buffers()}
    devices = {buffer.device for buffer in (*objective.buffers(), *objective.parameters()) if buffer.is_cuda}
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for name, buffer in objective.named_buffers():
                buffer.copy_(buffers[name])


@contextmanager
def _recorded(objective: Objective, seen: dict[str, Tensor]) -> Iterator[None]:
    """Keep the logits of every discriminator."""

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if output.ndim == 1 or output.shape[1:] == (1,):
                seen[name] = output.detach().flatten().float()

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


def _state(name: str, logits: Tensor, accuracy: float) -> list[str]:
    if accuracy == 1.0 and logits.abs().min().item() > 5:
        return [
            f"{name} is saturated: right on every row with a logit beyond 5; its gradient hardly changes with the features. "
            f"Lower its learning rate, or give it dropout or spectral_norm=True"
        ]
    if (logits.max() - logits.min()).item() < 1e-6:
        return [
            f"{name} is dead: the same logit {logits[0].item():g} for every row; start it anew, or look for units at zero"
        ]
    return []


def _stopped(objective: Objective, norms: dict[str, float]) -> list[str]:
    stopped = []
    for name, term in objective.terms.items():
        reversals = [module for module in term.modules() if isinstance(module, GradientReversal)]
        active = any(float(module.strength()) != 0 for module in reversals)
        weight = getattr(term, "weight", None)
        if active and norms.get(name) == 0 and (weight is None or float(weight()) != 0):
            stopped.append(f"term {name!r} sends no gradient to the features although its strength is not zero")
    return stopped
