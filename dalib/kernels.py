"""Kernels, their sums and products, and the rules for their bandwidths.

A kernel is called with one or two matrices of rows and returns the matrix of its values. One whose bandwidth depends on
the data takes it, outside the graph, from the rows that it is called with; the losses take it from the pooled sample by
``kernel.at(pooled, weights)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass

import torch
from torch import Tensor

from dalib import _checks
from dalib._bandwidths import SCALES, Rule, gaussian_variances, numbers, refuse_bandwidths, refuse_rule, scaled, written
from dalib.distances import mean_squared_distance, median_squared_distance, roots, squared_distances
from dalib.row_weights import middle

__all__ = [
    "SCALES",
    "Gaussian",
    "Gram",
    "Kernel",
    "KernelProduct",
    "KernelSum",
    "Laplacian",
    "Linear",
    "Polynomial",
    "RationalQuadratic",
    "Rule",
    "chosen",
    "gaussian_kernel",
    "gaussian_variances",
    "mean_squared_distance",
    "median_squared_distance",
    "squared_distances",
]

Gram = Callable[..., Tensor]
"""``gram(x, y=None) -> values``: rows ``(..., n, d)`` and ``(..., m, d)`` to ``(..., n, m)``; ``y`` defaults to ``x``."""


def gaussian_kernel(distances: Tensor, variances: Tensor) -> Tensor:
    r"""Mean of Gaussian kernels :math:`k = \frac1B \sum_b \exp(-\|x - y\|^2 / 2\sigma_b^2)`.

    Args:
        distances: Squared distances, any shape.
        variances: The squared bandwidths :math:`\sigma_b^2`, shape ``(B,)``.

    Returns:
        Same shape as ``distances``, in ``[0, 1]``.

    Example:
        >>> gaussian_kernel(torch.tensor([0.0, 2.0]), torch.tensor([1.0]))  # 1 and 1/e
        tensor([1.0000, 0.3679])
    """
    kernel = torch.zeros_like(distances)
    for variance in variances.unbind():
        kernel = kernel + torch.exp(distances / (-2 * variance))
    return kernel / len(variances)


class Kernel:
    """What all kernels here share: ``a + b`` is their sum, ``a * b`` their product."""

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The kernel with the bandwidth of these rows: ``gram(x, y=None) -> values``.

        Args:
            rows: The pooled sample, shape ``(n, d)``.
            weights: One weight a row for the bandwidth, shape ``(n,)``.
        """
        raise TypeError(f"{type(self).__name__} must define at(rows, weights), got a kernel without it")

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The values for all pairs of rows, shape ``(n, m)``."""
        return self.at(x if y is None else torch.cat([x, y]))(x, y)

    def __add__(self, other: Kernel) -> Kernel:
        return KernelSum(self, other)

    def __mul__(self, other: Kernel) -> Kernel:
        return KernelProduct(self, other)


@dataclass(frozen=True)
class _OfTwo(Kernel):
    first: Kernel
    second: Kernel

    def __post_init__(self) -> None:
        for kernel, name in ((self.first, "first"), (self.second, "second")):
            if not isinstance(kernel, Kernel):
                raise TypeError(f"{name} must be a dalib.kernels.Kernel, got {type(kernel).__name__}")


@dataclass(frozen=True)
class KernelSum(_OfTwo):
    """Sum of two kernels; written ``first + second``.

    Args:
        first: A kernel.
        second: Another.

    Raises:
        TypeError: If one is not a kernel.

    Example:
        >>> (Linear() + Linear())(torch.tensor([[3.0]]))  # 9 + 9
        tensor([[18.]])
    """

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The sum with the bandwidths of these rows."""
        first, second = self.first.at(rows, weights), self.second.at(rows, weights)
        return lambda x, y=None: first(x, y) + second(x, y)


