"""Unbiased estimate of the maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Gaussian, Kernel, about_the_mean, chosen
from dalib.losses._kernel_form import kernel_form
from dalib.losses._pooled import Levels, Pooled, below_one, dtype_of_sums, pool, refuse_one_row
from dalib.row_weights import of_two_rows


@float32_island
def unbiased_mmd_loss(
    source: Tensor,
    target: Tensor,
    *,
    bandwidths: Sequence[float] | Tensor | None = None,
    kernel: Kernel | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared maximum mean discrepancy without the bias of the pairs of a row with itself [1]_.

    .. math::
        \frac{\sum_{i \ne j} a_i a_j k(s_i, s_j)}{1 - \sum_i a_i^2}
        + \frac{\sum_{i \ne j} b_i b_j k(t_i, t_j)}{1 - \sum_j b_j^2} - 2 \sum_{ij} a_i b_j k(s_i, t_j)

    with weights that sum to one (:math:`1/n` and :math:`1/m` by default: then the denominators make
    :math:`1 / n(n-1)`). This is the U-statistic: zero on average for samples of one distribution, at times negative, and
    negative for equal samples.

    Args:
        source: Features of the source domain, shape ``(n, d)``, ``n >= 2``.
        target: Features of the target domain, shape ``(m, d)``, ``m >= 2``; ``m`` may differ from ``n``.
        bandwidths: Widths of the Gaussian kernel; the default is that of :func:`~dalib.losses.mmd_loss`.
        kernel: Another kernel in its place.
        source_weights: Reliability weights of the source rows, shape ``(n,)``; rescaled to sum to one. At least two must
            be positive.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, below 2; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``kernel`` is no kernel.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with two rows; if weights
            are negative, not one a row, or fewer than two are positive; if a bandwidth is not positive.
        RuntimeError: In a second derivative with more than 4096 rows.

    References:
        .. [1] Gretton et al. A Kernel Two-Sample Test. JMLR 13, 2012.

    Example:
        >>> rows = torch.tensor([[0.0], [2.0]])
        >>> unbiased_mmd_loss(rows, rows, bandwidths=[1.0])  # 2 exp(-2) - 2 (1 + exp(-2)) / 2
        tensor(-0.8647)

    Note:
        pytorch-adapt takes the bandwidth from the source alone. TLlib adds ``2/(n-1)`` to this estimate.

        With row weights, and with any kernel but the Gaussian one, it is computed in float64: in float32 a row that outweighs
        the others would leave few digits, and so would a polynomial far from zero.
    """
    kernel = chosen(kernel, bandwidths)
    plain = source_weights is None and target_weights is None
    # Under uneven weights the pairs of a row with itself may be most of the sum: taking them away leaves few digits.
    dtype = dtype_of_sums(kernel) if plain else torch.float64
    pooled = pool(source, target, source_weights, target_weights, min_rows=2, dtype=dtype)
    refuse_one_row(pooled.source, source_weights, "source_weights")
    refuse_one_row(pooled.target, target_weights, "target_weights")
    a, b = pooled.source, pooled.target
    if isinstance(kernel, Gaussian):
        return _of_gaussian(kernel, pooled).to(source.dtype)
    rows = pooled.rows
    gram = about_the_mean(kernel, rows) if pooled.weights is None else kernel.at(rows, pooled.weights)
    values = gram(rows)
    values = values * (1 - torch.eye(len(values), dtype=values.dtype, device=values.device))
    within = [part @ values @ part for part in _apart(a, b)]
    cross = a @ values[: len(a), len(a) :] @ b
    value = within[0] / of_two_rows(a) + within[1] / of_two_rows(b) - 2 * cross
    value = value.to(source.dtype)
    _checks.finite_loss(value, source, target)
    return value


def _of_gaussian(kernel: Gaussian, pooled: Pooled) -> Tensor:
    """The estimate by the engine of the Gaussian kernel, which counts the pairs of a row with itself, too."""
    a, b = pooled.source, pooled.target
    # The larger factor of the pairs within a domain is a sum of squares more; a row with itself counts one.
    alone = [row_shares @ row_shares / of_two_rows(row_shares) for row_shares in (a, b)]
    if pooled.weights is None:
        levels, scale = _levels(len(a), len(b))
        exact = (torch.tensor(level, dtype=torch.float64, device=a.device) for level in levels)
        columns = torch.cat([level.expand(len(part), -1) for level, part in zip(exact, (a, b), strict=True)])
        form = kernel_form([pooled.parts], [kernel], columns, levels=levels, scale=scale)
    else:
        columns = torch.stack([torch.cat([a, -b]), *_apart(a * alone[0].sqrt(), b * alone[1].sqrt())], dim=1)
        form = kernel_form([pooled.parts], [kernel], columns, counts=pooled.weights)
    return form - alone[0] - alone[1]


def _levels(n: int, m: int) -> tuple[Levels, float]:
    """The numbers in the columns of source rows and of target rows, where no weights are given; and their factor.

    Their products are whole numbers over a power of two, which no dtype rounds: those of two source rows ``m (m - 1)``, of two
    target rows ``n (n - 1)``, across ``-(n - 1)(m - 1)``.
    """
    unit = below_one(n, m)
    source, target = (m - 1, (m - 1) ** 0.5, 0.0), (-(n - 1), 0.0, (n - 1) ** 0.5)
    scale = unit**2 / (n * (n - 1) * m * (m - 1))
    return (tuple(each / unit for each in source), tuple(each / unit for each in target)), scale


def _apart(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Each vector with zeros for the rows of the other domain."""
    return torch.cat([source, torch.zeros_like(target)]), torch.cat([torch.zeros_like(source), target])


class UnbiasedMMDLoss(nn.Module):
    """Module form of :func:`unbiased_mmd_loss`: stores the options, calls the function.

    Args:
        bandwidths: As in :func:`unbiased_mmd_loss`.
        kernel: As in :func:`unbiased_mmd_loss`.

    Example:
        >>> rows = torch.tensor([[0.0], [2.0]])
        >>> UnbiasedMMDLoss(bandwidths=[1.0])(rows, rows)
        tensor(-0.8647)
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
        return unbiased_mmd_loss(
            source, target, kernel=self.kernel, source_weights=source_weights, target_weights=target_weights
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel={self.kernel}"
