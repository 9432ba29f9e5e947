"""Effective rank of the target features."""

from __future__ import annotations

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 1500
"""Rows at most: the eigenvalues of their product matrix bound the cost, however wide the features are."""


def rankme_score(evaluation: Evaluation) -> float:
    r"""Effective rank of the target features [1]_: the exponential of the entropy of their singular values.

    .. math:: \exp\Bigl(-\sum_k \pi_k \log \pi_k\Bigr), \qquad \pi_k = \frac{\sigma_k}{\sum_l \sigma_l}

    of the features as they are, not centred. ``d`` for orthonormal rows, 1 where all rows lie on a line. Above 1500
    rows, 1500 evenly spaced ones are read.

    Known failure: it looks at the representation alone. Noise in every direction has the highest rank, and adaptation
    that gathers each class in one point lowers it, since a good classifier needs no more than ``K`` directions.
    Compare checkpoints of one training with it rather than methods.

    Args:
        evaluation: Outputs on both domains; only the target's features are read.

    Returns:
        A number in ``[1, min(m, d)]``; larger is better; 0 if all features are zero.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows, or not finite ones.

    References:
        .. [1] Garrido et al. RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
           Representations by Their Rank. ICML 2023.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.eye(3)
        >>> source = Outputs(rows, rows, labels=torch.arange(3))
        >>> round(rankme_score(Evaluation(source=source, target=Outputs(rows, rows))), 4)
        3.0

    Note:
        The paper adds 1e-7 to every share, so that a logarithm of zero is avoided; here 0 log 0 = 0. Singular values
        below 1e-7 of the largest count as rounding, and as zero.
    """
    rows = _rows.evenly(_rows.outputs(evaluation, "target").features, _ROWS).double()
    rows = rows / rows.abs().amax().clamp_min(torch.finfo(rows.dtype).tiny)
    product = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    sizes = torch.linalg.eigvalsh(product)
    sizes = torch.where(sizes > 1e-14 * sizes[-1], sizes.clamp_min(0), 0.0).sqrt()
    total = sizes.sum()
    return float(torch.special.entr(sizes / total).sum().exp()) if total > 0 else 0.0
