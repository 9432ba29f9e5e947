"""The relative density ratio by least squares on tensors, of any rows: the twin of ``RuLSIF``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dalib import _checks
from dalib.weights._tensor_kernels import gaussian, mean_distance, refuse_wide_scales


class RelativeRatio(NamedTuple):
    """A density ratio that was learnt by :func:`relative_ratio`; call it for the weights of any rows.

    Example:
        >>> ratio = RelativeRatio(torch.zeros(1, 1), torch.tensor([0.5]), bandwidth=1.0, ridge=0.1, scale=0.25)
        >>> ratio(torch.tensor([[0.0], [1.0]]))  # 2 and 2 e^-0.5
        tensor([2.0000, 1.2131])
    """

    centres: Tensor
    """Shape ``(centres, d)``."""
    coefficients: Tensor
    """Shape ``(centres,)``, not negative."""
    bandwidth: float
    """The kernel width chosen."""
    ridge: float
    """The regulariser chosen."""
    scale: float
    """Mean of the ratio over the source rows that it was learnt from; weights are divided by it."""

    def __call__(self, rows: Tensor) -> Tensor:
        """One weight a row, shape ``(rows,)``; their mean is one over the source rows it was learnt from.

        Raises:
            TypeError: If the rows are not a floating-point tensor.
            ValueError: If they do not have the features that the ratio was learnt from, or are not finite.
        """
        _checks.matrix(rows, "rows")
        if rows.shape[1] != self.centres.shape[1]:
            raise ValueError(f"rows must have {self.centres.shape[1]} features, got {rows.shape[1]}")
        kernel = gaussian(rows.to(self.centres.dtype), self.centres, self.bandwidth)
        return (kernel @ self.coefficients / self.scale).to(rows.dtype)


@torch.no_grad()
def relative_ratio(
    source: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.1,
    bandwidths: Sequence[float] | None = None,
    ridges: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 10.0),
    centres: int = 100,
    generator: torch.Generator | None = None,
) -> RelativeRatio:
    r"""The relative density ratio (RuLSIF, uLSIF at ``alpha=0``) [1]_ of tensors, as :class:`RuLSIF` learns it.

    .. math:: \theta = \max\bigl(0, (H + \lambda I)^{-1} h\bigr), \qquad
              H = \tfrac\alpha m \Phi_t^\top\Phi_t + \tfrac{1-\alpha}n \Phi_s^\top\Phi_s, \quad h = \tfrac1m\Phi_t^\top 1

    in float64 on the tensors' device. Bandwidth and ridge have the smallest leave-one-out error, which is exact.

    Args:
        source: Source rows, shape ``(n, d)``.
        target: Target rows, shape ``(m, d)``.
        alpha: Share of the target in the denominator, in ``[0, 1]``. Default 0.1.
        bandwidths: Candidates. Default: the root of the mean squared distance times 1/4, 1/2, 1, 2 and 4.
        ridges: Candidates for :math:`\lambda`. Default 0.001, 0.01, 0.1, 1 and 10.
        centres: Most centres, drawn from the target rows. Default 100.
        generator: Source of the centres and of the pairs that are left out, on the CPU. Default: one seeded with 0.

    Returns:
        The ratio, to be called for the weights of rows.

    Raises:
        TypeError: If the domains are not floating-point tensors of one dtype.
        ValueError: If they are not matrices of one width on one device, an option is out of range, or no weight is left.

    References:
        .. [1] Yamada, Suzuki, Kanamori, Hachiya, Sugiyama. Relative Density-Ratio Estimation for Robust Distribution
            Comparison. Neural Computation 25, 2013.

    Example:
        >>> source, target = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0]])
        >>> ratio = relative_ratio(source, target, alpha=0.0, bandwidths=[1.0])
        >>> ratio(torch.tensor([[0.0], [2.0]]))  # 1 : e^-2, where 1 and e^-0.5 have the mean one
        tensor([1.2449, 0.1685])
    """
    _checks.two_samples(source, target)
    _checks.number(alpha, "alpha")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    _checks.at_least(centres, 1, "centres")
    ridges = _sequence(ridges, "ridges")
    rows, others = source.double(), target.double()
    refuse_wide_scales(rows, others)
    middle = mean_distance(rows, others)
    widths = (
        [middle * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0)]
        if bandwidths is None
        else _sequence(bandwidths, "bandwidths")
    )
    for name, values in (("bandwidths", widths), ("ridges", ridges)):
        if not values:
            raise ValueError(f"{name} must have at least one entry, got none")
        for value in values:
            _checks.positive(value, name)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    points = others[torch.randperm(len(others), generator=generator)[:centres].to(others.device)]
    width, ridge = _chosen(rows, others, points, widths, ridges, alpha, generator)
    s, t = gaussian(rows, points, width), gaussian(others, points, width)
    H = alpha / len(t) * t.T @ t + (1.0 - alpha) / len(s) * s.T @ s
    H.diagonal().add_(ridge)
    values = torch.linalg.eigvalsh(H)
    if not bool(values[0] > len(H) * torch.finfo(H.dtype).eps * values[-1]):  # the solution would be rounding
        raise ValueError(
            f"ridges must be large enough for a system that can be solved, got {ridge:g}; pass larger ones"
        )
    theta = torch.linalg.solve(H, t.mean(dim=0)).clamp_min(0)
    scale = float((s @ theta).mean())
    if not scale > 0:
        raise ValueError("source and target must overlap, got no source row near the target; pass wider bandwidths")
    return RelativeRatio(points, theta, float(width), float(ridge), scale)


def _chosen(
    rows: Tensor,
    others: Tensor,
    points: Tensor,
    widths: Sequence[float],
    ridges: Sequence[float],
    alpha: float,
    generator: torch.Generator,
) -> tuple[float, float]:
    """The bandwidth and the ridge of the smallest leave-one-out error; those in the middle where nothing can be left out."""
    choice = (len(widths) - 1) // 2 * len(ridges) + (len(ridges) - 1) // 2
    pairs = min(len(rows), len(others))
    if len(widths) * len(ridges) > 1 and pairs > 1:
        out_s = torch.randperm(len(rows), generator=generator)[:pairs].to(rows.device)
        out_t = torch.randperm(len(others), generator=generator)[:pairs].to(rows.device)
        errors = torch.stack(
            [
                leave_one_out_errors(
                    gaussian(rows, points, one), gaussian(others, points, one), ridges, alpha, (out_s, out_t)
                )
                for one in widths
            ]
        )
        choice = int(errors.nan_to_num(nan=torch.inf).argmin())  # NaN of ridges so small that no number is left
    return widths[choice // len(ridges)], ridges[choice % len(ridges)]


def relative_ratio_weights(
    source: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.1,
    bandwidths: Sequence[float] | None = None,
    ridges: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 10.0),
    centres: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Importance weights of the source rows by :func:`relative_ratio`; no gradient flows through them.

    .. math:: w_i = r(s_i) \Big/ \tfrac1n \sum_j r(s_j)

    Args:
        source: Source rows, shape ``(n, d)``.
        target: Target rows, shape ``(m, d)``.
        alpha: As in :func:`relative_ratio`, like the options below.
        bandwidths: Candidates for the kernel width.
        ridges: Candidates for the regulariser.
        centres: Most centres.
        generator: Source of the centres and of the pairs that are left out.

    Returns:
        Weights of the source rows, shape ``(n,)``, mean one, in the dtype and on the device of ``source``.

    Raises:
        TypeError: As :func:`relative_ratio`.
        ValueError: As :func:`relative_ratio`.

    Example:
        >>> source, target = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0]])
        >>> relative_ratio_weights(source, target, alpha=0.0, bandwidths=[1.0])  # 1 : e^-0.5
        tensor([1.2449, 0.7551])
    """
    ratio = relative_ratio(
        source, target, alpha=alpha, bandwidths=bandwidths, ridges=ridges, centres=centres, generator=generator
    )
    return ratio(source.detach())


