"""Distances between the domains' features at a checkpoint: they describe, they do not select."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dalib.evaluation import Evaluation
from dalib.losses.mmd import mmd_loss
from dalib.validators import _rows

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
    source, target = _features(evaluation)
    largest = float(torch.maximum(source.abs().amax(), target.abs().amax()))
    scale = 2.0 ** math.frexp(largest)[1]  # a power of two changes no digit; squares of 1e25 are beyond float32
    source, target = ((features.double() / scale).to(features.dtype) for features in (source, target))
    return float(mmd_loss(source, target).sqrt())


def coral_distance(evaluation: Evaluation) -> float:
    r"""Distance between source and target covariances, per feature and free of scale.

    .. math:: \frac{\|C_s - C_t\|_F}{\|C_s\|_F + \|C_t\|_F}

    At most 1000 evenly spaced rows a domain are read. Free of scale, so that it cannot be made small by shrinking
    the features, as :func:`dalib.losses.coral_loss` can.

    Args:
        evaluation: Outputs on both domains.

    Returns:
        A number in ``[0, 1]``; smaller means more alike; 0 where both covariances are zero, as that of a
        single row is.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.tensor([[-1.0], [1.0]])  # variances 2 and 2 * 3^2: (18 - 2) / (18 + 2)
        >>> source = Outputs(rows, rows, labels=torch.zeros(2, dtype=torch.int64))
        >>> round(coral_distance(Evaluation(source=source, target=Outputs(3 * rows, rows))), 4)
        0.8
    """
    source, target = (_covariance(features.double()) for features in _features(evaluation))
    scale = float(torch.linalg.matrix_norm(source) + torch.linalg.matrix_norm(target))
    return float(torch.linalg.matrix_norm(source - target)) / scale if scale > 0 else 0.0


def _covariance(rows: Tensor) -> Tensor:
    """The covariance, zero for a single row."""
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / max(rows.shape[0] - 1, 1)


def _features(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    source, target = (_rows.evenly(_rows.outputs(evaluation, name).features, _ROWS) for name in ("source", "target"))
    return source, target
