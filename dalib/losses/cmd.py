"""Central moment discrepancy."""

from __future__ import annotations

from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.distances import roots
from dalib.losses._moments import centred
from dalib.row_weights import shares


@float32_island
def cmd_loss(
    source: Tensor,
    target: Tensor,
    *,
    order: int = 5,
    interval: tuple[float, float] = (0.0, 1.0),
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Distances of the means and of the central moments of each feature: central moment discrepancy [1]_.

    .. math::
        \frac{\| \mu_s - \mu_t \|}{|b - a|} + \sum_{k=2}^{K} \frac{\| c_k(s) - c_k(t) \|}{|b - a|^k}, \qquad
        c_k(x) = \sum_i w_i (x_i - \mu)^k \text{ entry by entry}

    with weights that sum to one. Euclidean norms, whose gradient at zero is taken as zero. Blind to the correlations of
    the features. The features should be bounded (after a sigmoid or tanh): high moments of unbounded ones explode.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        order: The highest moment :math:`K`, at least 1; 5 in the paper.
        interval: The range ``(a, b)`` of the features; (0, 1) after a sigmoid, (-1, 1) after a tanh.
        source_weights: Weights of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``order`` is not an integer or
            ``interval`` not a pair of numbers.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row; if ``order``
            is below 1; if ``interval`` is not ``(a, b)`` with ``a < b``; if weights are negative, all zero or not one a
            row; if the features are too large for the loss to be in its dtype.

    References:
        .. [1] Zellinger et al. Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning. ICLR 2017.

    Example:
        >>> source = torch.tensor([[0.0], [1.0]])
        >>> cmd_loss(source, source / 2, order=2)  # |1/2 - 1/4| + |1/4 - 1/16|
        tensor(0.4375)

    Note:
        The authors' code leaves out the powers of ``|b - a|``: the same for the default interval.
    """
    _checks.two_samples(source, target)
    length = _length(interval)
    _checks.at_least(order, 1, "order")
    a, b = shares(source, source_weights, "source_weights"), shares(target, target_weights, "target_weights")
    about = (a @ source).detach()  # the same for both: far from zero it keeps the digits of the difference
    value = _norm(a @ (source - about) - b @ (target - about)) / length
    x, y = _rows(source, a) / length, _rows(target, b) / length
    x_power, y_power = x, y
    for _ in range(2, order + 1):
        x_power, y_power = x_power * x, y_power * y
        value = value + _norm(_mean(x_power, a) - _mean(y_power, b))
    _checks.finite_loss(value, source, target)
    return value


def _rows(rows: Tensor, row_shares: Tensor) -> Tensor:
    """Centred; those of weight zero as zero, for the powers of far ones may be infinite."""
    return centred(rows, row_shares).masked_fill((row_shares == 0)[:, None], 0)


def _mean(rows: Tensor, row_shares: Tensor) -> Tensor:
    """By a sum in pieces, which a matrix product is not: of moments that nearly cancel it leaves a digit more."""
    return (row_shares[:, None] * rows).sum(dim=0)


def _norm(x: Tensor) -> Tensor:
    return roots((x * x).sum())


def _length(interval: tuple[float, float]) -> float:
    if not isinstance(interval, tuple | list) or len(interval) != 2:
        raise TypeError(f"interval must be a pair (a, b), got {interval!r}")
    for end in interval:
        _checks.number(end, "interval")
    length = interval[1] - interval[0]
    if not 0 < length < float("inf"):
        raise ValueError(f"interval must be (a, b) with a < b, both finite, got {tuple(interval)}")
    return float(length)


class CMDLoss(nn.Module):
    """Module form of :func:`cmd_loss`: stores the options, calls the function.

    Args:
        order: As in :func:`cmd_loss`.
        interval: As in :func:`cmd_loss`.

    Example:
        >>> source = torch.tensor([[0.0], [1.0]])
        >>> CMDLoss(order=2)(source, source / 2)
        tensor(0.4375)
    """

    def __init__(self, *, order: int = 5, interval: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__()
        _checks.at_least(order, 1, "order")
        _length(interval)
        self.order = order
        self.interval = interval

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return cmd_loss(
            source,
            target,
            order=self.order,
            interval=self.interval,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"order={self.order}, interval={self.interval}"
