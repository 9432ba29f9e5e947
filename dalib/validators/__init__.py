"""Scores that pick a checkpoint without target labels: ``*_score(evaluation)``, larger is better, no exception.

A ``*_distance`` describes how far the domains' features lie apart; it is recorded beside the scores and picks nothing.
:func:`guarded` makes of any score one that rejects collapsed predictions.
"""

from dalib.validators.batch_nuclear_norm import bnm_score
from dalib.validators.circular import circular_score
from dalib.validators.class_ami import class_ami_score
from dalib.validators.class_confusion import mcc_score
from dalib.validators.deep_embedded_validation import dev_score
from dalib.validators.distances import coral_distance, mmd_distance
from dalib.validators.diversity import diversity_score
from dalib.validators.entropy import entropy_score
from dalib.validators.guarded import guarded
from dalib.validators.importance_weighted_accuracy import iwcv_score
from dalib.validators.information_maximization import information_maximization_score
from dalib.validators.mano import mano_score
from dalib.validators.mixval import mixval_score
from dalib.validators.nearest_source import nearest_source_score
from dalib.validators.normalized_dev import devn_score
from dalib.validators.proxy_a import proxy_a_distance
from dalib.validators.rankme import rankme_score
from dalib.validators.silhouette import silhouette_score
from dalib.validators.soft_neighbourhood_density import snd_score
from dalib.validators.softmax_correlation import softmax_corr_score
from dalib.validators.source_accuracy import source_accuracy_score

__all__ = [
    "bnm_score",
    "circular_score",
    "class_ami_score",
    "coral_distance",
    "dev_score",
    "devn_score",
    "diversity_score",
    "entropy_score",
    "guarded",
    "information_maximization_score",
    "iwcv_score",
    "mano_score",
    "mcc_score",
    "mixval_score",
    "mmd_distance",
    "nearest_source_score",
    "proxy_a_distance",
    "rankme_score",
    "silhouette_score",
    "snd_score",
    "softmax_corr_score",
    "source_accuracy_score",
]
