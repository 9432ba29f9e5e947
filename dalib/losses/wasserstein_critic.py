"""Wasserstein critic with gradient penalty."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses._pooled import Pooled, pool
from dalib.reversal import GradientReversal
from dalib.schedules import Schedule


class WassersteinCriticLoss(nn.Module):
    r"""The critic of WDGRL in one loss: the critic maximises a Wasserstein distance, the features minimise it [1]_.

    .. math::
        -\Bigl[ \sum_i a_i c(s_i) - \sum_j b_j c(t_j) \Bigr]
        + \gamma \, \frac{\sum_i w_i (\| \nabla c(h_i) \| - 1)^2}{\sum_i w_i}

    with weights :math:`a, b` that sum to one. The points :math:`h` of the penalty are all source rows, all target rows and
    as many points as the larger batch has rows, each at a random place between a source and a target row, of weights
    :math:`a_i`, :math:`b_j` and :math:`1/\max(n, m)`. The critic minimises the loss. The features receive ``-strength``
    times the gradient of the bracket's term and none of the penalty.

    The penalty is made of a gradient, so it needs autograd: it works under ``torch.no_grad()``, but not in
    ``torch.inference_mode()``, inside ``torch.func`` transforms or in one graph of ``torch.compile`` (``fullgraph=True``).

    Args:
        critic: Module from features ``(n, d)`` to one number a row, ``(n,)`` or ``(n, 1)``. No batch norm: the penalty is
            of single rows.
        penalty: The factor :math:`\gamma`, not negative; 10 in the paper.
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.
        generator: Source of randomness for the points between, on the device of the rows; default: torch's global one.

    Raises:
        TypeError: If ``critic`` is not a module, ``penalty`` not a number, or ``generator`` no generator.
        ValueError: If ``penalty`` is negative; in ``forward``, if the inputs are not two finite matrices of one width, or
            the critic does not return one number a row.

    References:
        .. [1] Shen et al. Wasserstein Distance Guided Representation Learning for Domain Adaptation. AAAI 2018.

    Example:
        >>> critic = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(critic.weight, 3.0)
        >>> WassersteinCriticLoss(critic)(torch.ones(2, 1), torch.zeros(3, 1)).round().item()  # -(3 - 0) + 10 (3 - 1)^2
        37.0
    """

    def __init__(
        self,
        critic: nn.Module,
        *,
        penalty: float = 10.0,
        strength: float | Schedule = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(critic, nn.Module):
            raise TypeError(f"critic must be a torch.nn.Module, got {type(critic).__name__}")
        _checks.not_negative(penalty, "penalty")
        _checks.generator(generator)
        self.critic = critic
        self.penalty = penalty
        self.reversal = GradientReversal(strength)
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
        pooled = pool(source, target, source_weights, target_weights)
        loss = -self._gap(pooled, self.reversal(pooled.rows))
        return loss + self.penalty * self._excess(source.detach(), target.detach(), pooled) if self.penalty else loss

    def gap(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """What the critic makes of the distance: its mean over the source minus that over the target, not reversed."""
        pooled = pool(source, target, source_weights, target_weights)
        return self._gap(pooled, pooled.rows)

    def _gap(self, pooled: Pooled, rows: Tensor) -> Tensor:
        return _weighted_sum(pooled.signs, self._worths(rows))

    def _worths(self, rows: Tensor) -> Tensor:
        _checks.takes(self.critic, rows.shape[1], "critic")
        worths = _checks.one_a_row(self.critic(rows), len(rows), "critic")
        return worths.to(torch.promote_types(worths.dtype, torch.float32))

    def _excess(self, source: Tensor, target: Tensor, pooled: Pooled) -> Tensor:
        """How far the slopes of the critic are from one."""
        count = max(len(source), len(target))
        place = torch.rand(count, 1, generator=self.generator, dtype=source.dtype, device=source.device)
        index = torch.arange(count, device=source.device)
        between = torch.lerp(source[index % len(source)], target[index % len(target)], place)
        points = torch.cat([source, target, between])
        weights = torch.cat([pooled.source, pooled.target, source.new_full((count,), 1 / count)]).detach()
        with torch.enable_grad():
            points.requires_grad_()
            worths = self._worths(points)
            slopes = torch.autograd.grad(worths.sum(), points, create_graph=True)[0]
        slopes = slopes.to(worths.dtype)
        lengths = (slopes * slopes).sum(dim=1).clamp_min(torch.finfo(slopes.dtype).tiny).sqrt()
        return _weighted_sum(weights, (lengths - 1).square()) / weights.sum()

    def extra_repr(self) -> str:
        """The options."""
        return f"penalty={self.penalty:g}"


@float32_island
def _weighted_sum(weights: Tensor, numbers: Tensor) -> Tensor:
    return weights.to(numbers.dtype) @ numbers
