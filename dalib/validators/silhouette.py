"""Silhouette of the target features under the predicted classes."""

from __future__ import annotations

import torch

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 800
"""Rows at most: all their distances are needed."""


def silhouette_score(evaluation: Evaluation) -> float:
    r"""Mean silhouette [1]_ of the target features, grouped by predicted class.

    .. math:: \frac1m \sum_i \frac{b_i - a_i}{\max(a_i, b_i)}

    with :math:`a_i` the mean distance of row ``i`` to the other rows of its class and :math:`b_i` the smallest mean
    distance to the rows of another class. A row that is alone in its class, or equal to all others, counts 0. Above
    800 rows, 800 evenly spaced ones are read.

    Known failure: few predicted classes far apart score better than many near ones, right or wrong. Where all rows are
    predicted alike there is no other class: the score is minus infinity, which selection never picks.

    Args:
        evaluation: Outputs on both domains; only the target's are read.

    Returns:
        A number in ``[-1, 1]``, or minus infinity; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows, or not finite ones.

    References:
        .. [1] Rousseeuw. Silhouettes: A Graphical Aid to the Interpretation and Validation of Cluster Analysis.
           Journal of Computational and Applied Mathematics 20, 1987.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> rows = torch.tensor([[0.0], [1.0], [4.0], [5.0]])  # (4.5 - 1) / 4.5 and (3.5 - 1) / 3.5, twice
        >>> source = Outputs(rows, logits, labels=torch.tensor([0, 0, 1, 1]))
        >>> round(silhouette_score(Evaluation(source=source, target=Outputs(rows, logits))), 4)
        0.746

    Note:
        The value is scikit-learn's where that is defined; it raises an error where every row is alone in its class
        (here 0) or all are in one. ClassSS of Musgrave et al. scales the features to length one first.
    """
    target = _rows.outputs(evaluation, "target")
    predicted = _rows.evenly(target.logits, _ROWS).argmax(dim=1)
    own = ((torch.bincount(predicted) > 0).cumsum(dim=0) - 1)[predicted]  # numbered without gaps
    member = torch.nn.functional.one_hot(own).double()
    if member.shape[1] == 1:
        return _rows.REJECTED
    sizes = member.sum(dim=0)
    rows = _rows.evenly(target.features, _ROWS).double()
    rows = rows - rows.mean(dim=0)  # distances by a product lose digits far from zero
    to_class = torch.cdist(rows, rows).fill_diagonal_(0) @ member
    own_sum = to_class.gather(1, own[:, None]).squeeze(1)
    inside = own_sum / (sizes[own] - 1).clamp_min(1)
    outside = (to_class / sizes).masked_fill(member.bool(), torch.inf).amin(dim=1)
    largest = torch.maximum(inside, outside)
    values = torch.where((sizes[own] > 1) & (largest > 0), (outside - inside) / largest.clamp_min(1e-300), 0.0)
    return float(values.mean())
