"""Importance-weighted training whose weights follow the features as they are learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.objective import Objective
from dalib.outputs import Outputs
from dalib.schedules import Scheduled


class RecentRatio(Scheduled):
    r"""The density ratio of the two domains in the current features, learnt anew every ``every`` optimizer steps [1]_.

    Two banks hold the last ``bank`` rows of each domain as training saw them. At a refresh :func:`relative_ratio` is
    fitted to them; the weight of a row is its ratio, divided by the mean over the source's bank. Until the first refresh
    all weights are one. Nothing is read back from the device except at a refresh. Banks and ratio are in
    ``state_dict``. A refresh that finds no overlap keeps the ratio that there was.

    Args:
        width: Width of the features.
        every: Number of optimizer steps between refreshes.
        bank: Number of rows of each domain that are kept, at least 2.
        alpha: Share of the target in the denominator, in ``(0, 1]``: the true ratio is at most ``1 / alpha``.
        centres: Number of kernels.

    Raises:
        ValueError: If a number is out of range.

    References:
        .. [1] Fang, Lu, Niu, Sugiyama. Rethinking Importance Weighting for Deep Learning under Distribution Shift.
            NeurIPS 2020.

    Example:
        >>> ratio = RecentRatio(1, every=1, bank=4)
        >>> ratio.observe(torch.tensor([[0.0], [3.0]]), torch.tensor([[3.0], [3.1]]))
        >>> ratio.advance()
        >>> weights = ratio.weigh(torch.tensor([[0.0], [3.0]]))
        >>> bool(weights[1] > 1 > weights[0])
        True
    """

    source: Tensor
    target: Tensor
    seen: Tensor
    points: Tensor
    coefficients: Tensor
    bandwidth: Tensor
    scale: Tensor
    fitted: Tensor

    def __init__(self, width: int, *, every: int = 50, bank: int = 512, alpha: float = 0.5, centres: int = 100) -> None:
        super().__init__(0.0, name="ratio")
        for number, least, name in (
            (width, 1, "width"),
            (every, 1, "every"),
            (bank, 2, "bank"),
            (centres, 1, "centres"),
        ):
            _checks.at_least(number, least, name)
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha must lie in (0, 1], got {alpha}")
        self.every, self.bank, self.alpha, self.centres = every, bank, alpha, min(centres, bank)
        for name in ("source", "target"):
            self.register_buffer(name, torch.zeros(bank, width))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("points", torch.zeros(self.centres, width))
        self.register_buffer("coefficients", torch.zeros(self.centres))
        for name in ("bandwidth", "scale"):
            self.register_buffer(name, torch.ones(()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @float32_island
    def weigh(self, rows: Tensor) -> Tensor:
        """One weight a row, shape ``(rows,)``, outside the graph."""
        with torch.no_grad():
            middle = self.points[0]  # near the data, where distances keep their digits
            distances = torch.cdist(rows.to(self.points.dtype) - middle, self.points - middle)
            kernel = torch.exp(distances.square() / (-2.0 * self.bandwidth**2))
            weights = kernel @ self.coefficients / self.scale
            return torch.where(self.fitted, weights, torch.ones_like(weights))

    def observe(self, source: Tensor, target: Tensor) -> None:
        """Put the rows of two batches in the banks, over the oldest ones."""
        with torch.no_grad():
            for position, (bank, rows) in enumerate(((self.source, source), (self.target, target))):
                rows = rows.detach()[-self.bank :].to(bank.dtype)
                places = (self.seen[position] + torch.arange(len(rows), device=rows.device)) % self.bank
                bank[places] = rows
                self.seen[position] += len(rows)

    def advance(self) -> None:
        """Move one optimizer step on; every so many learn the ratio anew."""
        super().advance()
        if self._count % self.every == 0:
            self._learn()

    @torch.no_grad()
    def _learn(self) -> None:
        from dalib.weights import relative_ratio  # brings scikit-learn along

        held = [min(int(count), self.bank) for count in self.seen]
        if min(held) < 2:
            return
        rows, others = self.source[: held[0]], self.target[: held[1]]
        if not bool(torch.isfinite(rows).all() & torch.isfinite(others).all()):
            return
        try:
            ratio = relative_ratio(rows, others, alpha=self.alpha, centres=self.centres)
        except ValueError:  # no overlap
            return
        self.points.zero_()
        self.coefficients.zero_()
        self.points[: len(ratio.centres)] = ratio.centres.to(self.points.dtype)
        self.coefficients[: len(ratio.centres)] = ratio.coefficients.to(self.coefficients.dtype)
        self.bandwidth.fill_(ratio.bandwidth)
        self.scale.fill_(ratio.scale)
        self.fitted.fill_(True)

    def extra_repr(self) -> str:
        """The options."""
        return f"every={self.every}, bank={self.bank}, alpha={self.alpha:g}, centres={self.centres}"


class ReweightedCrossEntropy(nn.Module):
    r"""Source cross entropy with the weights of a :class:`RecentRatio`, :math:`\frac1n \sum_i w(f_i)\, \mathrm{CE}_i`.

    Args:
        ratio: Gives the weights; sees the rows of every batch in training mode.
    """

    def __init__(self, ratio: RecentRatio) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The loss of the source rows; their own row weights multiply."""
        if source.labels is None:
            raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
        _checks.labels(source.labels, source.logits.shape[1], source.logits, "source.labels")
        for rows, name in ((source, "source"), (target, "target")):
            if rows.features.shape[1:] != self.ratio.source.shape[1:]:
                raise ValueError(
                    f"{name} must have {self.ratio.source.shape[1]} features, got shape {tuple(rows.features.shape)}"
                )
        if self.training:
            self.ratio.observe(source.features, target.features)
        weights = self.ratio.weigh(source.features)
        if source.weights is not None:
            _checks.row_weights(source.weights, source.logits, "source.weights", all_zero=True)
            weights = weights * source.weights
        logits = source.logits.to(torch.promote_types(source.logits.dtype, torch.float32))
        return (weights * F.cross_entropy(logits, source.labels.long(), reduction="none")).mean()


def reweighted(
    features: int, classes: int, steps: int, *, every: int = 50, bank: int = 512, alpha: float = 0.5
) -> Objective:
    """Weighted cross entropy of the source rows; the weights are estimated in the network's own features, again and again.

    :func:`~dalib.methods.importance_weighted` fixes the weights before training. Here training and estimation alternate,
    after the idea of [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        every: Number of optimizer steps between refreshes of the weights.
        bank: Number of recent rows of each domain that the ratio is estimated from.
        alpha: Share of the target in the denominator of the ratio, in ``(0, 1]``.

    Returns:
        The objective.

    References:
        .. [1] Fang, Lu, Niu, Sugiyama. Rethinking Importance Weighting for Deep Learning under Distribution Shift.
            NeurIPS 2020.

    Example:
        >>> list(reweighted(256, 31, 1000).terms)
        ['classification']

    Note:
        The authors match kernel means of the losses or of the features in every batch; here the bounded ratio of recent
        features is learnt by least squares.
    """
    return Objective(classification=ReweightedCrossEntropy(RecentRatio(features, every=every, bank=bank, alpha=alpha)))
