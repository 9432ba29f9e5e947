"""DAAN: dynamic adversarial adaptation network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.losses import DomainDiscriminator, domain_adversarial_loss
from dalib.losses.class_adversarial import class_adversarial_loss
from dalib.losses.class_discriminators import ClassDiscriminators
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.reversal import GradientReversal
from dalib.schedules import Schedule, Scheduled, sigmoid_ramp


class DynamicFactor(Scheduled):
    r"""The dynamic factor of DAAN, from the errors of the discriminators since the last update.

    .. math:: \omega = \frac{d(D)}{d(D) + \frac1C \sum_c d(D_c)}, \qquad d = \max(0,\, 2 (1 - 2\,\mathrm{err}))

    Errors are averaged over both domains with equal shares; ``C`` counts the classes seen in both. It starts, and stays
    where no discriminator can tell anything, at 1/2. The errors of a window are gathered in training mode and the factor
    moves when :meth:`advance` ends the window.

    Args:
        classes: Number of classes.
        window: Number of optimizer steps between updates.

    Example:
        >>> factor = DynamicFactor(2, window=1)
        >>> wrong = torch.tensor([[0.0, 5.0, 5.0], [0.0, 5.0, 5.0]])  # the global one knows, the others guess
        >>> factor.observe(wrong, torch.full((2, 3), 10.0))
        >>> factor.advance()
        >>> factor()
        tensor(1.)
    """

    wrong: Tensor
    seen: Tensor
    factor: Tensor

    def __init__(self, classes: int, *, window: int) -> None:
        super().__init__(0.0, name="factor")
        _checks.at_least(window, 1, "window")
        self.window = window
        self.register_buffer("wrong", torch.zeros(2, classes + 1))
        self.register_buffer("seen", torch.zeros(2, classes + 1))
        self.register_buffer("factor", torch.tensor(0.5))

    def forward(self) -> Tensor:
        """The factor, a 0-d tensor in ``[0, 1]``."""
        return self.factor

    def observe(self, wrong: Tensor, seen: Tensor) -> None:
        """Add counts of wrong and of all rows, shape ``(2, 1 + classes)``: domain by (global, class 0, class 1, ...)."""
        self.wrong += wrong
        self.seen += seen

    def advance(self) -> None:
        """Move one optimizer step on; at the end of a window update the factor."""
        super().advance()
        if self._count % self.window == 0:
            errors = (self.wrong / self.seen.clamp_min(1)).mean(dim=0)
            distances = (2 - 4 * errors).clamp_min(0) * (self.seen > 0).all(dim=0)
            known = (self.seen[:, 1:] > 0).all(dim=0).sum().clamp_min(1)
            local = distances[1:].sum() / known
            both = distances[0] + local
            self.factor.copy_(torch.where(both > 0, distances[0] / both.clamp_min(1e-12), torch.full_like(both, 0.5)))
            self.wrong.zero_()
            self.seen.zero_()

    def extra_repr(self) -> str:
        """The options."""
        return f"window={self.window}"


class DynamicAdversarialLoss(nn.Module):
    r"""A global and a discriminator for each class, mixed by the dynamic factor: :math:`(1 - \omega) L_g + \omega L_l`.

    Args:
        discriminator: The global one, from features to one logit a row.
        discriminators: Those of the classes, ``(features, probs) -> logits (n, classes)``.
        factor: The dynamic factor.
        strength: Factor of the reversed gradient: a number, or a schedule ``step -> float``.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        discriminators: nn.Module,
        factor: DynamicFactor,
        *,
        strength: float | Schedule = 1.0,
    ) -> None:
        super().__init__()
        for network, name in ((discriminator, "discriminator"), (discriminators, "discriminators")):
            if not isinstance(network, nn.Module):
                raise TypeError(f"{name} must be a torch.nn.Module, got {type(network).__name__}")
        self.discriminator = discriminator
        self.discriminators = discriminators
        self.factor = factor
        self.reversal = GradientReversal(strength)

    def forward(self, source: Outputs, target: Outputs, **weights: Any) -> Tensor:
        """The loss of the outputs of two domains; ``source_weights=`` and ``target_weights=`` as elsewhere."""
        rows = len(source.features)
        features = self.reversal(torch.cat([source.features, target.features]))
        probs = torch.cat([source.probs, target.probs]).detach().to(features.dtype)
        _checks.takes(self.discriminator, features.shape[1], "discriminator")
        together = _checks.one_a_row(self.discriminator(features), len(features), "discriminator")
        each = self.discriminators(features, probs)
        if self.training:
            guesses = torch.cat([together[:, None], each], dim=1).detach() > 0
            classes = probs.argmax(dim=1)
            if source.labels is not None:
                classes = torch.cat([source.labels, classes[rows:]])
            self._observe(guesses, classes, rows)
        factor = self.factor()
        globally = domain_adversarial_loss(together[:rows], together[rows:], **weights)
        locally = class_adversarial_loss(each[:rows], each[rows:], **weights)
        mixed: Tensor = (1 - factor) * globally + factor * locally
        return mixed

    def _observe(self, guesses: Tensor, classes: Tensor, rows: int) -> None:
        """Count wrong guesses of the global discriminator, and of each class's on the rows of its class."""
        mask = nn.functional.one_hot(classes, guesses.shape[1] - 1).to(torch.float32)
        mask = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        wrong = mask * torch.cat([~guesses[:rows], guesses[rows:]])
        self.factor.observe(*(torch.stack([x[:rows].sum(dim=0), x[rows:].sum(dim=0)]) for x in (wrong, mask)))


def daan(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    strength: float | Schedule | None = None,
    hidden: int = 1024,
    class_hidden: int = 256,
    window: int | None = None,
) -> Objective:
    """A discriminator of all rows and one for each class; what tells the domains apart better counts less [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes.
        steps: Number of optimizer steps: the length of the ramp.
        weight: Factor of the adversarial loss.
        strength: Factor of the reversed gradient. Default: the paper's ramp from 0 to 1, ``sigmoid_ramp(steps)``.
        hidden: Width of the global discriminator's hidden layers.
        class_hidden: Width of the class discriminators' hidden layers.
        window: Number of steps between updates of the dynamic factor; an epoch in the paper. Default: a twentieth of the
            training.

    Returns:
        The objective. The discriminators' parameters are its parameters.

    References:
        .. [1] Yu et al. Transfer Learning with Dynamic Adversarial Adaptation Network. ICDM 2019.

    Example:
        >>> daan(256, 31, 1000).terms["adversarial"].loss.factor()
        tensor(0.5000)

    Note:
        DeepDA's version gives source and target rows the same domain label from the second step on, takes losses for
        errors, and scales the terms by 0.05 and 0.01.
    """
    strength = sigmoid_ramp(steps) if strength is None else strength
    loss = DynamicAdversarialLoss(
        DomainDiscriminator(features, hidden=hidden),
        ClassDiscriminators(features, classes, hidden=class_hidden),
        DynamicFactor(classes, window=max(steps // 20, 1) if window is None else window),
        strength=strength,
    )
    return Objective(classification=source_cross_entropy, adversarial=Align(loss, on=whole, weight=weight))
