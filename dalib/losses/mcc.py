"""Minimum class confusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.row_weights import shares


@float32_island
def mcc_loss(logits: Tensor, *, temperature: float = 2.5, weights: Tensor | None = None) -> Tensor:
    r"""How much a classifier confuses the classes with one another on target rows [1]_.

    .. math::
        P = \mathrm{softmax}(Z / T), \quad w_i \propto 1 + e^{-H(P_i)}, \quad C = P^\top \mathrm{diag}(w)\, P, \quad
        L = \frac1K \sum_j \Bigl( 1 - \frac{C_{jj}}{\sum_k C_{jk}} \Bigr)

    The certainty weights :math:`w` sum to ``n`` and carry no gradient. A class that no row gives any probability
    (:math:`\sum_k C_{jk} = 0`) is confused with none and adds zero.

    Args:
        logits: Logits :math:`Z` of target rows, shape ``(n, classes)``, at least two classes.
        temperature: The temperature :math:`T`, positive. The paper's value for Office-31 is 2.5.
        weights: One weight a row, shape ``(n,)``, multiplied with the certainty weights. Default: all one.

    Returns:
        Scalar tensor, in ``[0, (K - 1) / K]``; the largest value is that of uniform predictions.

    Raises:
        TypeError: If ``logits`` is not a floating-point tensor.
        ValueError: If ``logits`` is not a finite matrix of two or more columns, ``temperature`` is not positive, or
            weights are negative, all zero or not one a row.

    References:
        .. [1] Jin et al. Minimum Class Confusion for Versatile Domain Adaptation. ECCV 2020.

    Example:
        >>> mcc_loss(torch.zeros(4, 5))  # (5 - 1) / 5
        tensor(0.8000)
    """
    _checks.matrix(logits, "logits")
    _checks.positive(temperature, "temperature")
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least two classes, got {logits.shape[1]}")
    log_probs = torch.log_softmax(logits / temperature, dim=1)
    probs = log_probs.exp()
    negative_entropies = (probs.detach() * log_probs.detach()).sum(dim=1)
    certainty = 1 + negative_entropies.exp()
    if weights is not None:
        certainty = certainty * shares(logits, weights, "weights")  # their scale cancels in the rows of C
    confusion = (certainty.unsqueeze(1) * probs).mT @ probs
    mass = confusion.sum(dim=1)
    diagonal = confusion.diagonal() / mass.clamp_min(torch.finfo(mass.dtype).tiny)
    return torch.where(mass > 0, 1 - diagonal, torch.zeros_like(mass)).mean()


class MCCLoss(nn.Module):
    """Module form of :func:`mcc_loss`.

    Args:
        temperature: As in :func:`mcc_loss`.

    Example:
        >>> MCCLoss()(torch.zeros(4, 5))
        tensor(0.8000)
    """

    def __init__(self, *, temperature: float = 2.5) -> None:
        super().__init__()
        _checks.positive(temperature, "temperature")
        self.temperature = float(temperature)

    def forward(self, logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """The loss of logits, shape ``(n, classes)``."""
        return mcc_loss(logits, temperature=self.temperature, weights=weights)

    def extra_repr(self) -> str:
        """The options."""
        return f"temperature={self.temperature:g}"
