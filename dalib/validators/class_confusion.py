"""Class confusion of the target predictions."""

from __future__ import annotations

import torch

from dalib import _checks
from dalib.evaluation import Evaluation
from dalib.validators import _rows


def mcc_score(evaluation: Evaluation, *, temperature: float = 1.0) -> float:
    r"""Minus the class confusion [1]_ of the target predictions.

    .. math::
        P = \mathrm{softmax}(Z / T), \quad w_i \propto 1 + e^{-H(P_i)}, \quad C = P^\top \mathrm{diag}(w)\, P, \quad
        -\frac1K \sum_j \Bigl( 1 - \frac{C_{jj}}{\sum_k C_{jk}} \Bigr)

    0 where no row hesitates between two classes. A class that no row gives any probability counts as fully confused,
    which is the limit of small probabilities: a model that calls every row the same class scores near the minimum.

    Known failure: confident wrong predictions score as well as right ones, a class that the target lacks lowers the
    score, and methods trained with this loss are flattered.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.
        temperature: The temperature :math:`T`, positive. Default 1: the probabilities of the model. The paper trains
            with 2.5.

    Returns:
        A number in ``[-(K - 1) / K, 0]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows or not finite ones, or ``temperature`` is not positive.

    References:
        .. [1] Jin et al. Minimum Class Confusion for Versatile Domain Adaptation. ECCV 2020.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.zeros(4, 5)  # uniform: -4/5
        >>> source = Outputs(logits, logits, labels=torch.zeros(4, dtype=torch.int64))
        >>> round(mcc_score(Evaluation(source=source, target=Outputs(logits, logits))), 4)
        -0.8

    Note:
        :func:`dalib.losses.mcc_loss` counts a class without any probability as not confused, so that no gradient
        pushes rows into it; a score that did so would prefer collapsed models to all others.
    """
    _checks.positive(temperature, "temperature")
    log_probs = _rows.log_probs(_rows.outputs(evaluation, "target").logits, temperature)
    probs = log_probs.exp()
    certainty = 1 + torch.exp((probs * log_probs).sum(dim=1))
    confusion = (certainty[:, None] * probs).T @ probs
    mass = confusion.sum(dim=1)
    kept = torch.where(mass > 0, confusion.diagonal() / mass.clamp_min(torch.finfo(mass.dtype).tiny), 0.0)
    return float((kept.mean() - 1).clamp_max(0))
