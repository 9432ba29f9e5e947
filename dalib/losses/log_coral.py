"""Log-Euclidean correlation alignment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses._moments import centred, covariance_weights


@float32_island
def log_coral_loss(
    source: Tensor,
    target: Tensor,
    *,
    ridge: float = 1e-3,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared log-Euclidean distance between the covariances of two samples: log-CORAL [1]_.

    .. math::
        \frac{1}{4 d^2} \| \log(C_s + \varepsilon I) - \log(C_t + \varepsilon I) \|_F^2

    with the covariances of :func:`~dalib.losses.coral_loss` and the matrix logarithm. The ridge :math:`\varepsilon` is part
    of the definition: without it the logarithm of the covariance of fewer rows than features is infinite. The gradient is
    that of Daleckii and Krein, finite where eigenvalues repeat. Covariances and logarithms are computed in float64. For
    ``n + m < d`` this happens in the span of the rows, without a d x d matrix.

    Args:
        source: Features of the source domain, shape ``(n, d)``, ``n >= 2``.
        target: Features of the target domain, shape ``(m, d)``, ``m >= 2``; ``m`` may differ from ``n``.
        ridge: The number :math:`\varepsilon` added to all eigenvalues, positive; it should be small against the variance
            of the features, yet above the rounding of the largest (1e-16 of it): no eigenvalue is taken as smaller.
        source_weights: Reliability weights of the source rows, shape ``(n,)``; rescaled to sum to one. At least two
            must be positive.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with two rows; if
            ``ridge`` is not positive; if weights are negative, not one a row, or fewer than two are positive; if the
            covariances are beyond float64.
        RuntimeError: In a second derivative, which is not offered.

    References:
        .. [1] Morerio, Cavazza and Murino. Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain
           Adaptation. ICLR 2018.

    Example:
        >>> source = torch.tensor([[1.0], [-1.0]])  # variance 2
        >>> round(log_coral_loss(source, 2 * source, ridge=1e-9).item(), 4)  # (log 2 - log 8)^2 / 4 = log(2)^2
        0.4805

    Note:
        The authors' code takes the mean of the squares, without the 1/4, and no ridge: its covariances must have full rank.
    """
    _checks.two_samples(source, target, min_rows=2)
    _checks.positive(ridge, "ridge")
    x, y, width = source.double(), target.double(), source.shape[1]
    u = covariance_weights(x, source_weights, "source_weights")
    v = covariance_weights(y, target_weights, "target_weights")
    x, y = centred(x, u / u.sum()), centred(y, v / v.sum())
    if len(source) + len(target) < width:
        # Outside the span of the rows both logarithms are log(ridge), so neither value nor gradient has a part there.
        basis = torch.linalg.qr(torch.cat([x.detach(), y.detach()]).mT).Q
        x, y = x @ basis, y @ basis
    covariances = [x.mT @ (u[:, None] * x), y.mT @ (v[:, None] * y)]
    for covariance in covariances:
        _checks.finite_loss(covariance.sum(), source, target)  # eigenvalues of what is not finite are torch's own error
    eye = torch.eye(x.shape[1], dtype=torch.float64, device=source.device)
    logarithms = [_log(covariance + ridge * eye, ridge) for covariance in covariances]
    return ((logarithms[0] - logarithms[1]).square().sum() / (4 * width**2)).to(source.dtype)


def _log(matrix: Tensor, least: float) -> Tensor:
    """The logarithm of a symmetric matrix whose eigenvalues are at least ``least``, but for rounding."""
    logarithm: Tensor = _MatrixLog.apply(matrix, least)[0]  # type: ignore[no-untyped-call]
    return logarithm


class _MatrixLog(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, least: float) -> tuple[Tensor, Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        values = values.clamp_min(least)
        return (vectors * values.log()) @ vectors.mT, values, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        of_matrix: Tensor = _DaleckiiKrein.apply(gradient, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return of_matrix, None


class _DaleckiiKrein(torch.autograd.Function):
    """The derivative of the matrix logarithm; not itself differentiable."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
        large, small = torch.maximum(values[:, None], values), torch.minimum(values[:, None], values)
        excess = (large - small) / small
        # (log a - log b) / (a - b) = log1p(x) / (x b) with x = (a - b) / b; where x is tiny, its series.
        near = excess < 1e-5
        quotient = torch.where(near, 1 - excess / 2, torch.log1p(excess) / torch.where(near, 1, excess)) / small
        return vectors @ (quotient * (vectors.mT @ gradient @ vectors)) @ vectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError("log_coral_loss has no second derivative; drop create_graph=True or use coral_loss")


class LogCORALLoss(nn.Module):
    """Module form of :func:`log_coral_loss`: stores the options, calls the function.

    Args:
        ridge: As in :func:`log_coral_loss`.

    Example:
        >>> source = torch.tensor([[1.0], [-1.0]])
        >>> round(LogCORALLoss(ridge=1e-9)(source, 2 * source).item(), 4)
        0.4805
    """

    def __init__(self, *, ridge: float = 1e-3) -> None:
        super().__init__()
        _checks.positive(ridge, "ridge")
        self.ridge = ridge

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return log_coral_loss(
            source, target, ridge=self.ridge, source_weights=source_weights, target_weights=target_weights
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"ridge={self.ridge:g}"
