"""Scores that pick a checkpoint without target labels: ``*_score(evaluation)``, larger is better, no exception.

A ``*_distance`` describes how far the domains' features lie apart; it is recorded beside the scores and picks nothing.
"""

from dalib.validators.distances import coral_distance, mmd_distance
from dalib.validators.entropy import entropy_score
from dalib.validators.information_maximization import information_maximization_score
from dalib.validators.source_accuracy import source_accuracy_score

__all__ = [
    "coral_distance",
    "entropy_score",
    "information_maximization_score",
    "mmd_distance",
    "source_accuracy_score",
]
