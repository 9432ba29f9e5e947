"""The validators that are scored where they are asked for by name: those that train or predict anew, and guarded ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dalib.benchmark.scores import SCORES, Score
from dalib.evaluation import Evaluation
from dalib.validators import (
    circular_score,
    dev_score,
    entropy_score,
    guarded,
    iwcv_score,
    mano_score,
    mixval_score,
    snd_score,
)


def iwcv_classifier(evaluation: Evaluation) -> float:
    """Importance-weighted source accuracy, the ratio by a logistic regression on all features and rows."""
    from dalib.weights import DomainClassifierWeights

    return iwcv_score(evaluation, ratio=DomainClassifierWeights())


def dev_classifier(evaluation: Evaluation) -> float:
    """Deep embedded validation, the ratio by a logistic regression on all features and rows."""
    from dalib.weights import DomainClassifierWeights

    return dev_score(evaluation, ratio=DomainClassifierWeights())


ALL_SCORES: Mapping[str, Score] = MappingProxyType(
    {
        **SCORES,
        "entropy_guarded": guarded(entropy_score),
        "snd_guarded": guarded(snd_score),
        "mano_guarded": guarded(mano_score),
        "mixval": mixval_score,
        "circular": circular_score,
        "iwcv_classifier": iwcv_classifier,
        "dev_classifier": dev_classifier,
    }
)
"""Every validator that the command line knows by name; those of ``SCORES`` are scored anyway."""
