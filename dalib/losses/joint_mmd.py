"""Joint maximum mean discrepancy over several layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.kernels import Gaussian
from dalib.losses._kernel_form import kernel_form
from dalib.losses._pooled import pool


@float32_island
def joint_mmd_loss(
    source: tuple[Tensor, ...],
    target: tuple[Tensor, ...],
    *,
    kernels: Sequence[Gaussian] | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared maximum mean discrepancy between the joint distributions of several layers: the JMMD of JAN [1]_.

    .. math::
        \sum_{ij} a_i a_j k(s_i, s_j) + \sum_{ij} b_i b_j k(t_i, t_j) - 2 \sum_{ij} a_i b_j k(s_i, t_j), \qquad
        k(x, y) = \prod_l k_l(x^l, y^l)

    with weights that sum to one and a multi-scale Gaussian kernel for each layer. The biased estimate: never negative, zero
    for equal samples.

    Args:
        source: One matrix of source rows for each layer, each shape ``(n, d_l)``: a tuple.
        target: Same of target rows, each shape ``(m, d_l)``; ``m`` may differ from ``n``.
        kernels: One Gaussian kernel for each layer. Default: that of :func:`~dalib.losses.mmd_loss` for each.
        source_weights: Weights :math:`a_i` of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, in ``[0, 2]``; float32 for half-precision features.

    Raises:
        TypeError: If the layers do not come as tuples of floating-point tensors of one dtype, or a kernel is not Gaussian.
        ValueError: If the domains have other numbers of layers, or none; if layers are not finite matrices of one width in
            both domains and of one number of rows in each; if weights are negative, all zero or not one a row.
        RuntimeError: In a second derivative with more than 4096 rows.

    References:
        .. [1] Long et al. Deep Transfer Learning with Joint Adaptation Networks. ICML 2017.

    Example:
        >>> from dalib.kernels import Gaussian
        >>> source, target = torch.zeros(1, 2), torch.ones(1, 2)
        >>> joint_mmd_loss((source, source), (target, target), kernels=[Gaussian([1.0])] * 2)  # 2 - 2 exp(-1) exp(-1)
        tensor(1.7293)

    Note:
        TLlib sums the five kernels of the first layer, so a factor of 1 there is 5 here, and adds ``2/(n-1)`` to the
        unbiased estimate.
    """
    _checks.layers(source, target)
    kernels = _checked_kernels(kernels, len(source))
    pools = [pool(*layers, source_weights, target_weights, values=False) for layers in zip(source, target, strict=True)]
    signs, levels, scale = pools[0].exact_signs
    parts, counts = [each.parts for each in pools], pools[0].weights
    return kernel_form(parts, kernels, signs, levels=levels, scale=scale, counts=counts)


def _checked_kernels(kernels: Sequence[Gaussian] | None, layers: int) -> Sequence[Gaussian]:
    kernels = [Gaussian()] * layers if kernels is None else kernels
    if not isinstance(kernels, Sequence):
        raise TypeError(f"kernels must be a sequence, one a layer, got {type(kernels).__name__}")
    for kernel in kernels:
        if not isinstance(kernel, Gaussian):
            raise TypeError(f"kernels must be Gaussian kernels, got {type(kernel).__name__}")
    if len(kernels) != layers:
        raise ValueError(f"kernels must be one for each of {layers} layers, got {len(kernels)}")
    return kernels


class JointMMDLoss(nn.Module):
    """Module form of :func:`joint_mmd_loss`: stores the options, calls the function.

    Args:
        kernels: As in :func:`joint_mmd_loss`.

    Example:
        >>> from dalib.kernels import Gaussian
        >>> source, target = torch.zeros(1, 2), torch.ones(1, 2)
        >>> JointMMDLoss(kernels=[Gaussian([1.0])] * 2)((source, source), (target, target))
        tensor(1.7293)
    """

    def __init__(self, *, kernels: Sequence[Gaussian] | None = None) -> None:
        super().__init__()
        self.kernels = None if kernels is None else tuple(_checked_kernels(kernels, len(kernels)))

    def forward(
        self,
        source: tuple[Tensor, ...],
        target: tuple[Tensor, ...],
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the layers of both domains."""
        return joint_mmd_loss(
            source, target, kernels=self.kernels, source_weights=source_weights, target_weights=target_weights
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"kernels={self.kernels}"
