"""Linear-time estimate of the maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Kernel, about_the_mean, chosen
from dalib.losses._pooled import pool, refuse_one_row


@float32_island
def linear_time_mmd_loss(
    source: Tensor,
    target: Tensor,
    *,
    bandwidths: Sequence[float] | Tensor | None = None,
    kernel: Kernel | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Unbiased squared maximum mean discrepancy from neighbouring pairs of rows, in linear time [1]_.

    .. math::
        \frac{1}{\lfloor n/2 \rfloor} \sum_i k(s_{2i-1}, s_{2i}) + \frac{1}{\lfloor m/2 \rfloor} \sum_i k(t_{2i-1}, t_{2i})
        - \frac{1}{q} \sum_{i=1}^{q} \bigl[ k(s_{2i-1}, t_{2i}) + k(s_{2i}, t_{2i-1}) \bigr],
        \quad q = \lfloor \min(n, m) / 2 \rfloor

    It has the expectation of :func:`~dalib.losses.unbiased_mmd_loss` and far more noise; it depends on the order of the
    rows, and may be negative. The last row of an odd number, and in the cross term the rows beyond the shorter sample,
    are not used. With row weights each mean over pairs is weighted by the products of their weights.

    Args:
        source: Features of the source domain, shape ``(n, d)``, ``n >= 2``, in random order.
        target: Features of the target domain, shape ``(m, d)``, ``m >= 2``; ``m`` may differ from ``n``.
        bandwidths: Widths of the Gaussian kernel; the default is that of :func:`~dalib.losses.mmd_loss`.
        kernel: Another kernel in its place.
        source_weights: One weight a source row, shape ``(n,)``; their scale matters to the default bandwidth alone.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, below 2; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``kernel`` is no kernel.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with two rows; if weights
            are negative, not one a row, or leave no pair; if a bandwidth is not positive.

    References:
        .. [1] Gretton et al. A Kernel Two-Sample Test. JMLR 13, 2012, section 6.

    Example:
        >>> source, target = torch.tensor([[0.0], [0.0]]), torch.tensor([[2.0], [2.0]])
        >>> linear_time_mmd_loss(source, target, bandwidths=[1.0])  # 1 + 1 - 2 exp(-2)
        tensor(1.7293)

    Note:
        For ``n = m`` even this is the published estimate. TLlib's "linear" takes the cyclic pairs ``(i, i + 1)``. The sums are
        made in float64: there are few, and they nearly cancel.
    """
    kernel = chosen(kernel, bandwidths)
    pooled = pool(source, target, source_weights, target_weights, min_rows=2, dtype=torch.float64)
    refuse_one_row(pooled.source, source_weights, "source_weights")
    refuse_one_row(pooled.target, target_weights, "target_weights")
    paired = len(source) == len(target) and pooled.weights is None
    gram = about_the_mean(kernel, pooled.rows) if paired else kernel.at(pooled.rows, pooled.weights)

    def mean(x: Tensor, y: Tensor, x_weights: Tensor, y_weights: Tensor) -> Tensor:
        pairs = x_weights * y_weights
        total = pairs.sum()
        if _checks.values_are_checked(total) and not bool(total > 0):
            raise ValueError("weights must leave at least one pair of rows, got a product of 0 for each pair")
        return (pairs * gram(x[:, None], y[:, None])[:, 0, 0]).sum() / total

    (s, s_weights), (t, t_weights) = map(_halves, pooled.parts, (pooled.source, pooled.target))
    both = min(len(source), len(target)) // 2
    cross = (
        torch.cat([s[0][:both], s[1][:both]]),
        torch.cat([t[1][:both], t[0][:both]]),
        torch.cat([s_weights[0][:both], s_weights[1][:both]]),
        torch.cat([t_weights[1][:both], t_weights[0][:both]]),
    )
    value = (mean(*s, *s_weights) + mean(*t, *t_weights) - 2 * mean(*cross)).to(source.dtype)
    _checks.finite_loss(value, source, target)
    return value


def _halves(rows: Tensor, shares: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The first and the second row of each pair, and their shares."""
    even = len(rows) // 2 * 2
    return (rows[0:even:2], rows[1:even:2]), (shares[0:even:2], shares[1:even:2])


class LinearTimeMMDLoss(nn.Module):
    """Module form of :func:`linear_time_mmd_loss`: stores the options, calls the function.

    Args:
        bandwidths: As in :func:`linear_time_mmd_loss`.
        kernel: As in :func:`linear_time_mmd_loss`.

    Example:
        >>> source, target = torch.tensor([[0.0], [0.0]]), torch.tensor([[2.0], [2.0]])
        >>> LinearTimeMMDLoss(bandwidths=[1.0])(source, target)
        tensor(1.7293)
    """

    def __init__(self, *, bandwidths: Sequence[float] | None = None, kernel: Kernel | None = None) -> None:
        super().__init__()
        self.kernel = chosen(kernel, bandwidths)

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return linear_time_mmd_loss(
            source, target, kernel=self.kernel, source_weights=source_weights, target_weights=target_weights
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel={self.kernel}"
