"""Max-sliced Wasserstein distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib._uncompiled import uncompiled
from dalib.losses._transport import slopes_on_lines, squared_wasserstein_on_lines
from dalib.row_weights import shares

STARTS = 8
"""From how many lines the search climbs."""


@float32_island
def max_sliced_wasserstein_loss(
    source: Tensor,
    target: Tensor,
    *,
    projections: int = 128,
    iterations: int = 20,
    generator: torch.Generator | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Squared 2-Wasserstein distance of the projections on the worst line that a search finds [1]_.

    .. math:: \max_{\|\theta\| = 1} W_2^2(\theta \cdot s, \theta \cdot t)

    The search tries the line through both means and random lines, and takes from the best eight of them ``iterations``
    steps towards :math:`\nabla_\theta W_2^2`, normalised: first all the way, half as far after a step that would make the
    distance smaller, which is not taken. Its value is a lower bound of the maximum; alike samples of many features may need
    more ``iterations`` to come near it. The gradient is that of the distance on this line, which is held fixed; at a
    maximum it is the exact one, while second derivatives are not: they miss how the line turns.

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        projections: Number of random lines at the start, at least 1.
        iterations: Number of steps, at least 0.
        generator: Source of randomness, on the device of the rows; default: torch's global one.
        source_weights: Weights :math:`a_i` of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, or ``generator`` is no ``torch.Generator``.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row; if weights
            are negative, all zero or not one a row; if a number is out of range; if the loss is beyond
            the dtype of the inputs.

    References:
        .. [1] Deshpande et al. Max-Sliced Wasserstein Distance and its use for GANs. CVPR 2019.

    Example:
        >>> source, target = torch.zeros(2, 2), torch.tensor([[3.0, 4.0]])
        >>> round(max_sliced_wasserstein_loss(source, target).item(), 4)  # along the shift: 5^2
        25.0
    """
    _checks.two_samples(source, target)
    _checks.at_least(projections, 1, "projections")
    _checks.at_least(iterations, 0, "iterations")
    _checks.generator(generator)
    a, b = shares(source, source_weights, "source_weights"), shares(target, target_weights, "target_weights")
    about = (a @ source).detach()
    x, y = source - about, target - about
    with torch.no_grad():
        direction: Tensor = _worst(x.detach(), y.detach(), a, b, projections, iterations, generator)
    value = squared_wasserstein_on_lines((x @ direction)[None], (y @ direction)[None], a, b)[0]
    _checks.finite_loss(value, source, target)
    return value


@uncompiled
def _worst(
    x: Tensor, y: Tensor, a: Tensor, b: Tensor, projections: int, iterations: int, generator: torch.Generator | None
) -> Tensor:
    """The best line of the search."""
    # Drawn in float32, so that one seed gives the same lines in every dtype.
    drawn = torch.randn(projections, x.shape[1], generator=generator, device=x.device, dtype=torch.float32)
    lines = _normalised(torch.cat([(a @ x - b @ y)[None], drawn.to(x.dtype)]))
    worths, chosen = squared_wasserstein_on_lines(lines @ x.mT, lines @ y.mT, a, b).topk(min(STARTS, len(lines)))
    lines = lines[chosen]
    step = torch.ones_like(worths)
    for _ in range(iterations):
        uphill = _normalised(slopes_on_lines(x, y, a, b, lines))
        tried = _normalised(torch.lerp(lines, uphill, step[:, None]))
        found = squared_wasserstein_on_lines(tried @ x.mT, tried @ y.mT, a, b)
        better = found > worths
        lines, worths = torch.where(better[:, None], tried, lines), torch.where(better, found, worths)
        step = torch.where(better, (1.5 * step).clamp_max(1), 0.5 * step)
    worst: Tensor = lines.index_select(0, worths.argmax()[None])[0]  # torch.func.vmap cannot index by it
    return worst


def _normalised(lines: Tensor) -> Tensor:
    lengths: Tensor = lines.norm(dim=1, keepdim=True)
    return lines / lengths.clamp_min(torch.finfo(lines.dtype).tiny)


class MaxSlicedWassersteinLoss(nn.Module):
    """Module form of :func:`max_sliced_wasserstein_loss`: stores the options, calls the function.

    Args:
        projections: As in :func:`max_sliced_wasserstein_loss`.
        iterations: As in :func:`max_sliced_wasserstein_loss`.
        generator: As in :func:`max_sliced_wasserstein_loss`.

    Example:
        >>> loss = MaxSlicedWassersteinLoss()(torch.zeros(2, 2), torch.tensor([[3.0, 4.0]]))
        >>> round(loss.item(), 4)
        25.0
    """

    def __init__(
        self, *, projections: int = 128, iterations: int = 20, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        _checks.at_least(projections, 1, "projections")
        _checks.at_least(iterations, 0, "iterations")
        _checks.generator(generator)
        self.projections = projections
        self.iterations = iterations
        self.generator = generator

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of two feature matrices, shapes ``(n, d)`` and ``(m, d)``."""
        return max_sliced_wasserstein_loss(
            source,
            target,
            projections=self.projections,
            iterations=self.iterations,
            generator=self.generator,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"projections={self.projections}, iterations={self.iterations}"
