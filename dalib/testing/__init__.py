"""Contract checks that anyone can run on an extension of their own."""

from dalib.testing.losses import check_loss
from dalib.testing.weights import check_weights

__all__ = ["check_loss", "check_weights"]
