"""Circular validation on features: from the predicted target back to the source."""

from __future__ import annotations

import warnings
from typing import Any

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 2000


def circular_score(evaluation: Evaluation, *, classifier: Any = None) -> float:
    r"""Circular (reverse) validation [1]_ on the features: how well the predicted target teaches the source.

    .. math:: \frac1n \sum_i \mathbf 1[g(s_i) = y_i], \qquad g \text{ trained on } (t_j, \hat y_j)

    A classifier is trained on target features with the *predicted* classes and judged on source rows with their
    labels, the held-out ones where the evaluation has some. If the predictions are right and classes lie at the same
    place in both domains, it finds the source classes. At most 2000 evenly spaced target rows are read.

    Where all rows are predicted alike, the score is the share of that class among the source rows. Known failure: what
    was published adapts anew in the other direction; with the features held fixed, a consistent exchange of two classes
    in the target costs as much as it should, but features that were pulled to the wrong source class score well.

    Args:
        evaluation: Outputs on both domains.
        classifier: A scikit-learn classifier; it is cloned. Default: logistic regression on standardised features.

    Returns:
        A number in ``[0, 1]``; larger is better.

    Raises:
        TypeError: If ``evaluation`` is no evaluation.
        ValueError: If a domain has no rows, or not finite ones, or labels beyond the classes.

    References:
        .. [1] Bruzzone, Marconcini. Domain Adaptation Problems: A DASVM Classification Technique and a Circular
           Validation Strategy. IEEE TPAMI 32(5), 2010.

    Example:
        >>> import torch
        >>> from dalib.outputs import Outputs
        >>> rows = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        >>> right, turned = torch.cat([-rows, rows], dim=1), torch.cat([rows, -rows], dim=1)
        >>> source = Outputs(rows, right, labels=torch.tensor([0, 0, 1, 1]))
        >>> [circular_score(Evaluation(source=source, target=Outputs(rows, logits))) for logits in (right, turned)]
        [1.0, 0.0]
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    target, judged = _rows.outputs(evaluation, "target"), _rows.judged(evaluation)
    assert judged.labels is not None  # Evaluation checked it
    predicted = _rows.evenly(target.logits, _ROWS).argmax(dim=1)
    if bool((predicted == predicted[0]).all()):
        return float((judged.labels == predicted[0]).double().mean())
    if classifier is None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    rows = _rows.evenly(target.features, _ROWS).double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of the slopes do not matter here
        fitted = clone(classifier).fit(rows, predicted.numpy())
    found = fitted.predict(judged.features.double().numpy())
    return float((found == judged.labels.numpy()).mean())
