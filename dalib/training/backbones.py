"""A small backbone for small pictures, fast without a GPU."""

from __future__ import annotations

from torch import nn

from dalib import _checks


def small_cnn(*, width: int = 16) -> nn.Sequential:
    """Three strided convolutions and a linear layer, all with batch norm: images ``(n, 3, 32, 32)`` to ``(n, 8 * width)``.

    Made for :func:`dalib.data.pictograms`. Larger pictures work too: the last map is averaged to 4 x 4 places before the
    linear layer. The weights are torch's default draw: set the seed before the call.

    Args:
        width: Channels of the first convolution; the others have 2 and 3 times as many. Default 16: 128 features.

    Returns:
        The module; its attribute ``num_features`` is ``8 * width``.

    Raises:
        TypeError: If ``width`` is no integer.
        ValueError: If ``width`` is below 1.

    Example:
        >>> small_cnn().eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 128])
    """
    _checks.at_least(width, 1, "width")
    backbone = nn.Sequential(
        *_convolution(3, width, kernel=4),
        *_convolution(width, 2 * width, kernel=3),
        *_convolution(2 * width, 3 * width, kernel=3),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 3 * width, 8 * width, bias=False),
        nn.BatchNorm1d(8 * width),
        nn.ReLU(inplace=True),
    )
    backbone.num_features = 8 * width  # type: ignore[assignment]
    return backbone


def _convolution(channels: int, width: int, *, kernel: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, width, kernel, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)
