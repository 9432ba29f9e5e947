"""Gradient reversal: the identity going forward, minus the gradient going back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.outputs import Outputs
from dalib.schedules import Schedule, Scheduled, finite_number


def reverse_gradient(x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    r"""Return ``x``; its gradient comes back multiplied by ``-strength`` [1]_.

    What stands behind it (a discriminator) minimises the loss, what stands before it (the features) maximises it, in
    one backward pass.

    Args:
        x: Any floating-point tensor.
        strength: The factor :math:`\lambda`; 0 stops the gradient. A finite number or a 0-d tensor.

    Returns:
        A tensor equal to ``x``, where ``x`` is finite.

    Raises:
        TypeError: If ``x`` is not a floating-point tensor, or ``strength`` neither a number nor a tensor.
        ValueError: If ``strength`` is a number that is not finite, or a tensor of more than one.

    References:
        .. [1] Ganin and Lempitsky. Unsupervised Domain Adaptation by Backpropagation. ICML 2015.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> (3 * reverse_gradient(x, 0.5)).sum().backward()
        >>> x.grad
        tensor([-1.5000, -1.5000])

    Note:
        ``torch.autograd.gradcheck`` fails on it, and must: the gradient is not the derivative of the value.
    """
    _checks.floating(x, "x")
    # On the way from x (held fixed) to x itself: wherever one stops the value is x, and the slope is how far one went.
    if isinstance(strength, Tensor):
        if strength.ndim:
            raise ValueError(f"strength must be a number or a 0-d tensor, got shape {tuple(strength.shape)}")
        return torch.lerp(x.detach(), x, -strength.detach().to(x))
    if not torch.compiler.is_compiling():
        finite_number(strength, "strength")
    return torch.lerp(x.detach(), x, -float(strength))


class GradientReversal(nn.Module):
    """Module form of :func:`reverse_gradient` with a strength that may follow a schedule.

    The schedule's step is part of ``state_dict``; ``Objective.advance`` moves it once per optimizer step. In a loop of
    your own call ``reversal.strength.advance()`` there.

    Args:
        strength: A number, or a schedule ``step -> float``.

    Example:
        >>> from dalib.schedules import linear_ramp
        >>> reversal = GradientReversal(linear_ramp(10))
        >>> reversal.strength.advance()
        >>> x = torch.ones(1, requires_grad=True)
        >>> reversal(x).sum().backward()
        >>> x.grad
        tensor([-0.1000])
    """

    def __init__(self, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        self.strength = Scheduled(strength, name="strength")

    def forward(self, x: Tensor) -> Tensor:
        """``x``, its gradient reversed."""
        return reverse_gradient(x, self.strength())


def reversed_logits(outputs: Outputs, strength: float | Tensor = 1.0) -> Tensor:
    r"""The model's logits once more, with the gradient reversed between its head and its features.

    A loss of them is minimised by the head and, in units of ``strength``, maximised by the features: the classifier is
    its own adversary (DALN, OSBP, the reversal form of MCD).

    Args:
        outputs: Outputs that know their head, as a training step makes them; features ``(n, d)``.
        strength: The factor of the reversed gradient; a number or a 0-d tensor.

    Returns:
        Shape ``(n, classes)``, equal to ``outputs.logits``.

    Raises:
        TypeError: If the outputs do not know their head.
        ValueError: If the head's logits have another shape than those of the outputs.

    Example:
        >>> head = torch.nn.Linear(2, 3)
        >>> features = torch.ones(1, 2, requires_grad=True)
        >>> outputs = Outputs(features, head(features), head=head)
        >>> reversed_logits(outputs, 0.5)[0, 0].backward()
        >>> bool((features.grad == -0.5 * head.weight[0]).all())
        True
    """
    if outputs.head is None:
        raise TypeError(
            "outputs must know the head of their model, got head=None; make them by outputs_of(model, batch) with a model "
            "that has an attribute head, such as FeatureClassifier, or pass Outputs(..., head=...)"
        )
    logits = outputs.head(reverse_gradient(outputs.features, strength))
    if logits.shape != outputs.logits.shape:
        raise ValueError(
            f"outputs.head must map features to logits of shape {tuple(outputs.logits.shape)}, got {tuple(logits.shape)}"
        )
    return logits