@dataclass(frozen=True)
class KernelProduct(_OfTwo):
    """Product of two kernels; written ``first * second``.

    Args:
        first: A kernel.
        second: Another.

    Raises:
        TypeError: If one is not a kernel.

    Example:
        >>> (Linear() * Linear())(torch.tensor([[3.0]]))  # 9 times 9
        tensor([[81.]])
    """

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The product with the bandwidths of these rows."""
        first, second = self.first.at(rows, weights), self.second.at(rows, weights)
        return lambda x, y=None: first(x, y) * second(x, y)


def _origin(rows: Tensor, weights: Tensor | None) -> Tensor | None:
    """What distances are computed about where rows have weights; without, each matrix of rows has its own mean."""
    return None if weights is None else middle(rows, weights)


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(Kernel):
    r"""Mean of Gaussian kernels, :math:`\frac1B \sum_b \exp(-\|x - y\|^2 / 2\sigma_b^2)`.

    Args:
        bandwidths: The widths :math:`\sigma_b`, each positive. Default: :math:`\sigma_b^2 =` ``scales`` times ``rule``.
        rule: Scale of the sample: :func:`mean_squared_distance` or :func:`median_squared_distance`.
        scales: Factors of the rule.

    Raises:
        TypeError: If the bandwidths or scales are not numbers, or ``rule`` is no function.
        ValueError: If there is no bandwidth or scale, or one is not positive and finite.

    Example:
        >>> Gaussian([1.0])(torch.tensor([[0.0], [2.0]]))  # 1 and exp(-2)
        tensor([[1.0000, 0.1353],
                [0.1353, 1.0000]])
    """

    bandwidths: Sequence[float] | Tensor | None = None
    rule: Rule = mean_squared_distance
    scales: Sequence[float] = SCALES

    def __post_init__(self) -> None:
        if self.bandwidths is not None:
            given = self.bandwidths
            kept = given.detach().clone() if isinstance(given, Tensor) else numbers(given)
            object.__setattr__(self, "bandwidths", kept)
            gaussian_variances(torch.empty(0, 1, dtype=torch.float64), self.bandwidths)
        refuse_rule(self.rule)
        if not isinstance(self.scales, Iterable) or not isinstance(self.scales, Sized):
            raise TypeError(f"scales must be a sequence of numbers, got {type(self.scales).__name__}")
        if len(self.scales) == 0:
            raise ValueError("scales must be a sequence of at least one number, got none")
        for scale in self.scales:
            _checks.positive(scale, "scales")
        object.__setattr__(self, "scales", tuple(self.scales))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gaussian) and self._options() == other._options()

    def __hash__(self) -> int:
        return hash(self._options())

    def __repr__(self) -> str:
        return written(self)

    def _options(self) -> tuple[object, ...]:
        return None if self.bandwidths is None else tuple(map(float, self.bandwidths)), self.rule, self.scales

    def variances(self, rows: Tensor, weights: Tensor | None = None) -> Tensor:
        """The squared bandwidths for these rows, shape ``(B,)``, outside the graph."""
        if self.bandwidths is not None:
            return gaussian_variances(rows, self.bandwidths)
        return scaled(self.scales, self.rule, rows, weights)

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The kernel with the bandwidths of these rows."""
        variances, about = self.variances(rows, weights), _origin(rows, weights)
        return lambda x, y=None: gaussian_kernel(squared_distances(x, y, about=about), variances)


_DEFAULT = Gaussian()
"""The kernel of the losses that are given none: made once, for its checks are not free beside a small batch."""


@dataclass(frozen=True, repr=False)
class _OneBandwidth(Kernel):
    bandwidth: float | None = None
    rule: Rule = mean_squared_distance

    def __post_init__(self) -> None:
        if self.bandwidth is not None:
            _checks.positive(self.bandwidth, "bandwidth")
        refuse_rule(self.rule)

    def __repr__(self) -> str:
        return written(self)

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The kernel with the bandwidth of these rows."""
        if self.bandwidth is None:
            variance = scaled((1.0,), self.rule, rows, weights)[0]
        else:
            refuse_bandwidths([float(self.bandwidth)], rows.dtype, "bandwidth")
            variance = rows.new_tensor(float(self.bandwidth)) ** 2
        about = _origin(rows, weights)
        return lambda x, y=None: self._between(x, y, variance, about)

    def _between(self, x: Tensor, y: Tensor | None, variance: Tensor, about: Tensor | None) -> Tensor:
        return self._of(squared_distances(x, y, about=about), variance)

    def _of(self, distances: Tensor, variance: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define _of, got a kernel without it")


@dataclass(frozen=True, repr=False)
class Laplacian(_OneBandwidth):
    r"""The kernel :math:`\exp(-\|x - y\| / \sigma)` with the Euclidean norm; its gradient at equal rows is taken as zero.

    Computed in float64 and returned in the dtype of the rows: the root of a distance that is zero but for rounding is not
    small in float32.

    Args:
        bandwidth: The width :math:`\sigma`, positive. Default: the square root of ``rule``.
        rule: Scale of the sample: :func:`mean_squared_distance` or :func:`median_squared_distance`.

    Raises:
        TypeError: If a number is of another type, or ``rule`` is no function.
        ValueError: If the bandwidth is not positive and finite; where rows come, if its square is not in their dtype.

    Example:
        >>> Laplacian(2.0)(torch.tensor([[0.0], [2.0]]))  # 1 and 1/e
        tensor([[1.0000, 0.3679],
                [0.3679, 1.0000]])
    """

    def _between(self, x: Tensor, y: Tensor | None, variance: Tensor, about: Tensor | None) -> Tensor:
        doubles = (None if each is None else each.double() for each in (y, variance, about))
        return super()._between(x.double(), *doubles).to(x.dtype)  # type: ignore[arg-type]

    def _of(self, distances: Tensor, variance: Tensor) -> Tensor:
        return torch.exp(roots(distances) / -variance.sqrt())


@dataclass(frozen=True, repr=False)
class RationalQuadratic(_OneBandwidth):
    r"""The kernel :math:`(1 + \|x - y\|^2 / 2\alpha\sigma^2)^{-\alpha}`: a scale mixture of Gaussians.

    Args:
        bandwidth: The width :math:`\sigma`, positive. Default: the square root of ``rule``.
        rule: Scale of the sample: :func:`mean_squared_distance` or :func:`median_squared_distance`.
        alpha: The exponent, positive; the kernel tends to the Gaussian as it grows.

    Raises:
        TypeError: If a number is of another type, or ``rule`` is no function.
        ValueError: If the bandwidth or ``alpha`` is not positive and finite; where rows come, if the square of the
            bandwidth is not in their dtype.

    Example:
        >>> RationalQuadratic(1.0, alpha=1.0)(torch.tensor([[0.0], [2.0]]))  # 1 and 1/3
        tensor([[1.0000, 0.3333],
                [0.3333, 1.0000]])
    """

    alpha: float = dataclasses.field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.positive(self.alpha, "alpha")

    def _of(self, distances: Tensor, variance: Tensor) -> Tensor:
        return (1 + distances / (2 * self.alpha * variance)) ** -self.alpha


@dataclass(frozen=True)
class Polynomial(Kernel):
    r"""The kernel :math:`(x \cdot y / d + c)^p`; it compares the moments up to order ``p``.

    Args:
        degree: The exponent :math:`p`, at least 1.
        offset: The constant :math:`c`, not negative. With zero only the moments of order ``p`` are compared.

    Raises:
        TypeError: If ``degree`` is not an integer or ``offset`` not a number.
        ValueError: If ``degree`` is below 1, or ``offset`` is negative or not finite.

    Example:
        >>> Polynomial(2)(torch.tensor([[1.0, 3.0]]))  # (10 / 2 + 1)^2
        tensor([[36.]])
    """

    degree: int = 3
    offset: float = 1.0

    def __post_init__(self) -> None:
        _checks.at_least(self.degree, 1, "degree")
        _checks.not_negative(self.offset, "offset")

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The kernel itself: it has no bandwidth."""
        return lambda x, y=None: (x @ (x if y is None else y).mT / x.shape[-1] + self.offset) ** self.degree


