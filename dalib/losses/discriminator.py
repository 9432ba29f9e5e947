"""The network that tells the domains apart."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as normed

from dalib import _checks


class DomainDiscriminator(nn.Sequential):
    """Two hidden layers with batch norm and ReLU, then one logit a row: above zero says "source".

    Any module from features to one logit a row can take its place.

    Args:
        width: Number of features that come in.
        hidden: Width of both hidden layers.
        batch_norm: Whether batch norm follows each hidden layer. Without it a batch of one row can be trained on.
        dropout: Probability of dropout after each hidden layer, in ``[0, 1)``; 0.5 in the code of CDAN's authors, who use no
            batch norm.
        spectral_norm: Whether every layer is divided by its largest singular value, which bounds the slope of the logit.

    Raises:
        TypeError: If a switch is not a bool or ``dropout`` not a number.
        ValueError: If a width is below 1 or ``dropout`` not in ``[0, 1)``.

    Example:
        >>> DomainDiscriminator(8, hidden=4)(torch.zeros(3, 8)).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 1024,
        batch_norm: bool = True,
        dropout: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        _checks.at_least(width, 1, "width")
        _checks.at_least(hidden, 1, "hidden")
        for switch, name in ((batch_norm, "batch_norm"), (spectral_norm, "spectral_norm")):
            if not isinstance(switch, bool):
                raise TypeError(f"{name} must be True or False, got {switch!r}")
        _checks.dropout(dropout)
        layers: list[nn.Module] = []
        for inputs in (width, hidden):
            layers += [nn.Linear(inputs, hidden), *([nn.BatchNorm1d(hidden)] if batch_norm else []), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
        layers.append(nn.Linear(hidden, 1))
        super().__init__(*(normed(x) if spectral_norm and isinstance(x, nn.Linear) else x for x in layers))
