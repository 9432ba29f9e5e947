"""The bandwidths of kernels: as given, or by the scale of the sample."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dalib import _checks
from dalib.distances import mean_squared_distance, median_squared_distance
from dalib.row_weights import middle

Rule = Callable[[Tensor, Tensor | None], Tensor]
"""``rule(rows, weights) -> squared distance``: the scale of a sample, for bandwidths."""

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The default variances of a multi-scale Gaussian kernel, in mean squared distances."""


def gaussian_variances(
    rows: Tensor, bandwidths: Sequence[float] | Tensor | None, weights: Tensor | None = None
) -> Tensor:
    """The squared bandwidths of a multi-scale Gaussian kernel: the given ones, or the default for these rows.

    Args:
        rows: The pooled sample, shape ``(n, d)``.
        bandwidths: Kernel widths, each positive; default: the square roots of :data:`SCALES` times the mean squared
            distance of ``rows``, which has a floor so that equal rows give a kernel of one and not a NaN.
        weights: One weight a row for the default, shape ``(n,)``.

    Returns:
        Shape ``(B,)``, outside the graph.

    Raises:
        TypeError: If the bandwidths are not numbers.
        ValueError: If there is no bandwidth, or one is not positive and finite or its square is not in the dtype of
            ``rows``.

    Example:
        >>> gaussian_variances(torch.zeros(2, 1), [1.0, 3.0])
        tensor([1., 9.])
    """
    if bandwidths is None:
        return scaled(SCALES, mean_squared_distance, rows, weights)
    if not isinstance(bandwidths, Tensor):
        widths = numbers(bandwidths)
        if not widths:
            raise ValueError("bandwidths must be a sequence of at least one number, got none")
        refuse_bandwidths(widths, rows.dtype)
        return torch.tensor([width * width for width in widths], dtype=rows.dtype, device=rows.device)
    if bandwidths.ndim != 1 or len(bandwidths) == 0:
        raise ValueError(f"bandwidths must be a sequence of at least one number, got shape {tuple(bandwidths.shape)}")
    if bandwidths.dtype == torch.bool or bandwidths.is_complex():
        raise TypeError(f"bandwidths must be a tensor of real numbers, got {bandwidths.dtype}")
    if _checks.values_are_checked(bandwidths):
        refuse_bandwidths(bandwidths.tolist(), rows.dtype)
    return bandwidths.detach().to(rows) ** 2


def refuse_bandwidths(widths: Sequence[float], dtype: torch.dtype, name: str = "bandwidths") -> None:
    """Raise unless the widths are positive and finite, and so are their squares in a dtype."""
    if not all(0 < width < math.inf for width in widths):
        raise ValueError(f"{name} must be positive and finite, got {list(widths)}")
    limits = torch.finfo(dtype)  # a subnormal square has few digits, and an infinite inverse
    if not all(limits.tiny <= width * width <= limits.max for width in widths):
        raise ValueError(f"{name} must have squares that {dtype} can hold, got {list(widths)}")


def numbers(bandwidths: object) -> tuple[float, ...]:
    """The bandwidths as a tuple of floats.

    Raises:
        TypeError: If they are not a sequence of numbers.

    Example:
        >>> numbers([1, 2.5])
        (1.0, 2.5)
    """
    try:
        if isinstance(bandwidths, Sequence) and any(isinstance(width, str | bool) for width in bandwidths):
            raise TypeError
        return tuple(float(width) for width in bandwidths)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"bandwidths must be a sequence of numbers, such as [1.0, 2.0], got {bandwidths!r}") from None


def refuse_rule(rule: object) -> None:
    """Raise unless the rule of a kernel is a function."""
    if not callable(rule):
        raise TypeError(
            f"rule must be a function of rows and weights, got {type(rule).__name__}; try median_squared_distance"
        )


def written(kernel: Any) -> str:
    """A kernel of a bandwidth or several by its options, without those that are idle: the same text in every process."""
    options = {field.name: getattr(kernel, field.name) for field in dataclasses.fields(kernel)}
    widths = next(iter(options))
    idle = (widths,) if options[widths] is None else ("rule", "scales")
    options["rule"] = getattr(kernel.rule, "__name__", type(kernel.rule).__name__)
    return f"{type(kernel).__name__}({', '.join(f'{name}={value}' for name, value in options.items() if name not in idle)})"


def scaled(scales: Sequence[float], rule: Rule, rows: Tensor, weights: Tensor | None) -> Tensor:
    """Multiples of the scale of a sample; equal rows have none, and get a floor that keeps the kernel at one.

    Raises:
        TypeError: If the rule does not return a tensor.
        ValueError: If that is no scalar; where values are checked, if it is negative or NaN or the scale is beyond the dtype
            of the rows.

    Example:
        >>> scaled((0.5, 2.0), mean_squared_distance, torch.tensor([[0.0], [2.0]]), None)
        tensor([1., 4.])
    """
    factors = torch.tensor([float(each) for each in scales], dtype=rows.dtype, device=rows.device)
    variances = factors * with_floor(_by_rule(rule, rows, weights), middle(rows, weights).detach())
    refuse_infinite(variances.amax(), rows)
    return variances


def _by_rule(rule: Rule, rows: Tensor, weights: Tensor | None) -> Tensor:
    """What a rule, which may be the user's, says of rows, outside the graph."""
    scale = rule(rows, weights)
    if not isinstance(scale, Tensor):
        raise TypeError(f"rule must return a tensor, got {type(scale).__name__}")
    if scale.ndim != 0:
        raise ValueError(f"rule must return a scalar tensor, got shape {tuple(scale.shape)}")
    scale = scale.detach()
    if _checks.values_are_checked(scale) and not scale >= 0 and bool(rows.isfinite().all()):
        if rule in (mean_squared_distance, median_squared_distance):  # which are negative of no rows
            _checks.refuse_overflow(rows)
        raise ValueError(f"rule must return a squared distance that is not negative, got {float(scale):g}")
    return scale


def with_floor(scale: Tensor, around: Tensor) -> Tensor:
    """The scale of rows around ``around``, shape ``(d,)``, not below a floor: see :func:`scaled`.

    Nearer to one another than their rounding rows are equal. Also a multiple of the floor is a normal number, and so is
    its inverse.

    Example:
        >>> with_floor(torch.tensor(2.0), torch.zeros(3))
        tensor(2.)
    """
    limits = torch.finfo(around.dtype)
    rounding = around * limits.eps
    return torch.maximum(scale, torch.dot(rounding, rounding)).clamp_min(limits.tiny * 2**10)


def number_with_floor(scale: float, around: float, dtype: torch.dtype) -> float:
    """:func:`with_floor` of numbers: the scale of rows in ``dtype`` around what has the square ``around``.

    Example:
        >>> number_with_floor(2.0, 0.0, torch.float32)
        2.0
    """
    limits = torch.finfo(dtype)
    return max(scale, around * limits.eps**2, limits.tiny * 2**10)


def refuse_infinite(widest: Tensor, rows: Tensor) -> None:
    """Raise if the largest variance of a kernel for these rows is not finite, where values are checked."""
    if _checks.values_are_checked(widest) and not math.isfinite(widest):
        _checks.refuse_overflow(rows)
