"""MaNo: a matrix norm of normalised logits."""

from __future__ import annotations

import math

from dalib import _checks
from dalib.evaluation import Evaluation
from dalib.validators import _rows


def mano_score(evaluation: Evaluation, *, power: float = 4.0, threshold: float = 5.0) -> float:
    r"""MaNo [1]_: the norm of the normalised target logits.

    .. math:: \Bigl(\frac1{mK} \sum_{jk} q_{jk}^p\Bigr)^{1/p}, \qquad q_{jk} = \frac{v(z_{jk})}{\sum_l v(z_{jl})}

    where :math:`v(z) = e^z`, the softmax, if its probabilities are far from uniform,

    .. math:: -\frac1{mK} \sum_{jk} \log \mathrm{softmax}(z_j)_k > \eta,

    and otherwise :math:`v(z) = 1 + z + z^2/2`, which trusts uncalibrated logits less. Confident predictions score high.

    Known failure: as with entropy, certain collapse reaches the maximum. In the second case the score depends on a
    constant added to the logits, and a strongly negative logit counts more than one of zero. The change from one case
    to the other between two checkpoints makes their scores hard to compare.

    Args:
        evaluation: Outputs on both domains; only the target's logits are read.
        power: The power :math:`p`, at least 1. Default 4, the paper's.
        threshold: The threshold :math:`\eta`. Default 5, the paper's.

    Returns:
        A number in ``[1 / K, K ** (-1 / p)]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation, or an option no number.
        ValueError: If there are no target rows or not finite ones, ``power`` is below 1 or infinite, or ``threshold`` NaN.

    References:
        .. [1] Xie et al. MaNo: Exploiting Matrix Norm for Unsupervised Accuracy Estimation Under Distribution Shifts.
           NeurIPS 2024.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.zeros(2, 4)  # uniform: 1 / 4
        >>> source = Outputs(logits, logits, labels=torch.zeros(2, dtype=torch.int64))
        >>> mano_score(Evaluation(source=source, target=Outputs(logits, logits)))
        0.25

    Note:
        The authors' code subtracts the smallest entry of a row from :math:`1 + z + z^2/2`, which is positive without,
        and averages over batches in training mode. skada's pipelines always take the softmax.
    """
    _checks.number(power, "power")
    _checks.number(threshold, "threshold")
    if not 1 <= power < math.inf:
        raise ValueError(f"power must be finite and at least 1, got {power:g}")
    if math.isnan(threshold):
        raise ValueError("threshold must be a number, got nan")
    logits = _rows.outputs(evaluation, "target").logits.double()
    log_probs = _rows.log_probs(logits)
    if float(-log_probs.mean()) > threshold:
        shares = log_probs.exp()
    else:
        scale = logits.abs().amax(dim=1, keepdim=True).clamp_min(1)  # so that the squares of large logits stay finite
        values = 1 / scale**2 + logits / scale / scale + (logits / scale) ** 2 / 2
        shares = values / values.sum(dim=1, keepdim=True)
    return float((shares**power).mean() ** (1 / power))
