"""The one adapter from a recipe to a method of the benchmark."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from dalib.benchmark import identity
from dalib.benchmark.checkpoint import Checkpoint
from dalib.benchmark.protocol import Protocol
from dalib.benchmark.randomness import kept_randomness, randomness, restore, seed_everything
from dalib.benchmark.task import Task
from dalib.benchmark.together import own_part
from dalib.data import Inputs, RowBatches, row_batches
from dalib.methods import Recipe
from dalib.objective import Losses, Objective
from dalib.outputs import Outputs
from dalib.training import (
    FeatureClassifier,
    GlobalForward,
    gradient_step,
    outputs_of,
    pair_batches,
    synchronised,
    train,
)


@dataclass(frozen=True)
class Trained:
    """A recipe trained under a protocol, as a method: ``(task, seed) -> checkpoints``; see :func:`trained`."""

    recipe: Recipe
    protocol: Protocol
    weights: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, task: Task, seed: int, state: Mapping[str, Any] | None = None) -> Iterator[Checkpoint]:
        """Train on ``task``; with the ``state`` of a checkpoint go on from there, to the same numbers on a CPU."""
        training = _Training(self, task, seed)
        if state is not None:
            training.load_state_dict(state)
        for step in self.protocol.checkpoint_steps:
            if step > training.step:
                losses = training.advance_to(step)
                yield Checkpoint(
                    step,
                    training.predict,
                    _numbers(losses),
                    training.state_dict(),
                    training.notes,
                    unknown=training.unknown,
                    extra_outputs=self.extra_outputs,
                )

    @property
    def mode(self) -> str:
        """The protocol's forward mode, or ``"source"`` where the objective does not look at target rows."""
        return self.protocol.mode if self._objective(8, 2).needs_target else "source"

    @property
    def extra_outputs(self) -> int:
        """Number of logits beyond those of the source's classes, as the objective asks for."""
        return self._objective(8, 2).extra_outputs

    @property
    def processes(self) -> int:
        """Number of processes that train it together."""
        return self.protocol.processes

    @property
    def device(self) -> str:
        """Where it is trained."""
        return self.protocol.device

    def describe(self) -> dict[str, Any]:
        """Recipe, options, weights and protocol, for records and keys."""
        return {
            "recipe": identity.describe(self.recipe),
            "options": identity.describe(self.options),
            "weights": identity.describe(self.weights),
            "protocol": {**self.protocol.describe(), "forward": self.mode},
        }

    def _objective(self, features: int, classes: int) -> Objective:
        with kept_randomness():
            return _built(self.recipe, features, classes, self.protocol.steps, self.options)


def trained(recipe: Recipe, protocol: Protocol | None = None, *, weights: Any = None, **options: Any) -> Trained:
    """A method that trains ``recipe`` under ``protocol``.

    Everything is a function of the task and the seed: initial weights, order of the batches, augmentation, dropout.
    The generators of torch, numpy and Python that the caller sees are left as they were.

    Args:
        recipe: ``recipe(features, classes, steps, **options) -> Objective``, such as :func:`dalib.methods.dann` or your
            own.
        protocol: What all methods share. Default: ``Protocol()``, for feature vectors.
        weights: An estimator of ``dalib.weights``. Its copy is fitted to the backbone's features of both domains before
            training; the weights of the source rows travel with their batches.
        **options: What else the recipe takes.

    Returns:
        The method; it can be pickled if the recipe can.

    Raises:
        TypeError: If the recipe, the protocol or the weights are of the wrong kind, or the recipe does not take the options.

    Example:
        >>> from dalib.methods import dan
        >>> trained(dan, Protocol(steps=10), weight=2.0).mode
        'separate'
    """
    protocol = Protocol() if protocol is None else protocol
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol must be a dalib.benchmark.Protocol, got {type(protocol).__name__}")
    if not callable(recipe):
        raise TypeError(
            f"recipe must be a function (features, classes, steps) -> Objective, got {type(recipe).__name__}"
        )
    if weights is not None and not callable(getattr(weights, "fit", None)):
        raise TypeError(f"weights must be an estimator with fit(source, target), got {type(weights).__name__}")
    method = Trained(recipe, protocol, weights, options)
    _ = method.mode  # builds the objective once: wrong options are refused here, not in the middle of a benchmark
    return method


