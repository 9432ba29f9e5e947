"""Importance-weighted validation: source accuracy as the target would see it."""

from __future__ import annotations

from typing import Any

from dalib.evaluation import Evaluation
from dalib.validators import _rows
from dalib.validators._density_ratio import judged_weights


def iwcv_score(evaluation: Evaluation, *, ratio: Any = None) -> float:
    r"""Importance-weighted source accuracy [1]_.

    .. math:: \frac{\sum_i w_i \mathbf 1[\arg\max_k z_{ik} = y_i]}{\sum_i w_i}, \qquad w_i = \frac{p_t(x_i)}{p_s(x_i)}

    over the **held-out** source rows where the evaluation has some; the density ratio of the features is fitted on
    trained source rows and target rows. Where there are none, the trained rows are both, and the score is near 1 at
    every checkpoint, as :func:`~dalib.validators.source_accuracy_score` is.

    Known failure: it corrects for covariate shift, :math:`p_t(y|x) = p_s(y|x)`, in the space of features that are being
    trained; a model that aligns the wrong classes breaks that and keeps its score. Where the domains lie apart, few
    rows carry all the weight and the score is noise.

    Args:
        evaluation: Outputs on both domains.
        ratio: An estimator of ``dalib.weights`` with ``predict``, such as ``DomainClassifierWeights()``; its copy is
            fitted. Default: ridge logistic regression on the 32 largest principal components of at most 500 rows a
            domain.

    Returns:
        A number in ``[0, 1]``; larger is better; minus infinity if all weights are zero.

    Raises:
        TypeError: If ``evaluation`` is no evaluation, or ``ratio`` no such estimator.
        ValueError: If a domain has no rows, or not finite ones, or labels beyond the classes, or ``ratio`` predicts
            negative or infinite weights.

    References:
        .. [1] Sugiyama, Krauledat, Mueller. Covariate Shift Adaptation by Importance Weighted Cross Validation.
           JMLR 8, 2007.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        >>> logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [1.0, 0.0]])
        >>> source = Outputs(rows, logits, labels=torch.tensor([0, 1, 1, 0]))  # the third row is wrong
        >>> round(iwcv_score(Evaluation(source=source, target=Outputs(rows, logits))), 4)  # equal domains: plain accuracy
        0.75

    Note:
        The weights are normalised over the rows that judge; the paper divides by their number, which is unbiased,
        varies more and may exceed 1. skada estimates the ratio by kernel densities.
    """
    weights = judged_weights(evaluation, ratio)
    rows = _rows.judged(evaluation)
    assert rows.labels is not None  # Evaluation checked it
    wrong = rows.logits.argmax(dim=1) != rows.labels
    total = float(weights.sum())
    return max(1 - float(weights[wrong].sum()) / total, 0.0) if total > 0 else _rows.REJECTED
