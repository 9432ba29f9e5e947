"""Higher-order moment matching."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses._moments import centred as centred_rows
from dalib.losses._raised_to_zero import raised_to_zero
from dalib.row_weights import shares


@float32_island
def homm_loss(
    source: Tensor,
    target: Tensor,
    *,
    order: int = 3,
    centred: bool = False,
    samples: int | None = None,
    generator: torch.Generator | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Mean squared difference of all entries of the moment tensors of order ``p``: HoMM [1]_.

    .. math::
        \frac{1}{d^p} \Bigl\| \sum_i a_i s_i^{\otimes p} - \sum_j b_j t_j^{\otimes p} \Bigr\|^2
        = \sum_{ij} q_i q_j \Bigl( \frac{x_i \cdot x_j}{d} \Bigr)^p

    with weights that sum to one and, on the right, the rows :math:`x` of both domains with weights :math:`q = (a, -b)`.
    The right side is what is computed: exact for any order, in O((n + m)^2 d), where the tensor has :math:`d^p` entries.
    With ``samples`` it is estimated as in the paper, without bias, from entries whose indices
    are drawn anew in every call, uniformly and with replacement:

    .. math:: \frac1N \sum_{r=1}^N \Bigl( \sum_i a_i \prod_{l=1}^p s_{i k_{rl}} - \sum_j b_j \prod_{l=1}^p t_{j k_{rl}} \Bigr)^2

    Args:
        source: Features of the source domain, shape ``(n, d)``.
        target: Features of the target domain, shape ``(m, d)``; ``m`` may differ from ``n``.
        order: The order ``p`` of the moments, at least 1; 3 and 4 in the paper.
        centred: Whether the rows of each domain are centred first; the loss then does not see a shift.
        samples: Number :math:`N` of entries to draw, at least 1; 300,000 in the authors' code. Default: all, exactly. The
            drawn form needs memory for 3 (n + m) N numbers, with a gradient for 2 p + 1 times (n + m) N, and is cheaper only
            for very many rows.
        generator: Source of randomness for the entries, on the device of the rows; default: torch's global one.
        source_weights: Weights :math:`a_i` of the source rows, shape ``(n,)``; rescaled to sum to one.
        target_weights: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; float32 for half-precision features.

    Raises:
        TypeError: If the inputs are not floating-point tensors of one dtype, ``order`` or ``samples`` is not an integer,
            or ``generator`` is no ``torch.Generator``.
        ValueError: If the inputs are not two finite matrices of one width on one device, each with a row; if ``order``
            or ``samples`` is below 1; if weights are negative, all zero or not one a row; if the features are too large for
            the loss to be in its dtype.

    References:
        .. [1] Chen et al. HoMM: Higher-order Moment Matching for Unsupervised Domain Adaptation. AAAI 2020.

    Example:
        >>> homm_loss(torch.tensor([[1.0]]), torch.tensor([[2.0]]), order=3)  # (1 - 8)^2
        tensor(49.)
        >>> homm_loss(torch.tensor([[1.0]]), torch.tensor([[2.0]]), order=3, samples=5)  # of one entry, five times
        tensor(49.)

    Note:
        The formula of the paper does not centre, its code does. Above order 3 the paper draws entries (``samples``) or
        splits the features into groups, since it forms the tensor; the exact value needs neither.

        Moments that are not centred are nearly equal numbers where features lie far from zero. All of them are therefore
        computed in float64; drawn ones (``samples``) are not, and lose their digits at a mean of some hundred standard
        deviations: centre the rows there.
    """
    _checks.two_samples(source, target)
    _checks.at_least(order, 1, "order")
    _checks.generator(generator)
    given = source.dtype
    if samples is None:  # moments of features far from zero are nearly equal numbers
        source, target = source.double(), target.double()
    a, b = shares(source, source_weights, "source_weights"), shares(target, target_weights, "target_weights")
    rows = torch.cat([centred_rows(source, a), centred_rows(target, b)] if centred else [source, target])
    signs = torch.cat([a, -b])
    if samples is not None:
        _checks.at_least(samples, 1, "samples")
        entries = torch.randint(rows.shape[1], (order, samples), generator=generator, device=rows.device)
        products = rows[:, entries[0]]
        for drawn in entries[1:]:  # one factor at a time: all of them would be ``order`` times the memory
            products = products * rows[:, drawn]
        value = (signs @ products).square().mean()
    else:
        value = (signs @ (rows @ rows.mT / source.shape[1]) ** order @ signs).to(given)
    _checks.finite_loss(value, source, target)
    return raised_to_zero(value)


class HoMMLoss(nn.Module):
    """Module form of :func:`homm_loss`: stores the options, calls the function.

    Args:
        order: As in :func:`homm_loss`.
        centred: As in :func:`homm_loss`.
        samples: As in :func:`homm_loss`.
        generator: As in :func:`homm_loss`.

    Example:
        >>> HoMMLoss(order=3)(torch.tensor([[1.0]]), torch.tensor([[2.0]]))
        tensor(49.)
    """

    def __init__(
        self,
        *,
        order: int = 3,
        centred: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _checks.at_least(order, 1, "order")
        _checks.generator(generator)
        if samples is not None:
            _checks.at_least(samples, 1, "samples")
        self.order = order
        self.centred = centred
        self.samples = samples
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
        return homm_loss(
            source,
            target,
            order=self.order,
            centred=self.centred,
            samples=self.samples,
            generator=self.generator,
            source_weights=source_weights,
            target_weights=target_weights,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"order={self.order}, centred={self.centred}, samples={self.samples}"
