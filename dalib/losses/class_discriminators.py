"""A discriminator for each class, in one module."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dalib import _checks


class ClassDiscriminators(nn.Module):
    r"""One network a class; each tells the domains apart by the features weighted with the class's probability.

    Network ``k`` is two hidden layers with ReLU and dropout and one logit, applied to :math:`p_k f` [1]_. All run at once
    as batched matrix products. There is no batch norm: it would undo the weighting.

    Args:
        width: Number of features that come in.
        classes: Number of classes.
        hidden: Width of the hidden layers.
        dropout: Probability of dropout, in ``[0, 1)``.

    Raises:
        ValueError: If a size is below 1 or ``dropout`` not in ``[0, 1)``; in ``forward``, if features or probabilities are
            not of these widths.

    References:
        .. [1] Pei et al. Multi-Adversarial Domain Adaptation. AAAI 2018.

    Example:
        >>> bank = ClassDiscriminators(8, 3, hidden=4)
        >>> bank(torch.zeros(5, 8), torch.full((5, 3), 1 / 3)).shape  # one logit a row and class
        torch.Size([5, 3])
    """

    def __init__(self, width: int, classes: int, *, hidden: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        for size, name in ((width, "width"), (classes, "classes"), (hidden, "hidden")):
            _checks.at_least(size, 1, name)
        _checks.dropout(dropout)
        self.width, self.classes = width, classes
        sizes = ((width, hidden), (hidden, hidden), (hidden, 1))
        # Each network starts as torch.nn.Linear does.
        self.weights = nn.ParameterList(_uniform((classes, *size), size[0]) for size in sizes)
        self.biases = nn.ParameterList(_uniform((classes, 1, size[1]), size[0]) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, probs: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of features ``(n, width)`` and class probabilities ``(n, classes)``."""
        for rows, size, name in ((features, self.width, "features"), (probs, self.classes, "probs")):
            _checks.matrix(rows, name)
            if rows.shape[1] != size:
                raise ValueError(f"{name} must have {size} columns, got {rows.shape[1]}")
        x = probs.mT[:, :, None] * features  # (classes, n, width)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = self.dropout(torch.relu(torch.baddbmm(bias, x, weight)))
        return torch.baddbmm(self.biases[-1], x, self.weights[-1])[:, :, 0].mT


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
