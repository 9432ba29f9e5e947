"""Distances between the domains' features at a checkpoint: they describe, they do not select."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib.evaluation import Evaluation
from dalib.losses.coral import coral_loss
from dalib.losses.mmd import mmd_loss

_ROWS = 1000
"""Rows a domain at most: a kernel matrix of 2000 rows takes 32 MB and a tenth of a second."""


def mmd_distance(evaluation: Evaluation) -> float:
    r"""Maximum mean discrepancy between source and target features: the root of :func:`dalib.losses.mmd_loss`.

    At most 1000 evenly spaced rows a domain are read. A small distance shows that the features are aligned, not that
    the classes are: it is recorded beside the scores and selects nothing.

    Args:
        evaluation: Outputs on both domains.

    Returns:
        A number in ``[0, sqrt(2)]``; smaller means more alike.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.eye(3)
        >>> source = Outputs(rows, rows, labels=torch.arange(3))
        >>> mmd_distance(Evaluation(source=source, target=Outputs(rows, rows)))
        0.0
    """
    return float(mmd_loss(_rows(evaluation.source.features), _rows(evaluation.target.features)).sqrt())


def coral_distance(evaluation: Evaluation) -> float:
    r"""Distance between source and target covariances, per feature and free of scale.

    .. math:: \frac{\|C_s - C_t\|_F}{\|C_s\|_F + \|C_t\|_F}

    At most 1000 evenly spaced rows a domain are read. Free of scale, so that it cannot be made small by shrinking
    the features, as :func:`dalib.losses.coral_loss` can.

    Args:
        evaluation: Outputs on both domains.

    Returns:
        A number in ``[0, 1]``; smaller means more alike; 0 where both covariances are zero.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.tensor([[-1.0], [1.0]])  # variances 2 and 2 * 3^2: (18 - 2) / (18 + 2)
        >>> source = Outputs(rows, rows, labels=torch.zeros(2, dtype=torch.int64))
        >>> round(coral_distance(Evaluation(source=source, target=Outputs(3 * rows, rows))), 4)
        0.8
    """
    source, target = (_rows(outputs.features) for outputs in (evaluation.source, evaluation.target))
    scale = _size_of_covariance(source) + _size_of_covariance(target)
    difference = (
        2 * source.shape[1] * float(coral_loss(source.double(), target.double())) ** 0.5
    )  # loss = ||.||^2 / 4d^2
    return difference / scale if scale > 0 else 0.0


def _size_of_covariance(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(torch.cov(rows.double().T)))


def _rows(features: Tensor) -> Tensor:
    if features.shape[0] <= _ROWS:
        return features
    return features[torch.linspace(0, features.shape[0] - 1, _ROWS).round().long()]
