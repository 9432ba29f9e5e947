"""PADA: partial adversarial domain adaptation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.losses import DomainAdversarialLoss, DomainDiscriminator
from dalib.objective import Align, Objective
from dalib.outputs import Outputs
from dalib.row_weights import relative
from dalib.schedules import Schedule, Scheduled, sigmoid_ramp


class ClassShares(Scheduled):
    r"""How much of the target each source class has, by the model's own predictions: the class weights of PADA.

    .. math:: \gamma = \frac1m \sum_j \mathrm{softmax}(z_j / T), \qquad w_k = \gamma_k / \bar\gamma

    over the target rows of the last window of optimizer steps, seen in training mode. All ones in the first window.

    Args:
        classes: Number of classes.
        window: Number of optimizer steps between updates.
        temperature: The temperature :math:`T`, positive.

    Example:
        >>> shares = ClassShares(2, window=1)
        >>> shares.observe(torch.tensor([[50.0, 0.0], [0.0, 0.0]]))  # probabilities 1, 0 and 1/2, 1/2
        >>> shares.advance()
        >>> shares()
        tensor([1.5000, 0.5000])
    """

    total: Tensor
    rows: Tensor
    weights: Tensor

    def __init__(self, classes: int, *, window: int, temperature: float = 1.0) -> None:
        super().__init__(0.0, name="shares")
        _checks.at_least(classes, 1, "classes")
        _checks.at_least(window, 1, "window")
        _checks.positive(temperature, "temperature")
        self.window, self.temperature = window, float(temperature)
        self.register_buffer("total", torch.zeros(classes))
        self.register_buffer("rows", torch.zeros(()))
        self.register_buffer("weights", torch.ones(classes))

    def forward(self) -> Tensor:
        """One weight a class, of mean one."""
        return self.weights

    def observe(self, logits: Tensor) -> None:
        """Count the predictions of a batch of target rows."""
        if logits.shape[1:] != self.total.shape:
            raise ValueError(
                f"target.logits must have {len(self.total)} columns, one a class weight, got shape {tuple(logits.shape)}"
            )
        self.total += torch.softmax(logits.detach().to(self.total.dtype) / self.temperature, dim=1).sum(dim=0)
        self.rows += len(logits)

    def advance(self) -> None:
        """Move one optimizer step on; at the end of a window update the weights."""
        super().advance()
        if self._count % self.window == 0:
            seen = self.total / self.total.mean().clamp_min(torch.finfo(self.total.dtype).tiny)
            # Where half precision overflowed in a batch the window says nothing; NaN would stay.
            known = (self.rows > 0) & torch.isfinite(seen).all()
            self.weights.copy_(torch.where(known, seen, self.weights))
            self.total.zero_()
            self.rows.zero_()

    def extra_repr(self) -> str:
        """The options."""
        return f"window={self.window}, temperature={self.temperature:g}"


class ClassWeightedCrossEntropy(nn.Module):
    r"""Source cross entropy with a weight for each class, :math:`\frac1n \sum_i w_{y_i} \mathrm{CE}(z_i, y_i)`.

    Args:
        class_weights: Called for the weights, shape ``(classes,)``, of mean one.
    """

    def __init__(self, class_weights: ClassShares) -> None:
        super().__init__()
        self.class_weights = class_weights

    def forward(self, source: Outputs, target: Outputs) -> Tensor:
        """The loss of the source rows; their own row weights multiply."""
        weights = class_weights_of_rows(source, self.class_weights())
        assert source.labels is not None
        if source.weights is not None:
            _checks.row_weights(source.weights, source.logits, "source.weights", all_zero=True)
            weights = weights * source.weights
        logits = source.logits.to(torch.promote_types(source.logits.dtype, torch.float32))
        return (weights * F.cross_entropy(logits, source.labels.long(), reduction="none")).mean()


def class_weights_of_rows(source: Outputs, class_weights: Tensor) -> Tensor:
    """The weight of the class of each source row, shape ``(n,)``."""
    if source.labels is None:
        raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
    _checks.labels(source.labels, len(class_weights), source.logits, "source.labels")
    return class_weights[source.labels.long()]


class PartialAdversarialLoss(nn.Module):
    """The game of DANN whose source rows count by the share that their class has of the target.

    Args:
        adversarial: The game of two feature matrices.
        class_weights: The shares; the target rows are counted for them here, in training mode.
    """

    def __init__(self, adversarial: DomainAdversarialLoss, class_weights: ClassShares) -> None:
        super().__init__()
        self.adversarial = adversarial
        self.class_weights = class_weights

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss of the outputs of two domains."""
        if self.training:
            self.class_weights.observe(target.logits)
        weights = class_weights_of_rows(source, self.class_weights())
        # A batch whose classes all have no share must not be divided by zero.
        weights = weights + torch.finfo(weights.dtype).eps
        if source_weights is not None:
            _checks.row_weights(source_weights, source.features, "source_weights")
            weights = weights * relative(source_weights, weights.dtype)
        value: Tensor = self.adversarial(
            source.features, target.features, source_weights=weights, target_weights=target_weights
        )
        return value


def pada(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
    temperature: float = 1.0,
    window: int | None = None,
) -> Objective:
    """DANN for a target that lacks some source classes: those that it seems to lack count less [1]_.

    Args:
        features: Width of the features.
        classes: Number of source classes; the target has some of them.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss.
        strength: Factor of the reversed gradient. Default: as in :func:`~dalib.methods.dann`, the ramp of the
            authors' code for 1000 steps, ``sigmoid_ramp(steps, alpha=1.0)``, from 0 to 0.46.
        hidden: Width of the discriminator's hidden layers.
        temperature: Temperature of the target predictions that make the class weights; 1 in the paper.
        window: Number of steps between updates of the class weights. Default: a twentieth of the training.

    Returns:
        The objective. The discriminator's parameters are its parameters.

    References:
        .. [1] Cao et al. Partial Adversarial Domain Adaptation. ECCV 2018.

    Example:
        >>> list(pada(256, 31, 1000).terms)
        ['classification', 'adversarial']

    Note:
        The authors' code averages predictions of all target rows in evaluation mode every 500 steps, here those of the
        batches since the last update in training mode. There the weights also shrink the source's part of the adversarial
        loss; here each domain counts one half. There the cross entropy is divided by the sum of the batch's weights, here by
        its rows. TLlib divides the weights by the largest one and uses a temperature of 0.1.
    """
    strength = sigmoid_ramp(steps, alpha=1.0) if strength is None else strength
    window = max(steps // 20, 1) if window is None else window
    shares = ClassShares(classes, window=window, temperature=temperature)
    adversarial = DomainAdversarialLoss(DomainDiscriminator(features, hidden=hidden), strength=strength)
    return Objective(
        classification=ClassWeightedCrossEntropy(shares),
        adversarial=Align(PartialAdversarialLoss(adversarial, shares), on=whole, weight=weight),
    )
