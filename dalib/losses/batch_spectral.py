"""Batch spectral penalization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island


@float32_island
def batch_spectral_loss(source: Tensor, target: Tensor, *, k: int = 1) -> Tensor:
    r"""Largest singular values of the features of each domain, squared: the penalty of BSP [1]_.

    .. math:: \sum_{i=1}^{k} \sigma_i(F_s)^2 + \sigma_i(F_t)^2

    for the feature matrices :math:`F` as they are, not centred. Adversarial training concentrates the features in few
    strong directions; this holds them back. The leading singular vectors :math:`U` of each matrix are found without a
    graph in its smaller Gram matrix; the value is :math:`\|U^\top F\|_F^2`, whose gradient :math:`2 U U^\top F` is that
    of the penalty. Of equal singular values any basis gives a subgradient.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        k: Number of singular values of each domain, at most ``min(n, m, d)``; 1 in the paper.

    Returns:
        Scalar tensor, not negative.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype.
        ValueError: If the inputs are not two finite matrices of one width on one device, ``k`` is out of range, or the
            squares of the features are beyond the dtype.

    References:
        .. [1] Chen et al. Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
           Adaptation. ICML 2019.

    Example:
        >>> source = torch.tensor([[3.0, 4.0]])  # one row: its squared norm
        >>> batch_spectral_loss(source, 2 * source)  # 25 + 100
        tensor(125.)

    Note:
        On CUDA the eigenvalue solver makes the host wait for the device. With a row weight nothing is defined, so there
        is none.
    """
    _checks.two_samples(source, target)
    _checks.at_least(k, 1, "k")
    largest = min(*source.shape, *target.shape)
    if k > largest:
        raise ValueError(f"k must be at most {largest}, the rank that a batch of each domain can have, got {k}")
    value = _leading_power(source, k) + _leading_power(target, k)
    _checks.finite_loss(value, source, target)
    return value


def _leading_power(features: Tensor, k: int) -> Tensor:
    if features.shape[0] > features.shape[1]:
        features = features.mT  # the smaller Gram matrix has the same leading eigenvalues
    rows = features.detach()
    vectors = torch.linalg.eigh(rows @ rows.mT).eigenvectors[:, -k:]  # eigenvalues ascend
    power: Tensor = (vectors.mT @ features).square().sum()
    return power


class BatchSpectralLoss(nn.Module):
    """Module form of :func:`batch_spectral_loss`.

    Args:
        k: As in :func:`batch_spectral_loss`.

    Example:
        >>> source = torch.tensor([[3.0, 4.0]])
        >>> BatchSpectralLoss()(source, 2 * source)
        tensor(125.)
    """

    def __init__(self, *, k: int = 1) -> None:
        super().__init__()
        _checks.at_least(k, 1, "k")
        self.k = k

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return batch_spectral_loss(source, target, k=self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"k={self.k}"
