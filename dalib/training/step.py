"""One training step, straight down: batches -> outputs -> objective -> backward -> optimizer -> schedules."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from dalib import _checks
from dalib.objective import Losses, Objective
from dalib.outputs import Batch, Outputs
from dalib.training.phases import PhasedObjective

Step = Callable[[Batch, Batch], Losses]
"""Batches of two domains -> parameters updated; returns the losses, detached."""

Forward = Callable[[nn.Module, Batch, Batch], tuple[Outputs, Outputs]]
"""How a model sees two batches: :func:`joint_forward` or :func:`separate_forward`."""


def outputs_of(model: nn.Module, batch: Batch) -> Outputs:
    """What ``model`` makes of a batch; labels, weights and index of the batch travel along.

    Args:
        model: ``model(inputs) -> (features, logits)``.
        batch: The rows.

    Returns:
        The outputs.

    Raises:
        TypeError: If the model does not return features and logits.

    Example:
        >>> from dalib.training import FeatureClassifier
        >>> model = FeatureClassifier(torch.nn.Identity(), 3, width=2)
        >>> outputs_of(model, Batch(torch.zeros(4, 2))).logits.shape
        torch.Size([4, 3])
    """
    made = model(batch.inputs)
    if not (isinstance(made, tuple) and len(made) == 2 and all(isinstance(part, Tensor) for part in made)):
        raise TypeError(
            f"model must return a pair (features, logits), got {type(made).__name__}; wrap your network in FeatureClassifier"
        )
    head = getattr(getattr(model, "module", model), "head", None)  # .module: inside DistributedDataParallel
    return Outputs(*made, batch.labels, batch.weights, batch.index, head if callable(head) else None)


def separate_forward(model: nn.Module, source: Batch, target: Batch) -> tuple[Outputs, Outputs]:
    """Forward each domain by itself, source first: batch norm sees one domain at a time."""
    return outputs_of(model, source), outputs_of(model, target)


def joint_forward(model: nn.Module, source: Batch, target: Batch) -> tuple[Outputs, Outputs]:
    """Forward both domains in one batch: batch norm mixes their statistics.

    On Office-31 features this mixing alone costs a few points before any alignment has acted; compare a method with the
    control of its own forward mode.
    """
    both = outputs_of(model, Batch(_concatenate(source.inputs, target.inputs)))
    rows = _rows(source.inputs)
    first = Outputs(both.features[:rows], both.logits[:rows], source.labels, source.weights, source.index, both.head)
    second = Outputs(both.features[rows:], both.logits[rows:], target.labels, target.weights, target.index, both.head)
    return first, second


def _concatenate(source: Any, target: Any) -> Any:
    if isinstance(source, Mapping):
        if not isinstance(target, Mapping) or source.keys() != target.keys():
            got = sorted(target) if isinstance(target, Mapping) else type(target).__name__
            raise ValueError(f"target inputs must have the names of the source's, {sorted(source)}, got {got}")
        return {name: _concatenate(source[name], target[name]) for name in source}
    if not (isinstance(source, Tensor) and isinstance(target, Tensor)):
        raise TypeError(
            f"source and target inputs must be tensors, or dictionaries of tensors, for a joint forward, got "
            f"{type(source).__name__} and {type(target).__name__}; use separate_forward"
        )
    if source.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"source and target inputs must have one shape a row for a joint forward, got {tuple(source.shape[1:])} and "
            f"{tuple(target.shape[1:])}; pad them alike or use separate_forward"
        )
    return torch.cat([source, target])


def _rows(inputs: Any) -> int:
    return _rows(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)


def gradient_step(
    model: nn.Module,
    objective: Objective,
    optimizer: Optimizer,
    *,
    forward: Forward = separate_forward,
    scheduler: LRScheduler | None = None,
    autocast: torch.dtype | None = None,
    scaler: GradScaler | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
) -> Step:
    """A step that minimises ``objective`` by gradient descent.

    Each call forwards two batches and runs one backward pass. Every ``accumulate`` calls the optimizer steps, and then,
    once each, the learning-rate scheduler and ``objective.advance()``. Nothing is read back from the device, except the
    scale of a ``scaler``: where an overflow made it skip the optimizer's step, neither of them moves. Gradients that
    were there before a step are cleared, not added.

    An objective with phases (:class:`~dalib.training.PhasedObjective`: MCD, ADDA) makes an optimizer step for each phase of
    a call; the scheduler and ``objective.advance()`` still move once a call.

    Args:
        model: ``model(inputs) -> (features, logits)``, for example a ``FeatureClassifier``; in train mode or not, as you
            leave it.
        objective: What is minimised. Unless it ``needs_target`` the target batch is not forwarded.
        optimizer: Holds the parameters of the model *and* of the objective.
        forward: :func:`separate_forward` or :func:`joint_forward`.
        scheduler: Learning-rate scheduler, stepped once per optimizer step.
        autocast: dtype for autocast of the forward pass, such as ``torch.bfloat16``; default: none. The losses compute in
            float32.
        scaler: Gradient scaler, for float16.
        clip_norm: Largest norm of the gradient of all that the optimizer holds, positive.
        accumulate: Number of calls whose gradients are averaged into one optimizer step.

    Returns:
        The step: ``step(source, target) -> Losses``, detached.

    Raises:
        TypeError: If an argument is of the wrong kind, such as a model that is not a module; or if the objective has phases
            and the model is wrapped in ``DistributedDataParallel``.
        FloatingPointError: In a call, if the loss is NaN or infinite (checked on CPU, where it costs no waiting).
        ValueError: If the optimizer lacks trainable parameters of the objective (an adversary that would never learn),
            if a number is out of range, or if ``accumulate`` is above 1 for an objective with phases; in a call, if the
            loss depends on no trainable parameter.

    Example:
        >>> from dalib.objective import source_cross_entropy
        >>> from dalib.training import FeatureClassifier
        >>> model = FeatureClassifier(torch.nn.Identity(), 3, width=2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> step = gradient_step(model, Objective(classification=source_cross_entropy), optimizer)
        >>> source = Batch(torch.randn(4, 2), labels=torch.tensor([0, 1, 2, 0]))
        >>> losses = [step(source, Batch(torch.randn(4, 2))).total for _ in range(20)]
        >>> bool(losses[-1] < losses[0])
        True
    """
    _refuse_wrong_kinds(model, optimizer, forward, scheduler, autocast, scaler)
    if not isinstance(objective, Objective):
        raise TypeError(
            f"objective must be a dalib Objective, got {type(objective).__name__}; try Objective(name=term)"
        )
    _checks.at_least(accumulate, 1, "accumulate")
    if clip_norm is not None:
        _checks.positive(clip_norm, "clip_norm")
    if isinstance(objective, PhasedObjective) and accumulate > 1:
        raise ValueError(f"accumulate must be 1 for an objective with phases, got {accumulate}; use larger batches")
    if isinstance(objective, PhasedObjective) and isinstance(model, nn.parallel.DistributedDataParallel):
        raise TypeError(
            "model must not be in DistributedDataParallel for an objective with phases, which have gradients for some of its "
            "parameters alone; use synchronised(model)"
        )
    _refuse_missing_parameters(model, objective, optimizer)
    return _GradientStep(model, objective, optimizer, forward, scheduler, autocast, scaler, clip_norm, accumulate)


def _refuse_wrong_kinds(
    model: object, optimizer: object, forward: object, scheduler: object, autocast: object, scaler: object
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
    if not callable(forward):
        raise TypeError(f"forward must be separate_forward, joint_forward or a function like them, got {forward!r}")
    if scheduler is not None and not callable(getattr(scheduler, "step", None)):
        raise TypeError(f"scheduler must be a learning-rate scheduler or None, got {type(scheduler).__name__}")
    if isinstance(scheduler, ReduceLROnPlateau):
        raise TypeError("scheduler must step without a score, got ReduceLROnPlateau; step it yourself after validation")
    if autocast is not None and not (isinstance(autocast, torch.dtype) and autocast.is_floating_point):
        raise TypeError(f"autocast must be a floating-point dtype such as torch.bfloat16, or None, got {autocast!r}")
    if scaler is not None and not callable(getattr(scaler, "scale", None)):
        raise TypeError(f"scaler must be a torch.amp.GradScaler or None, got {type(scaler).__name__}")


def _refuse_missing_parameters(model: nn.Module, objective: Objective, optimizer: Optimizer) -> None:
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if trainable and not any(id(parameter) in held for parameter in trainable):
        raise ValueError(
            "optimizer must hold parameters of the model, got one without any; "
            "build it with [*model.parameters(), *objective.parameters()]"
        )
    missing = [name for name, p in objective.named_parameters() if p.requires_grad and id(p) not in held]
    if missing:
        raise ValueError(
            f"optimizer must hold the parameters of the objective, got one without {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}; "
            f"build it with [*model.parameters(), *objective.parameters()]"
        )


@dataclasses.dataclass
class _GradientStep:
    model: nn.Module
    objective: Objective
    optimizer: Optimizer
    forward: Forward
    scheduler: LRScheduler | None
    autocast: torch.dtype | None
    scaler: GradScaler | None
    clip_norm: float | None
    accumulate: int
    calls: int = 0

    def __call__(self, source: Batch, target: Batch) -> Losses:
        for batch, name in ((source, "source"), (target, "target")):
            if not isinstance(batch, Batch):
                raise TypeError(f"{name} must be a Batch, got {type(batch).__name__}; try Batch(inputs, labels)")
        if self.calls % self.accumulate == 0:
            self._drop_gradients()  # what others left there
        if isinstance(self.objective, PhasedObjective):
            losses, moved = self._phases(self.objective, source, target)
        else:
            with self._autocast():
                losses = self._losses(source, target)
            self._backward(losses)
            moved = (self.calls + 1) % self.accumulate == 0 and self._descend()
        self.calls += 1
        if moved:
            if self.scheduler is not None:
                self.scheduler.step()
            self.objective.advance()
        return losses.detach()

    def _phases(self, objective: PhasedObjective, source: Batch, target: Batch) -> tuple[Losses, bool]:
        """The losses of all phases, and whether the optimizer made a step in any of them."""
        terms: dict[str, Tensor] = {}
        stepped = False
        for phase in objective.phases(self.model, self.forward):
            moved = [parameter for parameter in phase.parameters if parameter.requires_grad]
            if not moved:
                raise ValueError(
                    f"phase {phase.name!r} must move a trainable parameter, got none; unfreeze some of them"
                )
            for _ in range(phase.times):
                with self._autocast():
                    loss = phase.loss(source, target)
                self._backward(Losses(loss, {phase.name: loss}), moved)
                stepped = self._descend() or stepped
                terms[phase.name] = loss.detach()
        first, *rest = terms.values()
        return Losses(sum(rest, start=first), terms), stepped

    def _backward(self, losses: Losses, moved: list[nn.Parameter] | None = None) -> None:
        _refuse_non_finite(losses)
        if not losses.total.requires_grad:
            raise ValueError(
                "objective must depend on a trainable parameter of the model or its own, got a loss without gradient; "
                "unfreeze some parameters"
            )
        loss = losses.total / self.accumulate
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward(inputs=moved)  # type: ignore[no-untyped-call]

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.autocast is None:
            return contextlib.nullcontext()
        first = next(self.model.parameters(), None)
        return torch.autocast("cpu" if first is None else first.device.type, dtype=self.autocast)

    def _losses(self, source: Batch, target: Batch) -> Losses:
        if self.objective.needs_target:
            return self.objective(*self.forward(self.model, source, target))  # type: ignore[no-any-return]
        alone = getattr(self.forward, "alone", outputs_of)  # of several processes: the rows of all of them
        return self.objective(alone(self.model, source))  # type: ignore[no-any-return]

    def _descend(self) -> bool:
        """One step of the optimizer; ``False`` if the scaler skipped it because of an overflow."""
        if self.clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            held = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(held, self.clip_norm)
        stepped = True
        if self.scaler is None:
            self.optimizer.step()
        else:
            scale = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            stepped = self.scaler.get_scale() >= scale
        self._drop_gradients()
        return stepped

    def _drop_gradients(self) -> None:
        """What ``zero_grad`` does, without what it records for a profiler: that takes longer than the rest of it."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def _refuse_non_finite(losses: Losses) -> None:
    if _checks.values_are_checked(losses.total) and not math.isfinite(losses.total.detach()):
        worth = ", ".join(f"{name} = {term.item():g}" for name, term in losses.terms.items())
        raise FloatingPointError(
            f"the loss must be finite, got {worth}; lower the learning rate or clip_norm= the gradient"
        )
