"""What all methods of a benchmark share."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch

from dalib import _checks
from dalib.benchmark import identity
from dalib.benchmark.backbone import IDENTITY, Backbone
from dalib.training import Forward, separate_forward

_SPEED = ("channels_last", "compile")
_AUTOCAST = (None, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    r"""Backbone, bottleneck, optimizer, steps, batches and forward mode: the same for all methods of a table.

    The optimizer is SGD with Nesterov momentum at the rate

    .. math:: \eta_i = \eta_0 \, (1 + \gamma i)^{-0.75}

    of the deep adaptation literature; backbones are trained at ``backbone_factor`` times that rate, the objective's
    own parameters (discriminators) at the full one. What a paper fixes for itself is an option of its recipe.

    Args:
        backbone: What is below the bottleneck. Default: nothing, for feature vectors; see :func:`backbone` for images.
        bottleneck: Width of the bottleneck, or ``None`` for none.
        dropout: Probability of dropout in the bottleneck.
        steps: Optimizer steps.
        batch_size: Rows a batch, of each domain.
        rate: Learning rate :math:`\eta_0`.
        momentum: Momentum of SGD, positive (it is Nesterov's).
        weight_decay: Weight decay of SGD.
        gamma: Speed :math:`\gamma` of the rate's decay.
        backbone_factor: The backbone's rate in units of ``rate``.
        forward: :func:`dalib.training.separate_forward` or :func:`dalib.training.joint_forward`.
        checkpoints: Number of evaluations, evenly spaced, the last step included.
        device: Where to train: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        autocast: ``torch.bfloat16`` or ``torch.float16`` for autocast of the forward pass; ``None`` for none.
        channels_last: Whether images and convolutions are laid out with the channels last, which tensor cores prefer.
        compile: Backend of ``torch.compile`` for the model's training steps, such as ``"inductor"``; ``None`` for none.
        evaluation_batch_size: Rows a batch in evaluation; it does not change results beyond rounding. Default: 256, and on a
            CPU fewer for large images, whose maps would not fit its caches.
        processes: Number of processes of torchrun that train each run together: each takes its part of every batch, and
            losses are those of the whole batch. ``dalib run`` sets it under torchrun. Batch norm of the model sees the
            rows of its own process on a CPU, those of all on CUDA.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is out of range.

    Example:
        >>> protocol = Protocol(steps=100, checkpoints=4)
        >>> protocol.checkpoint_steps, round(protocol.rate_at(1000) / protocol.rate, 3)
        ((25, 50, 75, 100), 0.595)
    """

    backbone: Backbone = IDENTITY
    bottleneck: int | None = 256
    dropout: float = 0.0
    steps: int = 1000
    batch_size: int = 32
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-3
    gamma: float = 1e-3
    backbone_factor: float = 0.1
    forward: Forward = separate_forward
    checkpoints: int = 5
    device: str = "cpu"
    autocast: torch.dtype | None = None
    channels_last: bool = False
    compile: str | None = None
    evaluation_batch_size: int | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.backbone, Backbone):
            got = type(self.backbone).__name__
            raise TypeError(
                f"backbone must be a Backbone, got {got}; make one with backbone('timm:NAME') or Backbone(...)"
            )
        if not callable(self.forward):
            raise TypeError(f"forward must be joint_forward or separate_forward, got {type(self.forward).__name__}")
        for name in ("steps", "checkpoints", "processes"):
            _checks.at_least(getattr(self, name), 1, name)
        if self.evaluation_batch_size is not None:
            _checks.at_least(self.evaluation_batch_size, 1, "evaluation_batch_size")
        _checks.at_least(self.batch_size, 2, "batch_size")  # batch norm needs two rows
        if self.bottleneck is not None:
            _checks.at_least(self.bottleneck, 1, "bottleneck")
        _checks.positive(self.rate, "rate")
        for name, below in (("dropout", 1.0), ("momentum", 1.0), ("weight_decay", math.inf), ("gamma", math.inf)):
            _in_range(getattr(self, name), name, below)
        if self.momentum == 0:
            raise ValueError("momentum must be positive, got 0; Nesterov's method needs some")
        _in_range(self.backbone_factor, "backbone_factor", math.inf)
        if self.autocast not in _AUTOCAST:
            raise ValueError(f"autocast must be None, torch.bfloat16 or torch.float16, got {self.autocast}")
        if not isinstance(self.channels_last, bool):
            raise TypeError(f"channels_last must be True or False, got {self.channels_last!r}")
        if self.compile is not None and self.compile not in (known := torch.compiler.list_backends(None)):
            raise ValueError(f"compile must be None or one of {', '.join(known)}, got {self.compile!r}")
        if self.batch_size % self.processes:
            raise ValueError(
                f"batch_size must be a multiple of the {self.processes} processes that share it, got {self.batch_size}"
            )
        if self.compile is not None and self.processes > 1:
            raise ValueError(f"compile must be None on {self.processes} processes, got {self.compile!r}")
        object.__setattr__(self, "device", _device(self.device))

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """Steps after which the model is evaluated; all steps if there are fewer than checkpoints."""
        count = min(self.checkpoints, self.steps)
        return tuple(round(self.steps * number / count) for number in range(1, count + 1))

    def evaluation_rows(self, entries: int) -> int:
        """Rows a batch in evaluation for inputs of so many entries a row.

        Example:
            >>> Protocol().evaluation_rows(1280), Protocol().evaluation_rows(3 * 224 * 224)
            (256, 6)
        """
        if self.evaluation_batch_size is not None:
            return self.evaluation_batch_size
        return 256 if self.device != "cpu" else min(256, max(4, 2**20 // entries))

    @property
    def mode(self) -> str:
        """Name of the forward mode: ``"joint"``, ``"separate"``, or that of the user's function."""
        return str(getattr(self.forward, "__name__", type(self.forward).__name__)).removesuffix("_forward")

    def rate_factor(self, step: int) -> float:
        """The learning rate after ``step`` steps in units of ``rate``."""
        return float((1 + self.gamma * step) ** -0.75)

    def rate_at(self, step: int) -> float:
        """The learning rate after ``step`` steps."""
        return self.rate * self.rate_factor(step)

    def describe(self) -> dict[str, Any]:
        """What records keep of it and run keys depend on."""
        fields = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        unused = {name for name in _SPEED if not fields[name]}  # so that what is not used splits no table
        unused |= {"processes"} if self.processes == 1 else set()
        described = {name: identity.describe(fields[name]) for name in fields if name not in {"forward", *unused}}
        own = {} if _of_dalib(self.forward) else {"forward_function": identity.describe(self.forward)}
        return {**described, "forward": self.mode, **own}


def _of_dalib(forward: object) -> bool:
    return str(getattr(forward, "__module__", "")).partition(".")[0] == "dalib"


def _in_range(value: float, name: str, below: float) -> None:
    _checks.number(value, name)
    if not 0 <= value < below:
        end = "finite and not negative" if below == math.inf else f"in [0, {below:g})"
        raise ValueError(f"{name} must be {end}, got {value:g}")


def _device(device: object) -> str:
    try:
        checked = torch.device(device)  # type: ignore[call-overload]
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be a torch device such as 'cpu' or 'cuda', got {device!r}") from None
    if checked.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be usable on this machine, got {device} without a CUDA device; use cpu")
    return str(checked)
