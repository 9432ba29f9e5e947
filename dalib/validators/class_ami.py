"""Agreement of predicted classes and clusters of the features."""

from __future__ import annotations

from dalib.evaluation import Evaluation
from dalib.validators import _rows
from dalib.validators._clusters import clusters

_ROWS = 1000
"""Rows at most: k-means on them takes a few hundredths of a second."""


def class_ami_score(evaluation: Evaluation) -> float:
    r"""ClassAMI [1]_: adjusted mutual information of predicted classes and k-means clusters of the target features.

    .. math:: \frac{I(\hat y, c) - E[I]}{\tfrac12 (H(\hat y) + H(c)) - E[I]}

    with as many clusters as classes, of features scaled to length one; :math:`E[I]` is the mean over random labellings
    of the same sizes. 1 where each predicted class is one cluster; near 0 where they have nothing to do with each
    other, and 0 where all rows are predicted alike or all features are equal. Above 1000 rows, 1000 evenly spaced ones
    are read. It needs scikit-learn.

    Known failure: clusters that join two classes, and predictions that follow them, score well: nothing says that the
    clusters have the right names. k-means starts from a seeded draw, so another order of the rows moves the score a
    little.

    Args:
        evaluation: Outputs on both domains; only the target's are read.

    Returns:
        A number up to 1, negative below chance; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If there are no target rows, or not finite ones.

    References:
        .. [1] Musgrave, Belongie, Lim. Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
           Domain Adaptation. arXiv:2208.07360, 2022.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.eye(2).repeat(4, 1)  # two clusters, and the classes are the same two
        >>> source = Outputs(rows, rows, labels=torch.arange(8) % 2)
        >>> round(class_ami_score(Evaluation(source=source, target=Outputs(rows, rows))), 4)
        1.0

    Note:
        scikit-learn calls two constant labellings a perfect agreement, which would prefer a collapsed model.
        pytorch-adapt clusters with ten starts; here it is one.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    target = _rows.outputs(evaluation, "target")
    logits = _rows.evenly(target.logits, _ROWS)
    predicted = logits.argmax(dim=1)
    rows = _rows.directions(_rows.evenly(target.features, _ROWS)).float()
    found = clusters(rows, min(logits.shape[1], rows.shape[0]))
    if any(bool((labels == labels[0]).all()) for labels in (predicted, found)):
        return 0.0
    return float(adjusted_mutual_info_score(predicted.numpy(), found.numpy()))
