"""Sinkhorn divergence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._bandwidths import refuse_infinite
from dalib._precision import float32_island
from dalib.distances import mean_squared_distance, squared_distances
from dalib.losses._entropic_transport import entropic_potentials, symmetric_potential
from dalib.losses._pooled import pool
from dalib.row_weights import middle

RELATIVE_EPSILON = 0.05
"""The default regularisation, in mean squared distances of the pooled sample."""


@float32_island
def sinkhorn_loss(
    source: Tensor,
    target: Tensor,
    *,
    epsilon: float | None = None,
    iterations: int = 200,
    tolerance: float = 1e-4,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Sinkhorn divergence: entropic transport between two samples, without its bias [1]_.

    .. math::
        S = \mathrm{OT}(s, t) - \tfrac12 \mathrm{OT}(s, s) - \tfrac12 \mathrm{OT}(t, t), \qquad
        \mathrm{OT}(s, t) = \max_{f, g} \sum_i a_i f_i + \sum_j b_j g_j
        - \varepsilon \sum_{ij} a_i b_j \bigl( e^{(f_i + g_j - \|s_i - t_j\|^2) / \varepsilon} - 1 \bigr)

    with weights that sum to one: the dual of :math:`\min_P \langle P, C \rangle + \varepsilon\,\mathrm{KL}(P | a b^\top)`.
    The potentials come from Sinkhorn's iteration, which is fast where it converges; where it has not after ``iterations``
    of them, as with a small :math:`\varepsilon` or with clusters of unequal mass, Newton's method goes on in float64, with
    logarithms and with :math:`\varepsilon` falling from the largest cost to its own value. The potentials are held fixed
    in the gradient, which at the optimum is the exact one; second derivatives are not, they miss how the potentials move.
    Zero for equal samples and otherwise positive, up to the tolerance of the iteration; between the squared Wasserstein
    distance (small :math:`\varepsilon`) and the squared distance of the means (large).

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        epsilon: The regularisation :math:`\varepsilon`, positive, in squared units of the features. Default: 0.05 times
            the mean squared distance of the pooled sample, outside the graph.
        iterations: Largest number of iterations, at least 1, and of Newton steps with this :math:`\varepsilon` after them.
        tolerance: The iteration stops when the sums of the plan are wrong by this much of the mass in total; 0 for just
            the given iterations, converged or not. On CUDA and under ``torch.func`` just these are made too, so that no
            device is waited for: with logarithms, the first half of them with a falling :math:`\varepsilon`.
        source_weights: Weights :math:`a_i` of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative up to the tolerance; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or a number is of another type.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row; if weights
            are negative, all zero or not one a row; if ``epsilon``, ``iterations`` or ``tolerance`` is out of range, such
            as an epsilon below 1e-10 of the largest cost (where values may be read); if a squared distance is beyond
            the dtype.

    Warns:
        RuntimeWarning: If a positive tolerance is not reached, where values may be read.

    References:
        .. [1] Feydy et al. Interpolating between Optimal Transport and MMD using Sinkhorn Divergences. AISTATS 2019.

    Example:
        >>> round(sinkhorn_loss(torch.zeros(2, 1), torch.full((3, 1), 2.0), epsilon=0.1).item(), 4)  # all mass moves by 2
        4.0

    Note:
        The cost is the squared distance; geomloss takes half of it, so its ``blur`` is the square root of half this
        :math:`\varepsilon`, and its value half this value. POT's ``empirical_sinkhorn_divergence`` leaves the entropy out of
        the value.

        Costs and value are of the inputs' dtype, for speed. In float32 a value that is small beside the costs, as of
        clusters far apart that nearly match, loses digits (6.375 for 6.229 at costs of 6e7); float64 features keep them.
    """
    pooled = pool(source, target, source_weights, target_weights)
    if epsilon is not None:
        _checks.positive(epsilon, "epsilon")
    _checks.at_least(iterations, 1, "iterations")
    _refuse_tolerance(tolerance)
    if epsilon is None:
        floor = torch.finfo(source.dtype).tiny * 2**10
        strength = (RELATIVE_EPSILON * mean_squared_distance(pooled.rows, pooled.weights)).clamp_min(floor)
    else:
        if epsilon > torch.finfo(source.dtype).max:
            raise ValueError(f"epsilon must be a number that {source.dtype} can hold, got {epsilon:g}")
        strength = source.new_tensor(epsilon)
    a, b = pooled.source, pooled.target
    about = middle(pooled.rows, pooled.weights)  # the same for both, so that rows far from zero keep their digits
    x, y = source - about, target - about
    cost = squared_distances(x.detach(), y.detach(), about=(a @ x).detach())
    refuse_infinite(torch.maximum(cost.amax(), strength), pooled.rows)
    f, g = entropic_potentials(cost, a.detach(), b.detach(), strength, iterations=iterations, tolerance=tolerance)
    across = _cost(f, g, cost, x, y, a, b, strength)
    within = []
    for rows, row_shares in ((x, a), (y, b)):
        cost = squared_distances(rows.detach(), about=(row_shares @ rows).detach())
        refuse_infinite(cost.amax(), pooled.rows)
        potential = symmetric_potential(cost, row_shares.detach(), strength, iterations=iterations, tolerance=tolerance)
        within.append(_cost(potential, potential, cost, rows, rows, row_shares, row_shares, strength))
    return across - (within[0] + within[1]) / 2


