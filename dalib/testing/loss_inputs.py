"""What a loss under check is given, and how it is called: batches, and adapters for losses of other arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dalib.outputs import Outputs

Inputs = Callable[[int, int, torch.Generator], tuple[Any, Any]]
"""``inputs(n, m, generator) -> (source, target)``: each a tensor or a tuple of tensors with ``n`` or ``m`` rows."""

Call = Callable[..., Tensor]
"""``call(loss, source, target, **weights) -> value``: how a loss takes the two samples and the weights of their rows."""


def two_matrices(n: int, m: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two matrices of four normal features, moved and stretched against each other.

    Args:
        n: Rows of the source.
        m: Rows of the target.
        generator: Source of randomness.

    Returns:
        Source and target in float64, shapes ``(n, 4)`` and ``(m, 4)``.

    Example:
        >>> source, target = two_matrices(3, 2, torch.Generator())
        >>> source.shape, target.shape
        (torch.Size([3, 4]), torch.Size([2, 4]))
    """
    source = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    target = 1.5 * torch.randn(m, 4, generator=generator, dtype=torch.float64) + 0.5
    return source, target


def of_two(loss: Callable[..., Tensor], source: Any, target: Any, **weights: Tensor) -> Tensor:
    """Call a loss of a source and a target, with ``source_weights=`` and ``target_weights=``.

    Args:
        loss: The loss.
        source: The source sample.
        target: The target sample.
        weights: ``source_weights=`` and ``target_weights=``.

    Returns:
        What the loss returns.

    Example:
        >>> from dalib.losses import mean_loss
        >>> of_two(mean_loss, torch.zeros(1, 2), torch.ones(1, 2), source_weights=torch.ones(1))
        tensor(2.)
    """
    return loss(source, target, **weights)


def of_outputs(loss: Callable[..., Tensor], source: Any, target: Any, **weights: Tensor) -> Tensor:
    """Call a loss of two :class:`~dalib.Outputs` with samples of features and logits.

    Args:
        loss: The loss.
        source: A tuple of features and logits.
        target: The same of the target.
        weights: ``source_weights=`` and ``target_weights=``.

    Returns:
        What the loss returns.

    Example:
        >>> pair = (torch.zeros(1, 2), torch.ones(1, 3))
        >>> of_outputs(lambda source, target: source.logits.sum() + target.features.sum(), pair, pair)
        tensor(3.)
    """
    return loss(Outputs(*source), Outputs(*target), **weights)


def of_labelled(loss: Callable[..., Tensor], source: Any, target: Any, **weights: Tensor) -> Tensor:
    """Call a loss of rows, rows, labels and labels with samples of rows and their labels, or class probabilities.

    Args:
        loss: The loss.
        source: A tuple of rows and labels.
        target: A tuple of rows and labels, or class probabilities.
        weights: ``source_weights=`` and ``target_weights=``.

    Returns:
        What the loss returns.

    Example:
        >>> from dalib.losses import ClassConditionalMMDLoss
        >>> sample = (torch.zeros(1, 2), torch.tensor([0]))
        >>> of_labelled(ClassConditionalMMDLoss(2), sample, sample)
        tensor(0.)
    """
    return loss(source[0], target[0], source[1], target[1], **weights)


def of_one(loss: Callable[..., Tensor], source: Any, target: Any, **weights: Tensor) -> Tensor:
    """Call a loss of one sample, of one tensor or more, with the source; its weights are called ``weights``.

    Args:
        loss: The loss.
        source: The sample: a tensor, or a tuple of what the loss takes.
        target: Not used.
        weights: ``source_weights=`` is passed on as ``weights=``.

    Returns:
        What the loss returns.

    Example:
        >>> from dalib import entropy_loss
        >>> of_one(entropy_loss, torch.zeros(3, 2), None)
        tensor(0.6931)
    """
    renamed = {"weights": weights["source_weights"]} if "source_weights" in weights else {}
    return loss(*(source if isinstance(source, tuple) else (source,)), **renamed)
