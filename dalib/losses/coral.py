"""Correlation alignment."""

from __future__ import annotations

from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses._covariance_form import covariance_form
from dalib.losses._moments import covariance_weights


@float32_island
def coral_loss(
    source: Tensor,
    target: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared distance between the covariances of two samples: Deep CORAL [1]_.

    .. math::
        \frac{1}{4 d^2} \| C_s - C_t \|_F^2, \qquad
        C = \frac{\sum_i w_i (x_i - \mu)(x_i - \mu)^\top}{1 - \sum_i w_i^2}, \quad \mu = \sum_i w_i x_i

    with weights that sum to one; equal weights give the unbiased covariance :math:`\frac{1}{n-1}\sum (x-\mu)(x-\mu)^\top`.
    The rows are centred before the product, so features far from zero lose no digits. Blind to a shift of the means.

    Args:
        source: Features of the source domain, shape ``(n, d)``, ``n >= 2``.
        target: Features of the target domain, shape ``(m, d)``, ``m >= 2``; ``m`` may differ from ``n``.
        source_weights: Reliability weights of the source rows, shape ``(n,)``; rescaled to sum to one. At least two
            must be positive.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with two rows; if weights
            are negative, not one a row, or fewer than two are positive; if the loss is beyond the dtype of the inputs.

    References:
        .. [1] Sun and Saenko. Deep CORAL: Correlation Alignment for Deep Domain Adaptation. ECCV Workshops 2016.

    Example:
        >>> source = torch.tensor([[1.0], [-1.0]])  # variance 2
        >>> coral_loss(source, 2 * source)  # (2 - 8)^2 / 4
        tensor(9.)

    Note:
        TLlib's loss of this name is the mean of ``(C_s - C_t)^2``, four times this one, plus the mean squared
        difference of the means.

        For ``n + m <= d`` the loss is computed from the (n + m) x (n + m) inner products of the centred rows and no d x d
        matrix is formed; otherwise from the covariances. The gradient is analytic in both.
    """
    _checks.two_samples(source, target, min_rows=2, values=False)
    of_source = covariance_weights(source, source_weights, "source_weights")
    of_target = covariance_weights(target, target_weights, "target_weights")
    even = source_weights is None and target_weights is None
    value = covariance_form(source, target, of_source, of_target, even=even)
    _checks.finite_loss(value, source, target)
    return value


class CORALLoss(nn.Module):
    """Module form of :func:`coral_loss`.

    Example:
        >>> source = torch.tensor([[1.0], [-1.0]])
        >>> CORALLoss()(source, 2 * source)
        tensor(9.)
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
        return coral_loss(source, target, source_weights=source_weights, target_weights=target_weights)