def _built(recipe: Recipe, features: int, classes: int, steps: int, options: Mapping[str, Any]) -> Objective:
    objective = recipe(features, classes, steps, **options)
    if not isinstance(objective, Objective):
        raise TypeError(f"recipe must return a dalib Objective, got {type(objective).__name__}; see dalib.objective")
    return objective


class _Training:
    """Model, objective, optimizer and batches of one run, and the generators that they draw from."""

    def __init__(self, method: Trained, task: Task, seed: int) -> None:
        protocol = method.protocol
        self.protocol, self.step = protocol, 0
        self._layout: dict[str, Any] = {"memory_format": torch.channels_last} if protocol.channels_last else {}
        self.notes: dict[str, float] = {}
        self._randomness: dict[str, Any] = {}
        outputs = len(task.classes) + method.extra_outputs
        self._part = own_part(protocol.processes)
        with kept_randomness():
            seed_everything(seed)
            example = self._prepared(task.source).load(np.arange(min(2, len(task.source))))
            self.model = FeatureClassifier(
                protocol.backbone.build(),
                outputs,
                bottleneck=protocol.bottleneck,
                dropout=protocol.dropout,
                example=example,
            ).to(protocol.device, **self._layout)
            objective = _built(method.recipe, self.model.width, outputs, protocol.steps, method.options)
            self.objective = objective.to(protocol.device)
            if protocol.processes > 1:
                self._share()
            self.optimizer = _optimizer(self.model, self.objective, protocol)
            self.scheduler = LambdaLR(self.optimizer, protocol.rate_factor)
            self.scaler = torch.amp.GradScaler(protocol.device) if protocol.autocast == torch.float16 else None
            self.batches = self._batches(task, seed, self._row_weights(method.weights, task))
            self._randomness = randomness()
        self._pairs = pair_batches(*self.batches)
        self._step = gradient_step(
            self._compiled(),
            self.objective,
            self.optimizer,
            forward=protocol.forward if protocol.processes == 1 else GlobalForward(protocol.forward),
            scheduler=self.scheduler,
            autocast=protocol.autocast,
            scaler=self.scaler,
        )

    def _share(self) -> None:
        """Keep model and objective the same on all processes."""
        if self.protocol.device != "cpu":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        self.model, self.objective = synchronised(self.model), synchronised(self.objective)

    def _compiled(self) -> nn.Module:
        """The model as training calls it; evaluation, where batches have other sizes, calls it as it is."""
        if self.protocol.compile is None:
            return self.model
        compiled: nn.Module = torch.compile(self.model, backend=self.protocol.compile)  # type: ignore[assignment]
        return compiled

    def advance_to(self, step: int) -> Losses:
        """Train until ``step`` steps are done; the mean losses since the last call."""
        with kept_randomness():
            restore(self._randomness)
            self.model.train()
            self.objective.train()
            losses = train(self._step, self._pairs, steps=step - self.step)
            self._randomness = randomness()
        self.step = step
        return losses

    def predict(self, inputs: Inputs) -> Outputs:
        """The model's outputs in evaluation mode, on the CPU."""
        rows = self._in_order(inputs)
        self.model.eval()
        with torch.no_grad():
            parts = [outputs_of(self.model, batch).cpu() for batch in rows]
        return Outputs(torch.cat([part.features for part in parts]), torch.cat([part.logits for part in parts]))

    @property
    def unknown(self) -> Callable[[Outputs], Tensor] | None:
        """The objective's rule for rows that are of no source class, on outputs of :meth:`predict`; ``None`` without one."""
        rule: Callable[[Outputs], Tensor] | None = getattr(self.objective, "unknown", None)
        if rule is None:
            return None
        device = self.protocol.device

        def verdict(outputs: Outputs) -> Tensor:
            self.objective.eval()
            with torch.no_grad():
                return rule(Outputs(outputs.features.to(device), outputs.logits.to(device))).cpu()

        return verdict

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on; tensors are shared with the training, not copied."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "objective", "optimizer", "scheduler")}
        return {
            **parts,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "step": self.step,
            "batches": [batches.state_dict() for batches in self.batches],
            "randomness": self._randomness,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a checkpoint."""
        for name in ("model", "objective", "optimizer", "scheduler"):
            getattr(self, name).load_state_dict(state[name])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        for batches, saved in zip(self.batches, state["batches"], strict=True):
            batches.load_state_dict(saved)
        self._randomness = state["randomness"]

    def _prepared(self, inputs: Inputs) -> Inputs:
        """Image files on their way through the backbone's transform; other inputs as they are."""
        transformed = getattr(inputs, "with_transform", None)
        if self.protocol.backbone.transform is None or transformed is None:
            return inputs
        return transformed(self.protocol.backbone.transform)  # type: ignore[no-any-return]

    def _in_order(self, inputs: Inputs) -> RowBatches:
        """All rows in their order, without augmentation."""
        prepared = self._prepared(inputs)
        rows = self.protocol.evaluation_rows(prepared.load(np.arange(1)).numel())
        return row_batches(prepared, batch_size=rows, device=self.protocol.device, training=False)

    def _batches(self, task: Task, seed: int, weights: NDArray[Any] | None) -> tuple[RowBatches, RowBatches]:
        first, second = (int(number) for number in np.random.SeedSequence(seed).generate_state(2))
        protocol = self.protocol
        shared: dict[str, Any] = {"batch_size": protocol.batch_size, "device": protocol.device, "part": self._part}
        source = row_batches(
            self._prepared(task.source), labels=task.source_labels, weights=weights, seed=first, **shared
        )
        return source, row_batches(self._prepared(task.target), seed=second, **shared)

    def _row_weights(self, estimator: Any, task: Task) -> NDArray[Any] | None:
        """One weight a source row, from the features of the backbone before any training."""
        if estimator is None:
            return None
        features = [self._backbone_features(inputs) for inputs in (task.source, task.target)]
        weights: NDArray[Any] = np.asarray(copy.deepcopy(estimator).fit(*features).weights_)
        self.notes["weights_min"], self.notes["weights_max"] = float(weights.min()), float(weights.max())
        self.notes["effective_rows"] = float(weights.sum() ** 2 / (weights**2).sum())
        return weights

    def _backbone_features(self, inputs: Inputs) -> NDArray[Any]:
        rows = self._in_order(inputs)
        self.model.eval()
        with torch.no_grad():
            parts: list[Tensor] = [
                self.model.pool(self.model.backbone(batch.inputs)).flatten(1).cpu() for batch in rows
            ]
        features: NDArray[Any] = torch.cat(parts).double().numpy()
        return features


def _optimizer(model: FeatureClassifier, objective: nn.Module, protocol: Protocol) -> torch.optim.SGD:
    groups = model.parameter_groups(protocol.rate, backbone_factor=protocol.backbone_factor)
    own = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    groups[-1]["params"] += own  # the last group is what is trained from scratch; another one would cost a step more
    optimizer = torch.optim.SGD(
        groups,
        lr=protocol.rate,
        momentum=protocol.momentum,
        nesterov=True,
        weight_decay=protocol.weight_decay,
        fused=torch.device(protocol.device).type in ("cpu", "cuda"),  # one pass over the parameters instead of four
    )
    for group in optimizer.param_groups:  # the fused form cannot begin with some of them later than with the others
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _numbers(losses: Losses) -> dict[str, float]:
    terms = {name: float(term) for name, term in losses.terms.items()}
    return {"total": float(losses.total), **terms}
