"""Agreement of target predictions with the labels of the nearest source rows."""

from __future__ import annotations

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 1000
"""Rows of each domain at most."""


def nearest_source_score(evaluation: Evaluation) -> float:
    r"""Share of target rows that are predicted as the class of their nearest source row.

    .. math:: \frac1m \sum_j \mathbf 1[\hat y_j = y_{i(j)}], \qquad
        i(j) = \arg\max_i \frac{s_i^\top t_j}{\|s_i\| \, \|t_j\|}

    in the space of the features. Where several source rows are equally near (cosines within 1e-6) it is the share of
    them that have the predicted class. At most 1000 evenly spaced rows of each domain are read.

    Known failure: it says that head and features agree, not that they are right. Features that gather each target
    cluster around the wrong source class score 1.

    Args:
        evaluation: Outputs on both domains; the trained source rows are the neighbours.

    Returns:
        A number in ``[0, 1]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If a domain has no rows, or not finite ones, or labels beyond the classes.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> source = Outputs(torch.eye(2), torch.eye(2), labels=torch.tensor([0, 1]))
        >>> near = torch.tensor([[1.0, 0.1], [0.9, 0.0], [0.2, 1.0], [0.0, 3.0]])
        >>> predicted = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])  # the second is called 1
        >>> nearest_source_score(Evaluation(source=source, target=Outputs(near, predicted)))
        0.75

    Note:
        The validator of this name in pytorch-adapt is another: the accuracy of the *source* rows that are nearest to
        the target.
    """
    source, target = _rows.outputs(evaluation, "source"), _rows.outputs(evaluation, "target")
    assert source.labels is not None  # Evaluation checked it
    neighbours = _rows.directions(_rows.evenly(source.features, _ROWS)).float()
    rows = _rows.directions(_rows.evenly(target.features, _ROWS)).float()
    predicted = _rows.evenly(target.logits, _ROWS).argmax(dim=1)
    cosines = rows @ neighbours.T
    nearest = cosines >= cosines.amax(dim=1, keepdim=True) - 1e-6
    same = nearest & (predicted[:, None] == _rows.evenly(source.labels, _ROWS)[None, :])
    return float((same.sum(dim=1) / nearest.sum(dim=1)).double().mean())
