"""Correlation of the predicted classes."""

from __future__ import annotations

import math

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows


def softmax_corr_score(evaluation: Evaluation) -> float:
    r"""SoftmaxCorr [1]_: cosine between the class correlations of the target predictions and the identity.

    .. math:: \frac{\mathrm{tr}(P^\top P)}{\sqrt K \, \|P^\top P\|_F}

    1 where predictions are certain and every class has the same share; :math:`1/\sqrt K` both for uniform predictions
    and for certain collapse into one class. Known failure: it prefers equal class shares, and confident wrong
    predictions score as well as right ones.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.

    Returns:
        A number in ``[1 / sqrt(K), 1]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows, or not finite ones.

    References:
        .. [1] Tu et al. Assessing Model Out-of-distribution Generalization with Softmax Prediction Probability
           Baselines and A Correlation Method. 2023.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.tensor([[99.0, 0.0], [99.0, 0.0], [0.0, 99.0]])  # P'P = diag(2, 1): 3 / sqrt(2 * 5)
        >>> source = Outputs(logits, logits, labels=torch.tensor([0, 0, 1]))
        >>> round(softmax_corr_score(Evaluation(source=source, target=Outputs(logits, logits))), 4)
        0.9487

    Note:
        Published comparisons call it Corr-C. The code beside the MixVal paper says that the smallest value of a form
        without the norm is best; here larger is better, by the definition.
    """
    probs = _rows.target_log_probs(evaluation).exp()
    correlations = probs.T @ probs
    size = math.sqrt(correlations.shape[0]) * float(torch.linalg.matrix_norm(correlations))
    return min(float(correlations.trace()) / size, 1.0)