@dataclass(frozen=True)
class Linear(Kernel):
    r"""The kernel :math:`x \cdot y`: it compares the means.

    MMD takes it about the mean of the pooled rows: :func:`about_the_mean`.

    Example:
        >>> Linear()(torch.tensor([[1.0], [2.0]]))
        tensor([[1., 2.],
                [2., 4.]])
    """

    def at(self, rows: Tensor, weights: Tensor | None = None) -> Gram:
        """The kernel itself: it has no bandwidth."""
        return lambda x, y=None: x @ (x if y is None else y).mT


def about_the_mean(kernel: Kernel, rows: Tensor, weights: Tensor | None = None) -> Gram:
    """The kernel for these pooled rows, a linear one about their mean, for statistics that the origin drops out of.

    Far from zero the products of the rows have no digits left for what differs between two samples. The origin drops out
    where each row has the same share of the terms within its domain as of those across: in MMD, without weights in the
    unbiased and the block estimate, and for equal numbers of rows in the linear-time one. Other kernels are left as they
    are, in sums one by one.

    Args:
        kernel: Any kernel.
        rows: The pooled sample, shape ``(n, d)``.
        weights: One weight a row, shape ``(n,)``; a row of weight zero is not there.

    Example:
        >>> about_the_mean(Linear(), torch.tensor([[1.0], [3.0]]))(torch.tensor([[5.0]]))  # (5 - 2)^2
        tensor([[9.]])
    """
    if isinstance(kernel, KernelSum):
        first, second = (about_the_mean(part, rows, weights) for part in (kernel.first, kernel.second))
        return lambda x, y=None: first(x, y) + second(x, y)
    gram = kernel.at(rows, weights)
    if not isinstance(kernel, Linear):
        return gram
    rows = rows.detach()
    if weights is None:
        mean = rows.mean(dim=0)
    else:
        there = (weights.detach() > 0).to(rows.dtype)
        mean = there / there.sum() @ rows
    return lambda x, y=None: gram(x - mean, None if y is None else y - mean)


def chosen(kernel: Kernel | None, bandwidths: Sequence[float] | Tensor | None) -> Kernel:
    """The kernel that a loss was asked for, by a kernel or by bandwidths of the Gaussian one, or the default.

    Raises:
        TypeError: If ``kernel`` is not a :class:`Kernel`.
        ValueError: If both are given, or a bandwidth is wrong.

    Example:
        >>> chosen(None, [1.0]).bandwidths
        (1.0,)
    """
    if kernel is None:
        return _DEFAULT if bandwidths is None else Gaussian(bandwidths)
    if not isinstance(kernel, Kernel):
        raise TypeError(f"kernel must be a dalib.kernels.Kernel, got {type(kernel).__name__}; try Gaussian()")
    if bandwidths is not None:
        raise ValueError("bandwidths must be left out when kernel is given, got both; use kernel=Gaussian(bandwidths)")
    return kernel
