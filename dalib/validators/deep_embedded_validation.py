"""Deep embedded validation: the importance-weighted risk with a control variate."""

from __future__ import annotations

from typing import Any

from dalib.evaluation import Evaluation
from dalib.validators import _rows
from dalib.validators._density_ratio import judged_weights

_EQUAL = 1e-12
"""Weights whose range is below this share of the largest differ by rounding."""


def dev_score(evaluation: Evaluation, *, ratio: Any = None) -> float:
    r"""Minus the risk of deep embedded validation [1]_.

    .. math:: -\Bigl(\frac1n \sum_i w_i l_i + \eta \frac1n \sum_i w_i - \eta\Bigr), \qquad
        \eta = -\frac{\mathrm{Cov}(w l, w)}{\mathrm{Var}(w)}, \qquad w_i = \frac{p_t(x_i)}{p_s(x_i)}

    with the cross entropy :math:`l_i` of the **held-out** source rows where the evaluation has some, else of the
    trained ones. The mean of the true weights is 1, so the second part has mean zero and takes away variance.

    Guarded: the target's risk is a weighted mean of losses, so the estimate is held between the smallest and the
    largest :math:`l_i`, and where all weights are equal up to rounding :math:`\eta` is 0. Without it a nearly constant
    ratio whose mean is not 1 gives a risk of any size, and such a checkpoint wins.

    Known failure: as of :func:`~dalib.validators.iwcv_score`; and cross entropy rewards well-calibrated predictions,
    so that a model of higher accuracy may score lower.

    Args:
        evaluation: Outputs on both domains.
        ratio: An estimator of ``dalib.weights`` with ``predict``, such as ``DomainClassifierWeights()``; its copy is
            fitted. Default: ridge logistic regression on the 32 largest principal components of at most 500 rows a
            domain.

    Returns:
        A number in ``[-max l, -min l]``, at most 0; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation, or ``ratio`` no such estimator.
        ValueError: If a domain has no rows, or not finite ones, or labels beyond the classes, or ``ratio`` predicts
            negative or infinite weights.

    References:
        .. [1] You et al. Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation. ICML 2019.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows, logits = torch.arange(4.0)[:, None], torch.zeros(4, 2)
        >>> source = Outputs(rows, logits, labels=torch.tensor([0, 1, 1, 0]))
        >>> round(dev_score(Evaluation(source=source, target=Outputs(rows, logits))), 4)  # equal domains: -log 2
        -0.6931

    Note:
        The authors train nine networks on the domain and keep the most accurate; their code and pytorch-adapt's
        divide zero by zero at constant weights. Neither bounds the risk.
    """
    weights = judged_weights(evaluation, ratio)
    losses = _rows.judged_losses(evaluation)
    largest, eta = float(weights.max()), 0.0
    if largest - float(weights.min()) > _EQUAL * largest:
        shares = weights / largest  # their squares cannot leave the range
        centred, products = shares - shares.mean(), shares * losses
        eta = -float(centred @ (products - products.mean())) / float(centred @ centred)
    risk = float((weights * losses).mean()) + eta * (float(weights.mean()) - 1)
    return -min(max(risk, float(losses.min())), float(losses.max()))
