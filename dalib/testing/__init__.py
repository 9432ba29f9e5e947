"""Contract checks that anyone can run on an extension of their own."""

from dalib.testing.adversary import check_adversary
from dalib.testing.adversary_monitor import AdversaryReport, adversary_report
from dalib.testing.loss_inputs import of_labelled, of_one, of_outputs, of_two, two_matrices
from dalib.testing.losses import check_loss
from dalib.testing.weights import check_weights

__all__ = [
    "AdversaryReport",
    "adversary_report",
    "check_adversary",
    "check_loss",
    "check_weights",
    "of_labelled",
    "of_one",
    "of_outputs",
    "of_two",
    "two_matrices",
]
