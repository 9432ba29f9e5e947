"""The density ratio of a classifier that tells target rows from source rows."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dalib.weights import _arrays, _domains, _importance

Array = NDArray[np.float64]

_REMEDY = "regularise the classifier more, raise clip, or flatten the weights"


class DomainClassifierWeights(BaseEstimator):  # type: ignore[misc]
    r"""Importance weights from a probabilistic classifier of the domain [1]_.

    .. math:: w(x) = \frac{p_t(x)}{p_s(x)} = \frac nm \cdot \frac{P(\text{target} \mid x)}{P(\text{source} \mid x)}

    The classifier is trained on the ``n`` source rows (class 0) and ``m`` target rows (class 1). Rows that look like
    the target get weights above one. Probabilities are held in :math:`[c, 1-c]`; ``weights_`` is divided by its mean.

    Args:
        classifier: Any scikit-learn classifier with ``predict_proba``; it is cloned. Default: logistic regression on
            standardised features. A penalty pulls the weights towards one.
        cv: Cross-fitting: number of folds, or a scikit-learn splitter that holds out every row once. Each source row is
            then weighted by a classifier that was not trained on it, which flexible classifiers need. Default: no
            cross-fitting.
        calibration: ``"sigmoid"`` or ``"isotonic"``: scikit-learn's ``CalibratedClassifierCV`` wraps the classifier.
            Default: probabilities as the classifier gives them.
        clip: The bound ``c``, in ``(0, 0.5)``. Default 1e-6.
        random_state: Seed of the shuffled folds where ``cv`` is a number. Default 0.

    Attributes:
        weights_: One weight a source row, shape ``(n,)``, mean one.
        classifier_: The classifier trained on all rows of both domains.
        scale_: Mean of the estimated ratio over the source rows, by which the weights were divided; near one for a
            calibrated classifier.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where the source is a DataFrame.

    Raises:
        TypeError: If a domain is not array-like, or the classifier has no ``predict_proba``.
        ValueError: If a domain is not a finite matrix, the widths differ, or an option is out of range.

    References:
        .. [1] Bickel, Brueckner, Scheffer. Discriminative Learning for Differing Training and Test Distributions.
            ICML 2007.

    Example:
        With a decision stump the ratio is that of the counts: half of the source lies left, a quarter of the target.

        >>> from sklearn.tree import DecisionTreeClassifier
        >>> stump = DecisionTreeClassifier(max_depth=1)
        >>> source, target = [[0.0], [0.0], [1.0], [1.0]], [[0.0], [1.0], [1.0], [1.0]]
        >>> DomainClassifierWeights(stump).fit(source, target).weights_
        array([0.5, 0.5, 1.5, 1.5])

    Note:
        ADAPT leaves out ``n/m``; skada divides the other way round, which inverts the weights.
        The factor matters for ``score_samples`` alone: dividing by the mean cancels it in ``weights_``.
    """

    def __init__(
        self,
        classifier: Any = None,
        *,
        cv: Any = None,
        calibration: str | None = None,
        clip: float = 1e-6,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.classifier = classifier
        self.cv = cv
        self.calibration = calibration
        self.clip = clip
        self.random_state = random_state

    def fit(self, source: ArrayLike, target: ArrayLike) -> Self:
        """Learn ``weights_`` from the rows of both domains, shapes ``(n, d)`` and ``(m, d)``."""
        X, Z = _domains.two_domains(self, source, target)
        if not 0.0 < _arrays.number(self.clip, "clip") < 0.5:
            raise ValueError(f"clip must lie between 0 and 0.5, got {self.clip}")
        if self.calibration not in (None, "sigmoid", "isotonic"):
            raise ValueError(f"calibration must be None, 'sigmoid' or 'isotonic', got {self.calibration!r}")
        rows = np.concatenate([X, Z])
        domain = np.repeat([0, 1], [len(X), len(Z)])
        self._log_prior = math.log(len(X) / len(Z))
        self.classifier_ = self._new_classifier().fit(rows, domain)
        log_ratios = self._log_ratios(self.classifier_, X)
        if self.cv is not None:
            log_ratios = self._cross_fitted(X, rows, domain)
        self.weights_, self.scale_ = _importance.mean_one(np.exp(log_ratios), remedy=_REMEDY)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Weights of new rows on the scale of ``weights_``, shape ``(rows,)``."""
        return np.exp(self.score_samples(X)) / self.scale_

    def score_samples(self, X: ArrayLike) -> Array:
        """Logarithm of the estimated ratio of the densities, target over source, of new rows, shape ``(rows,)``."""
        new = _domains.rows(self, X)
        return self._log_ratios(self.classifier_, new)

    def _new_classifier(self) -> Any:
        classifier = self.classifier
        if classifier is None:
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        if not hasattr(classifier, "predict_proba"):
            raise TypeError(
                f"classifier must have predict_proba, got {type(classifier).__name__}; "
                "wrap it in sklearn.calibration.CalibratedClassifierCV"
            )
        if self.calibration is None:
            return clone(classifier)
        return CalibratedClassifierCV(clone(classifier), method=self.calibration)

    def _cross_fitted(self, X: Array, rows: Array, domain: NDArray[np.int64]) -> Array:
        """Log ratios of the source rows, each from a classifier that was trained without it."""
        log_ratios, times = np.zeros(len(X)), np.zeros(len(X), dtype=np.int64)
        for train, test in self._folds(rows, domain):
            held_out = np.asarray(test)[np.asarray(test) < len(X)]
            if len(held_out) == 0:
                continue
            if len(np.unique(domain[train])) < 2:
                raise ValueError(
                    "cv must leave rows of both domains to train on in every fold, got one domain alone; the source stands "
                    "before the target, so shuffle: KFold(5, shuffle=True)"
                )
            part = self._new_classifier().fit(rows[train], domain[train])
            log_ratios[held_out] = self._log_ratios(part, X[held_out])
            times[held_out] += 1
        if (times != 1).any():
            raise ValueError(
                f"cv must hold out every source row once, got {int((times == 0).sum())} of {len(X)} rows never and "
                f"{int((times > 1).sum())} more often; pass KFold(5, shuffle=True)"
            )
        return log_ratios

    def _folds(self, rows: Array, domain: NDArray[np.int64]) -> Any:
        if isinstance(self.cv, (int, np.integer)):
            fewest = int(min(np.bincount(domain)))
            if not 2 <= self.cv <= fewest:
                raise ValueError(
                    f"cv must be at least 2 and at most {fewest}, the smaller domain's rows, got {self.cv}"
                )
            return StratifiedKFold(self.cv, shuffle=True, random_state=self.random_state).split(rows, domain)
        return check_cv(self.cv, domain, classifier=True).split(rows, domain)

    def _log_ratios(self, classifier: Any, X: Array) -> Array:
        of_target = classifier.predict_proba(X)[:, 1].astype(np.float64)
        with np.errstate(divide="ignore"):  # the logit is clipped: 1 - clip may be 1
            logits = np.log(of_target) - np.log1p(-of_target)
        largest = math.log1p(-self.clip) - math.log(self.clip)
        return np.asarray(np.clip(logits, -largest, largest) + self._log_prior)
