"""MCD: maximum classifier discrepancy."""

from __future__ import annotations

from dalib import _checks
from dalib.losses.classifier_discrepancy import ClassifierDiscrepancyLoss
from dalib.methods._two_heads import TwoHeadObjective, second_head
from dalib.objective import Objective
from dalib.schedules import Schedule


def mcd(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    times: int = 4,
    hidden: int | None = None,
) -> Objective:
    """Two heads look for target rows on which they can disagree; the features take these away from them [1]_.

    Three phases a step, as published: all parts learn the source; the heads learn the source and to disagree on the
    target; the features learn agreement, several times. ``gradient_step`` runs them.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps (not used).
        weight: Factor of the discrepancy; 1 in the paper.
        times: Repetitions of the third phase; 4 in the authors' code, 2 to 4 in the paper.
        hidden: Width of a hidden layer of the second head. Default: none, a linear head like that of ``FeatureClassifier``.

    Returns:
        The objective. The second head's parameters are its parameters.

    References:
        .. [1] Saito et al. Maximum Classifier Discrepancy for Unsupervised Domain Adaptation. CVPR 2018.

    Example:
        >>> mcd(256, 31, 1000).parts["second"]
        Linear(in_features=256, out_features=31, bias=True)

    Note:
        The model predicts with its own head; the authors add the logits of both, TLlib reports the better one on the
        target. TLlib uses a factor of 10 for Office-31 and adds a term for balanced classes which is not in the paper.
        Their heads have two hidden layers.
    """
    _checks.at_least(times, 1, "times")
    return TwoHeadObjective(second_head(features, classes, hidden), ClassifierDiscrepancyLoss(), weight, times)
