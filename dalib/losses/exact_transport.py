"""Cost of the optimal transport between two batches."""

from __future__ import annotations

from torch import Tensor, nn

from dalib._bandwidths import refuse_infinite
from dalib._precision import float32_island
from dalib.distances import squared_distances
from dalib.losses._pooled import pool
from dalib.losses._transport import exact_coupling as exact_coupling
from dalib.row_weights import middle


@float32_island
def exact_transport_loss(
    source: Tensor,
    target: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared 2-Wasserstein distance of two batches: the least cost of moving one onto the other [1]_.

    .. math:: \min_P \sum_{ij} P_{ij} \|s_i - t_j\|^2, \qquad P \ge 0, \quad P 1 = a, \quad P^\top 1 = b

    with weights that sum to one. The costs are computed in float64. The plan is found on the CPU by an exact solver and
    held fixed in the gradient, which is the exact one wherever the best plan is unique. For equal numbers of unweighted
    rows it is an assignment (SciPy); else POT solves it, if installed (``pip install dalib[ot]``), or SciPy's linear
    programming, which is slower.

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
            are negative, all zero or not one a row; if a squared distance is beyond the dtype.
        RuntimeError: Inside ``torch.func`` transforms: the solver is outside of torch.

    References:
        .. [1] Villani. Optimal Transport: Old and New. Springer, 2009.

    Example:
        >>> exact_transport_loss(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [1.0]]))  # each moves by 1
        tensor(1.)

    Note:
        Of mini-batches it couples classes that the other batch lacks, and its mean over batches is above the distance of
        the distributions. The gradient does not flow into the weights.
    """
    pooled = pool(source, target, source_weights, target_weights)
    rows = pooled.rows.double()
    cost = squared_distances(rows, about=middle(rows, pooled.weights))[: len(source), len(source) :]
    refuse_infinite(cost.detach().amax().to(source.dtype), pooled.rows)
    plan: Tensor = exact_coupling(cost, pooled.source, pooled.target)
    return (plan * cost).sum().to(source.dtype)


class ExactTransportLoss(nn.Module):
    """Module form of :func:`exact_transport_loss`.

    Example:
        >>> ExactTransportLoss()(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [1.0]]))
        tensor(1.)
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
        return exact_transport_loss(source, target, source_weights=source_weights, target_weights=target_weights)
