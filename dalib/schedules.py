"""Schedules: the value of a weight or strength as a function of the optimizer step.

A :data:`Schedule` is any ``step -> float``. The ones here can be pickled and copied.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dalib import _checks

Schedule = Callable[[int], float]


def sigmoid_ramp(steps: int, *, alpha: float = 10.0, low: float = 0.0, high: float = 1.0) -> Schedule:
    r"""The ramp of DANN [1]_: from ``low`` at step 0 along a sigmoid towards ``high``.

    .. math:: \lambda(i) = low + (high - low)\,\Bigl(\frac{2}{1 + e^{-\alpha p}} - 1\Bigr), \qquad p = i / steps

    ``p`` is held at 1 after the last step, where the ramp stands at ``tanh(alpha / 2)`` of its height: 0.9999 for the
    paper's ``alpha=10``, 0.462 for ``alpha=1``.

    Args:
        steps: Number of optimizer steps of the training, at least 1.
        alpha: Steepness, positive.
        low: Value at step 0.
        high: Value that the ramp approaches.

    Returns:
        The schedule ``step -> float``.

    Raises:
        ValueError: If ``steps`` is below 1 or ``alpha`` is not positive.

    References:
        .. [1] Ganin et al. Domain-Adversarial Training of Neural Networks. JMLR 17, 2016.

    Example:
        >>> ramp = sigmoid_ramp(100)
        >>> [round(ramp(step), 3) for step in (0, 10, 50, 100)]
        [0.0, 0.462, 0.987, 1.0]

    Note:
        TLlib and DeepDA use ``alpha=1``; with DeepDA's horizon of the whole training the strength ends at 0.462.
    """
    _checks.at_least(steps, 1, "steps")
    _checks.positive(alpha, "alpha")
    return partial(_sigmoid_ramp, steps=steps, alpha=alpha, low=low, high=high)


def _sigmoid_ramp(step: int, *, steps: int, alpha: float, low: float, high: float) -> float:
    return low + (high - low) * math.tanh(alpha * min(step / steps, 1.0) / 2)  # 2/(1+e^-x) - 1 = tanh(x/2)


def linear_ramp(steps: int, *, low: float = 0.0, high: float = 1.0) -> Schedule:
    """A straight line from ``low`` at step 0 to ``high`` at step ``steps``, then level.

    Args:
        steps: Number of steps of the ramp, at least 1.
        low: Value at step 0.
        high: Value from step ``steps`` on.

    Returns:
        The schedule ``step -> float``.

    Raises:
        ValueError: If ``steps`` is below 1.

    Example:
        >>> ramp = linear_ramp(4, high=2.0)
        >>> [ramp(step) for step in (0, 1, 4, 9)]
        [0.0, 0.5, 2.0, 2.0]
    """
    _checks.at_least(steps, 1, "steps")
    return partial(_linear_ramp, steps=steps, low=low, high=high)


def _linear_ramp(step: int, *, steps: int, low: float, high: float) -> float:
    return low + (high - low) * min(step / steps, 1.0)


class Scheduled(nn.Module):
    """The current value of a number or a schedule; ``advance`` moves it one step on.

    The step is a buffer, so it travels with ``state_dict`` and training resumes where it stopped. Nothing but
    :meth:`advance` (called by ``Objective.advance`` once per optimizer step) moves it: forward passes, evaluation
    and gradient accumulation do not.

    A plain number is returned as it is. The value of a schedule is kept in a 0-d tensor that is written in place, so
    a compiled graph reads it instead of being compiled again at each step, and no device is waited for.

    Args:
        value: A finite number, of Python or of NumPy, or a schedule ``step -> float``.
        name: What it is called in error messages.

    Raises:
        TypeError: If ``value`` is neither a number nor callable.
        ValueError: If the number, or the schedule's value at the current step, is not finite.

    Example:
        >>> weight = Scheduled(linear_ramp(2))
        >>> weight()
        tensor(0.)
        >>> weight.advance()
        >>> weight()
        tensor(0.5000)
        >>> weight.state_dict()["step"]
        tensor(1)
    """

    step: Tensor
    value: Tensor

    def __init__(self, value: float | Schedule, *, name: str = "value") -> None:
        super().__init__()
        if isinstance(value, bool) or not (isinstance(value, numbers.Real) or callable(value)):
            raise TypeError(f"{name} must be a number or a schedule step -> float, got {type(value).__name__}")
        self.name = name
        self.schedule: Schedule | None = value if callable(value) else None
        self.constant = 0.0 if callable(value) else finite_number(value, name)
        self._count = 0  # host copy of the step, so that advancing never waits for a device
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("value", torch.zeros((), dtype=torch.float32), persistent=False)
        self._refresh()

    def forward(self) -> float | Tensor:
        """The current value: the number itself, or a 0-d tensor for a schedule."""
        return self.constant if self.schedule is None else self.value

    def advance(self) -> None:
        """Move one optimizer step on."""
        self._count += 1
        self.step.add_(1)
        self._refresh()

    def _refresh(self) -> None:
        if self.schedule is not None:
            self.value.fill_(finite_number(self.schedule(self._count), self.name, self._count))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._count = int(self.step)
        self._refresh()

    def extra_repr(self) -> str:
        """The number, or the schedule and the step it stands at."""
        return f"{self.constant:g}" if self.schedule is None else f"{self.schedule}, step={self._count}"


def finite_number(value: object, name: str, step: int | None = None) -> float:
    """``value`` as a float; raise unless it is a finite number.

    Args:
        value: A number, or a tensor or array that holds one.
        name: What it is called in error messages.
        step: The step at which a schedule gave it, for the message.

    Returns:
        The number.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not finite.

    Example:
        >>> finite_number(3, "strength")
        3.0
    """
    where = "" if step is None else f" from its schedule at step {step}"
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}{where}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}{where}")
    return number
