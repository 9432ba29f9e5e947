"""Soft neighbourhood density."""

from __future__ import annotations

import torch

from dalib import _checks
from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 1000
"""Rows at most: three square matrices of them take 24 MB and two hundredths of a second."""


def snd_score(evaluation: Evaluation, *, temperature: float = 0.05) -> float:
    r"""Soft neighbourhood density [1]_: how many neighbours a target row has among the predictions, in nats.

    .. math:: \frac1m \sum_i H(q_i), \qquad q_{ij} \propto \exp\Bigl(\frac{p_i^\top p_j}{\|p_i\| \|p_j\| T}\Bigr), \; j \ne i

    with the predicted probabilities :math:`p`. Rows in large tight clusters of predictions have many neighbours that
    are equally near. Above 1000 rows, 1000 evenly spaced ones are read.

    Known failure: a model that predicts the same for every row reaches the maximum, whatever it predicts. Of all
    validators it is the one that most needs :func:`~dalib.validators.guarded`, or a floor of the source accuracy.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.
        temperature: The temperature :math:`T`, positive. Default 0.05, the paper's.

    Returns:
        A number in ``[0, log(m - 1)]`` for ``m`` rows; larger is better; 0 for a single row.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows or not finite ones, or ``temperature`` is not positive.

    References:
        .. [1] Saito et al. Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood
           Density. ICCV 2021.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.zeros(5, 2)  # four equal neighbours: log 4
        >>> source = Outputs(logits, logits, labels=torch.zeros(5, dtype=torch.int64))
        >>> round(snd_score(Evaluation(source=source, target=Outputs(logits, logits))), 4)
        1.3863

    Note:
        The authors' code leaves the row itself in, with similarity -1 instead of 1: its share is
        :math:`e^{-1/T}` against at least 1 of each other row, and the value differs by less than a millionth.
        The code of MixVal passes logits instead of probabilities.
    """
    _checks.positive(temperature, "temperature")
    directions = _rows.directions(_rows.target_log_probs(evaluation, _ROWS).exp())
    if directions.shape[0] == 1:
        return 0.0
    similarities = (directions @ directions.T) / temperature
    similarities.fill_diagonal_(-torch.inf)
    sums = similarities.logsumexp(dim=1, keepdim=True)
    shares = (similarities - sums).exp_()
    similarities.fill_diagonal_(0)  # 0 * -inf would be NaN; the share is 0
    return float((sums.squeeze(1) - torch.linalg.vecdot(shares, similarities)).mean().clamp_min(0))
