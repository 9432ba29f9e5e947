"""Deep embedded validation with normalised weights."""

from __future__ import annotations

from typing import Any

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows
from dalib.validators._density_ratio import judged_weights


def devn_score(evaluation: Evaluation, *, ratio: Any = None) -> float:
    r"""Minus the risk of deep embedded validation with normalised weights [1]_.

    .. math:: -\frac1n \sum_i v_i l_i, \qquad v_i = \frac{w_i - \bar w}{\max_k w_k} + 1, \qquad
        w_i = \frac{p_t(x_i)}{p_s(x_i)}

    with the cross entropy :math:`l_i` of the **held-out** source rows where the evaluation has some, else of the
    trained ones. The weights lie in ``(0, 2)`` and have mean one, so that the control variate of
    :func:`~dalib.validators.dev_score` vanishes and no row counts for more than two.

    Known failure: as of :func:`~dalib.validators.dev_score`; where one weight is far above the others, all others are
    near one and the score is the plain source risk.

    Args:
        evaluation: Outputs on both domains.
        ratio: An estimator of ``dalib.weights`` with ``predict``, such as ``DomainClassifierWeights()``; its copy is
            fitted. Default: ridge logistic regression on the 32 largest principal components of at most 500 rows a
            domain.

    Returns:
        A number in ``[-max l, 0]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation, or ``ratio`` no such estimator.
        ValueError: If a domain has no rows, or not finite ones, or labels beyond the classes, or ``ratio`` predicts
            negative or infinite weights.

    References:
        .. [1] Musgrave, Belongie, Lim. Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
           Domain Adaptation. arXiv:2208.07360, 2022.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows, logits = torch.arange(4.0)[:, None], torch.zeros(4, 2)
        >>> source = Outputs(rows, logits, labels=torch.tensor([0, 1, 1, 0]))
        >>> round(devn_score(Evaluation(source=source, target=Outputs(rows, logits))), 4)  # equal domains: -log 2
        -0.6931

    Note:
        pytorch-adapt also offers to divide by the standard deviation, which gives some rows a negative weight.
    """
    weights = judged_weights(evaluation, ratio)
    losses = _rows.judged_losses(evaluation)
    largest = weights.max()
    normal = (weights - weights.mean()) / largest + 1 if largest > 0 else torch.ones_like(weights)
    return -float((normal * losses).mean())
