"""Energy distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.distances import roots, squared_distances
from dalib.losses._pooled import pool
from dalib.row_weights import middle


@float32_island
def energy_loss(
    source: Tensor,
    target: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Energy distance of two samples [1]_.

    .. math::
        2 \sum_{ij} a_i b_j \|s_i - t_j\| - \sum_{ij} a_i a_j \|s_i - s_j\| - \sum_{ij} b_i b_j \|t_i - t_j\|

    with weights that sum to one. The V-statistic: never negative, and zero for equal samples alone. It has no bandwidth
    to choose. The distances are computed in float64: the root of a rounded zero would not be one. Where two rows are
    equal the derivative of their distance is taken as zero.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        source_weights: Weights :math:`a_i` of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row; if weights
            are negative, all zero or not one a row; if squared distances are beyond float64, or the loss beyond the dtype.

    References:
        .. [1] Székely and Rizzo. Energy statistics: A class of statistics based on distances. Journal of Statistical
           Planning and Inference 143, 2013.

    Example:
        >>> energy_loss(torch.tensor([[0.0]]), torch.tensor([[3.0], [5.0]]))  # 2 (3 + 5)/2 - 0 - (2 + 2)/4
        tensor(7.)

    Note:
        Twice the squared maximum mean discrepancy of the kernel :math:`(\|x\| + \|y\| - \|x - y\|) / 2`.
    """
    pooled = pool(source, target, source_weights, target_weights, dtype=torch.float64)
    rows = pooled.rows
    distances = roots(squared_distances(rows, about=middle(rows, pooled.weights)))
    value = -(pooled.signs @ distances @ pooled.signs).to(source.dtype).clamp_max(0)  # above zero only by rounding
    _checks.finite_loss(value, source, target)
    return value


class EnergyLoss(nn.Module):
    """Module form of :func:`energy_loss`.

    Example:
        >>> EnergyLoss()(torch.tensor([[0.0]]), torch.tensor([[3.0], [5.0]]))
        tensor(7.)
    """

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return energy_loss(source, target, source_weights=source_weights, target_weights=target_weights)
