"""Sliced Wasserstein discrepancy between the predictions of two heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island


@float32_island
def sliced_discrepancy_loss(
    first_logits: Tensor, second_logits: Tensor, *, directions: int = 128, generator: torch.Generator | None = None
) -> Tensor:
    r"""Sliced Wasserstein distance between the class probabilities that two heads give the same rows [1]_.

    .. math:: \frac{1}{n L} \sum_{l=1}^{L} \bigl\| \mathrm{sort}(P r_l) - \mathrm{sort}(P' r_l) \bigr\|_2^2

    for ``L`` random unit vectors :math:`r_l`, drawn anew in each call. It compares the clouds of predictions, not row by
    row: it is zero whenever one is a permutation of the other.

    Args:
        first_logits: Logits of one head, shape ``(n, classes)``.
        second_logits: Logits of the other, same shape.
        directions: Number ``L`` of directions; 128 in the authors' code.
        generator: Source of randomness on the device of the logits; default: torch's global one.

    Returns:
        Scalar tensor, in ``[0, 2]``.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``generator`` is no ``torch.Generator``.
        ValueError: If the inputs are not finite matrices of one shape, or ``directions`` is below 1.

    References:
        .. [1] Lee et al. Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation. CVPR 2019.

    Example:
        >>> certain = 100 * torch.eye(2)
        >>> bool(sliced_discrepancy_loss(certain, -certain) < 1e-12)  # rows swapped: the same cloud
        True
    """
    _checks.two_samples(first_logits, second_logits)
    if first_logits.shape != second_logits.shape:
        raise ValueError(
            f"first_logits and second_logits must be of the same rows, got {len(first_logits)} and {len(second_logits)}"
        )
    _checks.at_least(directions, 1, "directions")
    _checks.generator(generator)
    # Drawn in float32, so that one seed gives the same directions in every dtype.
    shape = first_logits.shape[1], directions
    drawn = torch.randn(shape, generator=generator, device=first_logits.device, dtype=torch.float32)
    slices = drawn.to(first_logits.dtype)
    slices = slices / torch.linalg.vector_norm(slices, dim=0)
    difference = _along(first_logits, slices) - _along(second_logits, slices)
    return difference.square().mean()


def _along(logits: Tensor, slices: Tensor) -> Tensor:
    """The sorted class probabilities along each direction, shape ``(directions, n)``."""
    return torch.sort(slices.mT @ torch.softmax(logits, dim=1).mT, dim=1).values


class SlicedDiscrepancyLoss(nn.Module):
    """Module form of :func:`sliced_discrepancy_loss`.

    Args:
        directions: As in :func:`sliced_discrepancy_loss`.
        generator: As in :func:`sliced_discrepancy_loss`.

    Example:
        >>> certain = 100 * torch.eye(2)
        >>> bool(SlicedDiscrepancyLoss()(certain, -certain) < 1e-12)
        True
    """

    def __init__(self, *, directions: int = 128, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _checks.at_least(directions, 1, "directions")
        _checks.generator(generator)
        self.directions = directions
        self.generator = generator

    def forward(self, first_logits: Tensor, second_logits: Tensor) -> Tensor:
        """The loss of two heads' logits, shape ``(n, classes)`` each."""
        return sliced_discrepancy_loss(
            first_logits, second_logits, directions=self.directions, generator=self.generator
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"directions={self.directions}"