def leave_one_out_errors(
    at_source: Tensor, at_target: Tensor, ridges: Sequence[float], alpha: float, left_out: tuple[Tensor, Tensor]
) -> Tensor:
    """The errors of ``dalib.weights.ulsif.leave_one_out_errors``, which has the formula, on tensors."""
    n, m = len(at_source), len(at_target)
    by_source, by_target = (1.0 - alpha) / max(n - 1, 1), alpha / max(m - 1, 1)
    values, vectors = torch.linalg.eigh(by_source * at_source.T @ at_source + by_target * at_target.T @ at_target)
    s, t = at_source[left_out[0]], at_target[left_out[1]]
    s_rotated, t_rotated = s @ vectors, t @ vectors
    h = (at_target.sum(dim=0) @ vectors - t_rotated) / max(m - 1, 1)
    errors = []
    for ridge in ridges:
        inverse = 1.0 / (values.clamp_min(0) + ridge)
        s_scaled, t_scaled = s_rotated * inverse, t_rotated * inverse
        ss, tt, st = ((a * b).sum(1) for a, b in ((s_rotated, s_scaled), (t_rotated, t_scaled), (s_rotated, t_scaled)))
        sh, th = (s_scaled * h).sum(1), (t_scaled * h).sum(1)
        a, b, c, d = 1.0 - by_source * ss, -by_source * st, -by_target * st, 1.0 - by_target * tt
        determinant = a * d - b * c
        on_s = (d * by_source * sh - b * by_target * th) / determinant
        on_t = (a * by_target * th - c * by_source * sh) / determinant
        theta = ((h * inverse + on_s[:, None] * s_scaled + on_t[:, None] * t_scaled) @ vectors.T).clamp_min(0)
        r_source, r_target = (theta * s).sum(1), (theta * t).sum(1)
        errors.append((0.5 * alpha * r_target**2 + 0.5 * (1.0 - alpha) * r_source**2 - r_target).mean())
    return torch.stack(errors)


def _sequence(values: Sequence[float], name: str) -> list[float]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a sequence of numbers, got {type(values).__name__}; write [value] for one")
    return list(values)
