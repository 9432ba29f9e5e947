"""Diversity of the target predictions."""

from __future__ import annotations

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows


def diversity_score(evaluation: Evaluation) -> float:
    r"""Entropy of the mean target prediction, in nats.

    .. math:: -\sum_k \bar p_k \log \bar p_k, \qquad \bar p = \frac1m \sum_j p_j

    High where the classes share the target evenly; 0 for a model that calls every row the same class. Known failure:
    uniform predictions, which say nothing, score as high as even and confident ones;
    :func:`~dalib.validators.information_maximization_score` is this less the rows' own entropy. A target whose classes
    are unequal is not best at the maximum.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.

    Returns:
        A number in ``[0, log(classes)]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows, or not finite ones.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.tensor([[99.0, 0.0], [0.0, 99.0]])  # one row a class: log 2
        >>> source = Outputs(logits, logits, labels=torch.tensor([0, 1]))
        >>> round(diversity_score(Evaluation(source=source, target=Outputs(logits, logits))), 4)
        0.6931
    """
    mean = _rows.target_log_probs(evaluation).exp().mean(dim=0)
    return float(torch.special.entr(mean).sum().clamp_min(0))
