"""Distance of the means: the linear kernel."""

from __future__ import annotations

from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.row_weights import shares


@float32_island
def mean_loss(
    source: Tensor,
    target: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared distance of the means of two samples: the maximum mean discrepancy of the linear kernel, as in DDC [1]_.

    .. math:: \| \sum_i a_i s_i - \sum_j b_j t_j \|^2

    with weights that sum to one. The biased estimate; blind to everything but the means.

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
            are negative, all zero or not one a row; if the loss is beyond the dtype of the inputs.

    References:
        .. [1] Tzeng et al. Deep Domain Confusion: Maximizing for Domain Invariance. arXiv:1412.3474, 2014.

    Example:
        >>> mean_loss(torch.zeros(3, 2), torch.ones(5, 2))  # 1 + 1
        tensor(2.)
    """
    _checks.two_samples(source, target)
    a, b = shares(source, source_weights, "source_weights"), shares(target, target_weights, "target_weights")
    about = (a @ source).detach()  # the same for both: far from zero it keeps the digits of the difference
    difference = a @ (source - about) - b @ (target - about)
    value = (difference * difference).sum()
    _checks.finite_loss(value, source, target)
    return value


class MeanLoss(nn.Module):
    """Module form of :func:`mean_loss`.

    Example:
        >>> MeanLoss()(torch.zeros(3, 2), torch.ones(5, 2))
        tensor(2.)
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
        return mean_loss(source, target, source_weights=source_weights, target_weights=target_weights)
