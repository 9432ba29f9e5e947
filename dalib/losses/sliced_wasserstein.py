"""Sliced Wasserstein distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses._transport import squared_wasserstein_on_lines
from dalib.row_weights import shares


@float32_island
def sliced_wasserstein_loss(
    source: Tensor,
    target: Tensor,
    *,
    projections: int = 128,
    generator: torch.Generator | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared 2-Wasserstein distance of the projections on random lines, on average [1]_.

    .. math:: \frac1R \sum_{r=1}^R W_2^2(\theta_r \cdot s, \theta_r \cdot t), \qquad \theta_r \text{ uniform on the unit sphere}

    On a line the optimal plan couples the quantiles of both samples, which sorting finds: exact for any numbers of rows
    and any weights. New directions are drawn in every call.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        projections: Number of lines :math:`R`, at least 1.
        generator: Source of randomness, on the device of the rows; default: torch's global one.
        source_weights: Weights :math:`a_i` of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``generator`` is no ``torch.Generator``.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row; if weights
            are negative, all zero or not one a row; if ``projections`` is below 1; if the loss is beyond
            the dtype of the inputs.

    References:
        .. [1] Bonneel et al. Sliced and Radon Wasserstein Barycenters of Measures. Journal of Mathematical Imaging and
           Vision 51, 2015.

    Example:
        >>> source, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]])
        >>> sliced_wasserstein_loss(source, target)  # in one dimension all lines are one: both points move by 1
        tensor(1.)

    Note:
        It averages over directions: a shift by ``c`` counts :math:`\|c\|^2 / d`. pytorch-adapt draws 128 lines whatever its
        argument says; POT's value is the square root of this one.
    """
    _checks.two_samples(source, target)
    _checks.at_least(projections, 1, "projections")
    _checks.generator(generator)
    a, b = shares(source, source_weights, "source_weights"), shares(target, target_weights, "target_weights")
    # Drawn in float32, so that one seed gives the same lines in every dtype.
    drawn = torch.randn(projections, source.shape[1], generator=generator, device=source.device, dtype=torch.float32)
    directions = drawn.to(source.dtype)
    directions = directions / directions.norm(dim=1, keepdim=True)
    about = (a @ source).detach()  # the same for both, so that rows far from zero keep their digits
    x, y = directions @ (source - about).mT, directions @ (target - about).mT
    weights = () if source_weights is None and target_weights is None else (a, b)
    value = squared_wasserstein_on_lines(x, y, *weights).mean()
    _checks.finite_loss(value, source, target)
    return value


class SlicedWassersteinLoss(nn.Module):
    """Module form of :func:`sliced_wasserstein_loss`: stores the options, calls the function.

    Args:
        projections: As in :func:`sliced_wasserstein_loss`.
        generator: As in :func:`sliced_wasserstein_loss`.

    Example:
        >>> SlicedWassersteinLoss()(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]]))
        tensor(1.)
    """

    def __init__(self, *, projections: int = 128, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _checks.at_least(projections, 1, "projections")
        _checks.generator(generator)
        self.projections = projections
        self.generator = generator

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return sliced_wasserstein_loss(
            source,
            target,
            projections=self.projections,
            generator=self.generator,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"projections={self.projections}"
