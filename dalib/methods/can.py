"""CAN: contrastive adaptation network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.conditioning import whole
from dalib.losses import ContrastiveDomainLoss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.row_weights import relative
from dalib.schedules import Schedule


class ClusteredContrast(nn.Module):
    """Contrastive domain discrepancy whose target labels come from clusters of recent target features [1]_.

    A bank holds the last ``bank`` target features. Spherical k-means, started at running means of the source classes,
    clusters it in every step; a target row has the label of its cluster. Rows whose cosine dissimilarity
    ``(1 - cos) / 2`` to its centre exceeds ``threshold`` do not count. Source rows count in the class means by their weights;
    target rows of weight zero take a place in the bank and have no say in the clusters. Centres and bank are in
    ``state_dict``.

    Args:
        width: Width of the features.
        classes: Number of classes.
        bank: Number of target features that are kept.
        threshold: The largest dissimilarity, in ``(0, 1]``; 1 keeps all rows.
        iterations: Iterations of k-means in a step, at least 1.
        momentum: How much of a class mean stays in a step, in ``[0, 1)``.

    Raises:
        ValueError: If a number is out of range; in ``forward``, if the source has no labels or they do not fit, or the
            features are not finite matrices of this width.

    References:
        .. [1] Kang et al. Contrastive Adaptation Network for Unsupervised Domain Adaptation. CVPR 2019.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> rows = Outputs(features, torch.zeros(2, 2), labels=torch.tensor([0, 1]))
        >>> bool(ClusteredContrast(2, 2)(rows, rows) < 0)  # a class is nearer to itself than to the other
        True
    """

    centres: Tensor
    kept: Tensor
    filled: Tensor
    place: Tensor

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        bank: int = 1024,
        threshold: float = 1.0,
        iterations: int = 3,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        for size, name in ((width, "width"), (bank, "bank"), (iterations, "iterations")):
            _checks.at_least(size, 1, name)
        for number, name in ((threshold, "threshold"), (momentum, "momentum")):
            _checks.number(number, name)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {threshold:g}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum:g}")
        self.loss = ContrastiveDomainLoss(classes)
        self.threshold, self.iterations, self.momentum = threshold, iterations, momentum
        self.register_buffer("centres", torch.zeros(classes, width))
        self.register_buffer("kept", torch.zeros(bank, width))
        self.register_buffer("filled", torch.zeros(bank, dtype=torch.bool))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the features."""
        if source.labels is None:
            raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
        if target.features.shape[1] != self.kept.shape[1]:
            raise ValueError(f"target must have {self.kept.shape[1]} features, got {target.features.shape[1]}")
        _checks.two_samples(source.features, target.features)  # before the bank keeps them
        _checks.labels(source.labels, len(self.centres), source.features, "source.labels")
        for sample, weights, name in ((source, source_weights, "source"), (target, target_weights, "target")):
            if weights is not None:
                _checks.row_weights(weights, sample.features, f"{name}_weights")
        of_source, of_target = (
            sample.features.new_ones(len(sample.features)) if weights is None else weights
            for sample, weights in ((source, source_weights), (target, target_weights))
        )
        with torch.no_grad():
            likeness, labels = self._likenesses(
                source.features, source.labels, target.features, of_source, of_target
            ).max(dim=1)
            counts = ((1 - likeness) / 2 <= self.threshold) * of_target
            some = counts.sum() > 0
            counts = torch.where(some, counts, of_target)  # where no row is left all stand in for a loss that is zero
        value: Tensor = self.loss(
            source.features,
            target.features,
            source.labels,
            labels,
            source_weights=source_weights,
            target_weights=counts,
        )
        return some * value

    @float32_island
    def _likenesses(
        self, source: Tensor, labels: Tensor, target: Tensor, of_source: Tensor, of_target: Tensor
    ) -> Tensor:
        """How like each target row is to the centre of each class, shape ``(m, classes)``."""
        dtype = torch.promote_types(self.kept.dtype, torch.float32)
        rows = F.normalize(target.to(dtype), dim=1)
        if self.training:
            counts = relative(of_source, dtype)
            self._remember(F.normalize(source.to(dtype), dim=1), labels, rows, counts, of_target > 0)
        return _likeness(rows, self._clusters())

    def _remember(self, source: Tensor, labels: Tensor, target: Tensor, counts: Tensor, there: Tensor) -> None:
        centres = self.centres.to(source.dtype)
        members = F.one_hot(labels.long(), len(self.centres)) * counts[:, None]
        seen = members.sum(dim=0)[:, None] > 0
        means = F.normalize(members.mT @ source, dim=1)
        known = centres.abs().sum(dim=1, keepdim=True) > 0
        moved = torch.where(known, torch.lerp(means, centres, self.momentum), means)
        self.centres.copy_(torch.where(seen, F.normalize(moved, dim=1), centres))
        size = len(self.kept)
        target, there = target[-size:], there[-size:]
        places = (self.place + torch.arange(len(target), device=target.device)) % size
        self.kept[places] = target.to(self.kept.dtype)
        self.filled[places] = there
        self.place.add_(len(target)).remainder_(size)

    def _clusters(self) -> Tensor:
        """The centres of the target rows, each named by the source class it started from."""
        dtype = torch.promote_types(self.kept.dtype, torch.float32)
        kept, centres = self.kept.to(dtype), self.centres.to(dtype)
        for _ in range(self.iterations):
            nearest = _likeness(kept, centres).argmax(dim=1)
            members = F.one_hot(nearest, len(centres)).to(centres.dtype) * self.filled[:, None]
            sums = members.mT @ kept
            centres = torch.where(members.sum(dim=0)[:, None] > 0, F.normalize(sums, dim=1), centres)
        return centres


def _likeness(rows: Tensor, centres: Tensor) -> Tensor:
    """Cosines of rows of length one with the centres; a class whose centre is not known yet is like no row."""
    known = centres.abs().sum(dim=1) > 0
    return (rows @ centres.mT).masked_fill(~known, -torch.inf)


def can(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.5,
    bank: int = 1024,
    threshold: float = 1.0,
) -> Objective:
    """Classes near themselves and leave the others across the domains; target labels come from clusters [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps (not used).
        weight: Factor of the contrastive discrepancy. Default 1.5: the authors' code takes 0.3 for the sum of five kernels,
            which are averaged here.
        bank: Number of recent target features that are clustered.
        threshold: Largest cosine dissimilarity of a target row that counts.

    Returns:
        The objective.

    References:
        .. [1] Kang et al. Contrastive Adaptation Network for Unsupervised Domain Adaptation. CVPR 2019.

    Example:
        >>> list(can(256, 31, 1000).terms)
        ['classification', 'contrast']

    Note:
        The authors cluster the whole target before each epoch and draw batches with equal numbers of some classes; here a
        bank of recent rows is clustered in every step, and the batches are those of the protocol. They add the discrepancy
        of the probabilities to that of the features, take a bandwidth for each pair of classes, and for some pairs a
        ``threshold`` of 0.05; here it is that of the features alone, with one bandwidth, and every row counts. Their
        squared widths are half of those of the default here.
    """
    contrast = ClusteredContrast(features, classes, bank=bank, threshold=threshold)
    return Objective(classification=source_cross_entropy, contrast=Align(contrast, on=whole, weight=weight))