def _refuse_tolerance(tolerance: float) -> None:
    _checks.number(tolerance, "tolerance")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), got {tolerance:g}")


def _cost(f: Tensor, g: Tensor, cost: Tensor, x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: Tensor) -> Tensor:
    """The dual objective. Its derivative by the costs is the plan, which is all that the rows need of the graph.

    The potentials may have more digits than the costs: an exponent is a small difference of them, over epsilon.
    """
    # Between two far rows of weight zero the kernel would be infinite, and infinity times zero is NaN.
    most = math.log(torch.finfo(cost.dtype).max) - 8
    exponents = ((f[:, None] + g - cost) / epsilon).clamp_max(most)
    kernel, above_one = torch.exp(exponents).to(cost.dtype), torch.expm1(exponents).to(cost.dtype)
    f, g = f.to(cost.dtype), g.to(cost.dtype)
    dual = a @ f + b @ g - epsilon * (a @ above_one @ b)  # a large epsilon would multiply the rounding of a difference
    plan = kernel * (a[:, None] * b).detach()
    moved = plan.sum(dim=1) @ (x * x).sum(dim=1) + plan.sum(dim=0) @ (y * y).sum(dim=1) - 2 * (x * (plan @ y)).sum()
    return dual + (moved - moved.detach())


class SinkhornLoss(nn.Module):
    """Module form of :func:`sinkhorn_loss`: stores the options, calls the function.

    Args:
        epsilon: As in :func:`sinkhorn_loss`.
        iterations: As in :func:`sinkhorn_loss`.
        tolerance: As in :func:`sinkhorn_loss`.

    Raises:
        TypeError: If an option is of the wrong kind.
        ValueError: If an option is out of range.

    Example:
        >>> round(SinkhornLoss(epsilon=0.1)(torch.zeros(2, 1), torch.full((3, 1), 2.0)).item(), 4)
        4.0
    """

    def __init__(self, *, epsilon: float | None = None, iterations: int = 200, tolerance: float = 1e-4) -> None:
        super().__init__()
        if epsilon is not None:
            _checks.positive(epsilon, "epsilon")
        _checks.at_least(iterations, 1, "iterations")
        _refuse_tolerance(tolerance)
        self.epsilon = epsilon
        self.iterations = iterations
        self.tolerance = tolerance

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return sinkhorn_loss(
            source,
            target,
            epsilon=self.epsilon,
            iterations=self.iterations,
            tolerance=self.tolerance,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"epsilon={self.epsilon}, iterations={self.iterations}, tolerance={self.tolerance:g}"
