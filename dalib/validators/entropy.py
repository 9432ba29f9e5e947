"""Negative entropy of the target predictions."""

from __future__ import annotations

from dalib.evaluation import Evaluation
from dalib.validators import _rows


def entropy_score(evaluation: Evaluation) -> float:
    r"""Minus the mean entropy of the target predictions, in nats.

    .. math:: \frac1m \sum_j \sum_k p_{jk} \log p_{jk}

    Confident target predictions score high. Known failure: a model that calls every target row the same class with
    certainty reaches the maximum 0; :func:`~dalib.validators.information_maximization_score` does not have that
    maximum. Methods that minimise target entropy themselves (entropy minimisation, MCC) are flattered.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.

    Returns:
        A number in ``[-log(classes), 0]``; larger is better.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> even = torch.zeros(3, 2)
        >>> source = Outputs(even, even, labels=torch.zeros(3, dtype=torch.int64))
        >>> round(entropy_score(Evaluation(source=source, target=Outputs(even, even))), 4)  # -log 2
        -0.6931

    Note:
        skada averages over all ``m * classes`` entries, which divides the score by the number of classes.
    """
    log_probs = _rows.target_log_probs(evaluation)
    return float((log_probs.exp() * log_probs).sum(dim=1).mean())
