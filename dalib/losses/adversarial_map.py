"""A loss behind maps that make it large: the adversary of JAN-A."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib.reversal import GradientReversal
from dalib.schedules import Schedule


class AdversarialMapLoss(nn.Module):
    r"""A loss of several layers, each behind a linear map that learns to make it large: the adversary of JAN-A [1]_.

    .. math:: \min_f \max_\theta \; L\bigl((\theta_l s^l)_l, (\theta_l t^l)_l\bigr)

    The maps start as the identity. They ascend the loss with ``strength`` times its gradient, in the same backward pass in
    which the features descend it.

    Args:
        loss: ``loss(source, target) -> scalar`` of two tuples of matrices, such as ``JointMMDLoss()``; row weights, where
            there are any, are handed to it as ``source_weights=`` and ``target_weights=``.
        widths: The width of each layer.
        strength: Factor of the reversed gradient of the maps: a number, or a schedule ``step -> float``.

    Raises:
        TypeError: If ``loss`` cannot be called; in ``forward``, if the layers are no tuples of floating-point matrices of
            one dtype.
        ValueError: If a width is below 1; in ``forward``, if the layers have other widths.

    References:
        .. [1] Long et al. Deep Transfer Learning with Joint Adaptation Networks. ICML 2017.

    Example:
        >>> from dalib.kernels import Gaussian
        >>> from dalib.losses import JointMMDLoss
        >>> source, target = torch.zeros(1, 2), torch.ones(1, 2)
        >>> loss = AdversarialMapLoss(JointMMDLoss(kernels=[Gaussian([1.0])] * 2), [2, 2])
        >>> round(loss((source, source), (target, target)).item(), 4)  # the maps are the identity at first
        1.7293
    """

    def __init__(self, loss: Callable[..., Tensor], widths: Sequence[int], *, strength: float | Schedule = 1.0) -> None:
        super().__init__()
        if not callable(loss):
            raise TypeError(f"loss must be callable, got {type(loss).__name__}")
        if not isinstance(widths, Sequence):
            raise TypeError(f"widths must be a sequence, one a layer, got {type(widths).__name__}")
        for width in widths:
            _checks.at_least(width, 1, "widths")
        self.loss = loss
        self.maps = nn.ModuleList(nn.Linear(width, width) for width in widths)
        for each in self.maps:
            assert isinstance(each, nn.Linear)
            nn.init.eye_(each.weight)
            nn.init.zeros_(each.bias)
        self.reversal = GradientReversal(strength)

    def forward(
        self,
        source: tuple[Tensor, ...],
        target: tuple[Tensor, ...],
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the mapped layers of both domains."""
        _checks.layers(source, target)
        for one, other in zip(source, target, strict=True):
            _checks.same_kind(one, other)
        mapped = [self._mapped(layers, name) for layers, name in ((source, "source"), (target, "target"))]
        given = {"source_weights": source_weights, "target_weights": target_weights}
        value: Tensor = self.loss(*mapped, **{name: weights for name, weights in given.items() if weights is not None})
        return value

    def _mapped(self, layers: tuple[Tensor, ...], name: str) -> tuple[Tensor, ...]:
        maps = [each for each in self.maps if isinstance(each, nn.Linear)]
        widths = [each.in_features for each in maps]
        if [layer.shape[-1] for layer in layers] != widths:
            raise ValueError(f"{name} must have layers of widths {widths}, got {[x.shape[-1] for x in layers]}")
        return tuple(
            # Reversed at the parameters alone, so that the features get the plain gradient through the map.
            F.linear(layer.to(each.weight.dtype), self.reversal(each.weight), self.reversal(each.bias))
            for each, layer in zip(maps, layers, strict=True)
        )
