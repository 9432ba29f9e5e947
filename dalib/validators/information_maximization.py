"""Information maximisation: confident and diverse target predictions."""

from __future__ import annotations

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows


def information_maximization_score(evaluation: Evaluation) -> float:
    r"""Mutual information of target row and predicted class [1]_, in nats.

    .. math:: H(\bar p) - \frac1m \sum_j H(p_j), \qquad \bar p = \frac1m \sum_j p_j

    Predictions that are confident row by row *and* spread over the classes score high; a model that predicts one class
    everywhere scores 0. Known failure: the first term prefers equal class shares, so on a target with unbalanced
    classes the best score is not the best model; and confident wrong predictions score as well as right ones.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.

    Returns:
        A number in ``[0, log(classes)]``; larger is better.

    References:
        .. [1] Shi, Sha. Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain
           Adaptation. ICML 2012.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.tensor([[99.0, 0.0], [0.0, 99.0]])  # certain, one row a class: log 2
        >>> source = Outputs(logits, logits, labels=torch.tensor([0, 1]))
        >>> round(information_maximization_score(Evaluation(source=source, target=Outputs(logits, logits))), 4)
        0.6931
    """
    log_probs = _rows.target_log_probs(evaluation)
    probs = log_probs.exp()
    conditional = -(probs * log_probs).sum(dim=1).mean()
    marginal = torch.special.entr(probs.mean(dim=0)).sum()
    return float((marginal - conditional).clamp_min(0))  # below zero only by rounding
