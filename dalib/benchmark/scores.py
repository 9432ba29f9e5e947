"""The validators that every checkpoint is scored with: cheap ones, small against the training between checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from dalib.evaluation import Evaluation
from dalib.validators import (
    bnm_score,
    class_ami_score,
    coral_distance,
    dev_score,
    devn_score,
    diversity_score,
    entropy_score,
    information_maximization_score,
    iwcv_score,
    mano_score,
    mcc_score,
    mmd_distance,
    nearest_source_score,
    proxy_a_distance,
    rankme_score,
    silhouette_score,
    snd_score,
    softmax_corr_score,
    source_accuracy_score,
)

Score = Callable[[Evaluation], float]
"""A checkpoint's outputs -> float; a score is maximised and never sees target labels."""

SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "source_accuracy": source_accuracy_score,
        "entropy": entropy_score,
        "information_maximization": information_maximization_score,
        "snd": snd_score,
        "class_ami": class_ami_score,
        "diversity": diversity_score,
        "bnm": bnm_score,
        "mcc": mcc_score,
        "softmax_corr": softmax_corr_score,
        "mano": mano_score,
        "silhouette": silhouette_score,
        "rankme": rankme_score,
        "nearest_source": nearest_source_score,
        "iwcv": iwcv_score,
        "dev": dev_score,
        "devn": devn_score,
    }
)
"""Validators that every checkpoint is scored with unless others are asked for."""

DESCRIPTIONS: Mapping[str, Score] = MappingProxyType(
    {"mmd": mmd_distance, "coral": coral_distance, "proxy_a": proxy_a_distance}
)
"""Distances of the domains' features that every record holds beside the scores."""
