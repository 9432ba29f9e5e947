"""Block estimate of the maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Gram, Kernel, about_the_mean, chosen
from dalib.losses._pooled import pool
from dalib.row_weights import of_two_rows


@float32_island
def block_mmd_loss(
    source: Tensor,
    target: Tensor,
    *,
    block_size: int | None = None,
    bandwidths: Sequence[float] | Tensor | None = None,
    kernel: Kernel | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Mean of the unbiased squared maximum mean discrepancies of blocks of rows [1]_.

    .. math:: \frac1q \sum_{r=1}^q \mathrm{MMD}_u^2(S_r, T_r)

    Both samples are cut, in their order, into :math:`q = \lfloor \min(n, m) / B \rfloor` blocks, of
    :math:`\lfloor n/q \rfloor` and :math:`\lfloor m/q \rfloor` rows; what is left over (fewer than ``q`` rows of each) is
    not used. All blocks share one bandwidth. Time and memory grow with :math:`(n + m) B`: between the linear-time and the
    quadratic-time estimate, in noise as well.

    Args:
        source: Features of the source domain, shape ``(n, d)``, ``n >= 2``, in random order.
        target: Features of the target domain, shape ``(m, d)``, ``m >= 2``; ``m`` may differ from ``n``.
        block_size: Rows :math:`B` of a block in the smaller sample, at least 2. Default: the square root of its size.
        bandwidths: Widths of the Gaussian kernel; the default is that of :func:`~dalib.losses.mmd_loss`.
        kernel: Another kernel in its place.
        source_weights: One weight a source row, shape ``(n,)``; they are rescaled in each block, and in each at least two
            must be positive.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, below 2; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``kernel`` is no kernel.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with two rows; if weights
            are negative, not one a row, or leave fewer than two rows in a block; if a bandwidth is not positive; if
            ``block_size`` is below 2 or above the size of a sample.

    References:
        .. [1] Zaremba, Gretton and Blaschko. B-tests: Low Variance Kernel Two-Sample Tests. NeurIPS 2013.

    Example:
        >>> rows = torch.tensor([[0.0], [2.0], [0.0], [2.0]])
        >>> block_mmd_loss(rows, rows, block_size=2, bandwidths=[1.0])  # twice the same block
        tensor(-0.8647)

    Note:
        The sums are made in float64: there are few, and they nearly cancel.
    """
    kernel = chosen(kernel, bandwidths)
    pooled = pool(source, target, source_weights, target_weights, min_rows=2, dtype=torch.float64)
    smaller = min(len(source), len(target))
    if block_size is None:
        block_size = max(2, round(smaller**0.5))
    _checks.at_least(block_size, 2, "block_size")
    if block_size > smaller:
        raise ValueError(f"block_size must be at most the {smaller} rows of the smaller sample, got {block_size}")
    blocks = smaller // block_size
    gram = about_the_mean(kernel, pooled.rows) if pooled.weights is None else kernel.at(pooled.rows, pooled.weights)
    s, a = _cut(pooled.parts[0], pooled.source, blocks, "source_weights")
    t, b = _cut(pooled.parts[1], pooled.target, blocks, "target_weights")
    cross = (a[:, None] @ gram(s, t) @ b[:, :, None])[:, 0, 0]
    value = (_within(gram, s, a) + _within(gram, t, b) - 2 * cross).mean().to(source.dtype)
    _checks.finite_loss(value, source, target)
    return value


def _cut(rows: Tensor, row_shares: Tensor, blocks: int, name: str) -> tuple[Tensor, Tensor]:
    """The rows of each block, and their shares in it."""
    size = len(rows) // blocks
    cut = row_shares[: size * blocks].view(blocks, size)
    if _checks.values_are_checked(cut) and bool(((cut > 0).sum(dim=1) < 2).any()):
        raise ValueError(f"{name} must have two positive entries in each block of {size} rows, got a block with fewer")
    cut = cut / cut.sum(dim=1, keepdim=True)
    if _checks.values_are_checked(cut) and not bool((of_two_rows(cut) > 0).all()):
        raise ValueError(
            f"{name} must have two entries in each block that {cut.dtype} tells from zero beside their sum"
        )
    return rows[: size * blocks].view(blocks, size, -1), cut


def _within(gram: Gram, rows: Tensor, row_shares: Tensor) -> Tensor:
    """The mean of the kernel over the pairs of different rows in each block."""
    size = rows.shape[1]
    values = gram(rows) * (1 - torch.eye(size, dtype=rows.dtype, device=rows.device))
    total = (row_shares[:, None] @ values @ row_shares[:, :, None])[:, 0, 0]
    return total / of_two_rows(row_shares)


class BlockMMDLoss(nn.Module):
    """Module form of :func:`block_mmd_loss`: stores the options, calls the function.

    Args:
        block_size: As in :func:`block_mmd_loss`.
        bandwidths: As in :func:`block_mmd_loss`.
        kernel: As in :func:`block_mmd_loss`.

    Example:
        >>> rows = torch.tensor([[0.0], [2.0], [0.0], [2.0]])
        >>> BlockMMDLoss(block_size=2, bandwidths=[1.0])(rows, rows)
        tensor(-0.8647)
    """

    def __init__(
        self,
        *,
        block_size: int | None = None,
        bandwidths: Sequence[float] | None = None,
        kernel: Kernel | None = None,
    ) -> None:
        super().__init__()
        if block_size is not None:
            _checks.at_least(block_size, 2, "block_size")
        self.block_size = block_size
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
        return block_mmd_loss(
            source,
            target,
            block_size=self.block_size,
            kernel=self.kernel,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"block_size={self.block_size}, kernel={self.kernel}"
