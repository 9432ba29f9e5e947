"""Importance-weighted cross-validation: a scorer that judges source rows as the target would."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dalib.weights import _importance

Scorer = Callable[[Any, ArrayLike, ArrayLike], float]


def importance_weighted_scorer(
    metric: Callable[..., float],
    ratio: Any,
    *,
    preprocess: Any = None,
    probabilities: bool = False,
    greater_is_better: bool = True,
) -> Scorer:
    r"""A scikit-learn scorer for importance-weighted cross-validation [1]_.

    .. math:: \frac{\sum_i w(x_i)\, \ell(f(x_i), y_i)}{\sum_i w(x_i)}

    over the held-out source rows, with :math:`w = p_t/p_s`: under covariate shift it estimates the value of the metric
    on the target without a target label. Pass it as ``scoring=`` to ``cross_val_score`` or ``GridSearchCV``, and
    ``cv=WeightedKFold(ratio.weights_)`` where weights are uneven.

    Args:
        metric: ``(true, predicted, sample_weight=) -> float`` that averages over rows, for example
            ``sklearn.metrics.accuracy_score`` or ``mean_squared_error``.
        ratio: An estimator of importance weights that is fitted on all source and target rows and has ``predict``.
        preprocess: The fitted transformer that made the rows which the ratio was fitted on; imputation and
            standardisation, for instance. The model gets the rows as they are. Default: none.
        probabilities: Pass ``predict_proba`` of the model to the metric instead of ``predict``. Default ``False``.
        greater_is_better: ``False`` for a loss, whose sign is then turned. Default ``True``.

    Returns:
        The scorer ``(model, X, y) -> float``. It can be pickled if metric and ratio can.

    Raises:
        TypeError: If the ratio has no ``predict``: its weights exist for its own rows only; if ``preprocess`` cannot
            transform.

    References:
        .. [1] Sugiyama, Krauledat, Mueller. Covariate Shift Adaptation by Importance Weighted Cross Validation.
            JMLR 8, 2007.

    Example:
        The model errs on the first row alone, whose weight is 0.5 of 2:

        >>> from sklearn.dummy import DummyClassifier
        >>> from sklearn.metrics import accuracy_score
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from dalib.weights import DomainClassifierWeights
        >>> stump = DecisionTreeClassifier(max_depth=1)
        >>> ratio = DomainClassifierWeights(stump).fit([[0.0], [0.0], [1.0], [1.0]], [[0.0], [1.0], [1.0], [1.0]])
        >>> scorer = importance_weighted_scorer(accuracy_score, ratio)
        >>> scorer(DummyClassifier().fit([[0.0]], ["b"]), [[0.0], [1.0]], ["a", "b"])
        0.75

    Note:
        The weights are normalised over the rows that are scored; the paper divides by their number instead, which is
        unbiased and varies more.
    """
    if not callable(metric):
        raise TypeError(f"metric must be a function, got {type(metric).__name__}; pass sklearn.metrics.accuracy_score")
    if isinstance(ratio, type):
        raise TypeError(f"ratio must be a fitted estimator, got the class {ratio.__name__}")
    if not hasattr(ratio, "predict"):
        raise TypeError(
            f"ratio must have predict, to weigh held-out rows, got {type(ratio).__name__}; "
            "use DomainClassifierWeights, KLIEP, ULSIF or RuLSIF"
        )
    if preprocess is not None and not hasattr(preprocess, "transform"):
        raise TypeError(f"preprocess must be a fitted transformer, got {type(preprocess).__name__}")
    return partial(
        _score,
        metric=metric,
        ratio=ratio,
        preprocess=preprocess,
        probabilities=probabilities,
        sign=1.0 if greater_is_better else -1.0,
    )


def _score(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    metric: Callable[..., float],
    ratio: Any,
    preprocess: Any,
    probabilities: bool,
    sign: float,
) -> float:
    predicted = model.predict_proba(X) if probabilities else model.predict(X)
    rows = X if preprocess is None else preprocess.transform(X)
    found = np.asarray(ratio.predict(rows))
    if not found.any():
        raise ValueError(
            "the weights of the held-out rows must not be all zero; deal rows by weight: cv=WeightedKFold(ratio.weights_)"
        )
    weights = _importance.row_weights(found, "the weights of the held-out rows", np.shape(predicted)[0])
    return sign * float(metric(y, predicted, sample_weight=weights))
