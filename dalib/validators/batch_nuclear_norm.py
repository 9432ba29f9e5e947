"""Nuclear norm of the target predictions."""

from __future__ import annotations

import math

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 3000
"""Rows at most: singular values of a matrix of them with some hundred columns take a tenth of a second."""


def bnm_score(evaluation: Evaluation) -> float:
    r"""Nuclear norm of the matrix of target predictions [1]_ [2]_ as a share of the largest possible.

    .. math:: \frac{\|P\|_*}{\sqrt{m \min(m, K)}}

    for ``m`` rows and ``K`` classes: the sum of the singular values. It is large where predictions are confident *and*
    spread over the classes: 1 for certain predictions with equal shares, :math:`1/\sqrt K` for certain collapse and
    :math:`1/K` for uniform predictions (``m >= K``). Above 3000 rows, 3000 evenly spaced ones are read.

    Known failure: it prefers equal class shares, and confident wrong predictions score as well as right ones. Methods
    that maximise the nuclear norm themselves are flattered.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.

    Returns:
        A number in ``(0, 1]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows, or not finite ones.

    References:
        .. [1] Cui et al. Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label
           Insufficient Situations. CVPR 2020.
        .. [2] Musgrave, Belongie, Lim. Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
           Domain Adaptation. arXiv:2208.07360, 2022.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.zeros(8, 4)  # uniform: 1 / 4
        >>> source = Outputs(logits, logits, labels=torch.zeros(8, dtype=torch.int64))
        >>> round(bnm_score(Evaluation(source=source, target=Outputs(logits, logits))), 4)
        0.25

    Note:
        The training loss of [1]_ divides the norm by ``m``; for one target set that is this score times a constant,
        which depends on ``m`` and ``K``.
    """
    probs = _rows.target_log_probs(evaluation, _ROWS).exp()
    return min(float(torch.linalg.svdvals(probs).sum()) / math.sqrt(probs.shape[0] * min(probs.shape)), 1.0)
