"""WDGRL: Wasserstein distance guided representation learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.losses import WassersteinCriticLoss
from dalib.objective import source_cross_entropy
from dalib.schedules import Schedule, Scheduled
from dalib.training import Forward, Phase, PhasedObjective


class WassersteinGuided(PhasedObjective):
    """Some steps of a critic towards the Wasserstein distance of the features, then one of the model against it.

    Args:
        critic: Module from features to one number a row, without batch norm.
        weight: Factor of the distance in the model's loss: a number, or a schedule ``step -> float``.
        penalty: Factor of the gradient penalty of the critic.
        critic_steps: How many steps the critic makes for one of the model.
    """

    def __init__(self, critic: nn.Module, *, weight: float | Schedule, penalty: float, critic_steps: int) -> None:
        super().__init__(critic=WassersteinCriticLoss(critic, penalty=penalty))
        _checks.at_least(critic_steps, 1, "critic_steps")
        self.weight = Scheduled(weight, name="weight")
        self.critic_steps = critic_steps

    def phases(self, model: nn.Module, forward: Forward) -> Sequence[Phase]:
        """The critic, and then the model."""
        loss = self.parts["critic"]

        def criticise(source: Any, target: Any) -> Tensor:
            with torch.no_grad():
                first, second = forward(model, source, target)
            value: Tensor = loss(
                first.features, second.features, source_weights=first.weights, target_weights=second.weights
            )
            return value

        def adapt(source: Any, target: Any) -> Tensor:
            first, second = forward(model, source, target)
            assert isinstance(loss, WassersteinCriticLoss)
            gap = loss.gap(first.features, second.features, source_weights=first.weights, target_weights=second.weights)
            weight: float | Tensor = self.weight()
            return source_cross_entropy(first) + weight * gap

        return [
            Phase("criticise", criticise, loss.parameters(), times=self.critic_steps),
            Phase("adapt", adapt, model.parameters()),
        ]


def wdgrl(
    features: int,
    classes: int,
    steps: int,
    *,
    weight: float | Schedule = 1.0,
    penalty: float = 10.0,
    critic_steps: int = 5,
    hidden: int = 100,
) -> WassersteinGuided:
    """A critic measures the Wasserstein distance of the features, and the features make it small [1]_.

    Args:
        features: Width of the features.
        classes: Number of classes (not used).
        steps: Number of optimizer steps (not used).
        weight: Factor of the distance; 1 in the paper.
        penalty: Factor of the gradient penalty; 10 in the paper.
        critic_steps: Steps of the critic for one of the model; 5 in the paper.
        hidden: Width of the critic's hidden layer; 100 in the paper.

    Returns:
        The objective. The critic's parameters are its parameters; ``gradient_step`` runs both phases.

    References:
        .. [1] Shen et al. Wasserstein Distance Guided Representation Learning for Domain Adaptation. AAAI 2018.

    Example:
        >>> wdgrl(256, 31, 1000).critic_steps
        5

    Note:
        The critic shares the optimizer, and so the learning rate, of the model.
    """
    _checks.at_least(hidden, 1, "hidden")
    critic = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1, bias=False))
    return WassersteinGuided(critic, weight=weight, penalty=penalty, critic_steps=critic_steps)
