"""The network that tells the domains apart."""

from __future__ import annotations

from torch import nn

from dalib import _checks


class DomainDiscriminator(nn.Sequential):
    """Two hidden layers with batch norm and ReLU, then one logit a row: above zero says "source".

    Any module from features to one logit a row can take its place.

    Args:
        width: Number of features that come in.
        hidden: Width of both hidden layers.

    Raises:
        ValueError: If a width is below 1.

    Example:
        >>> DomainDiscriminator(8, hidden=4)(torch.zeros(3, 8)).shape
        torch.Size([3, 1])
    """

    def __init__(self, width: int, *, hidden: int = 1024) -> None:
        _checks.at_least(width, 1, "width")
        _checks.at_least(hidden, 1, "hidden")
        super().__init__(
            *(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            nn.Linear(hidden, 1),
        )
