"""ADDA: adversarial discriminative domain adaptation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dalib import _checks
from dalib._precision import float32_island
from dalib.losses import DomainDiscriminator, domain_adversarial_loss
from dalib.objective import source_cross_entropy
from dalib.row_weights import shares
from dalib.training import Forward, Phase, PhasedObjective, outputs_of
from dalib.training.phases import below_head


class AdversarialDiscriminative(PhasedObjective):
    """First the source by itself; then a second encoder learns to pass for the first, which stays as it is.

    The model is trained on the source for ``pretraining`` steps. Its copy, frozen and in evaluation mode, is then the
    source encoder; the model goes on as the target encoder, with its head frozen. The copy and the number of steps done
    are in ``state_dict``.

    Args:
        discriminator: Module from features to one logit a row. It sees target rows alone when the encoder learns: batch
            norm in it would centre them and hide from the encoder how far it is off.
        pretraining: Number of steps of the first stage.
    """

    def __init__(self, discriminator: nn.Module, *, pretraining: int) -> None:
        super().__init__(discriminator=discriminator)
        _checks.at_least(pretraining, 0, "pretraining")
        self.pretraining = pretraining
        self.done = 0
        self._source_model: list[nn.Module] = []  # in a list: not a part, so train() and parameters() pass it by
        self._waiting: dict[str, Tensor] | None = None

    def phases(self, model: nn.Module, forward: Forward) -> Sequence[Phase]:
        """The source alone, or the discriminator and then the target encoder."""
        see = getattr(forward, "alone", outputs_of)  # one domain at a time; of several processes, the rows of all
        if self.done < self.pretraining:
            return [Phase("classify", lambda source, _: source_cross_entropy(see(model, source)), _all(model))]
        source_model, discriminator = self._frozen(model), self.parts["discriminator"]

        def discriminate(source: Any, target: Any) -> Tensor:
            with torch.no_grad():
                first, second = see(source_model, source), see(model, target)
            _checks.takes(discriminator, first.features.shape[1], "discriminator")
            rows = len(first.features)
            logits = discriminator(torch.cat([first.features, second.features]))
            logits = _checks.one_a_row(logits, rows + len(second.features), "discriminator")
            return domain_adversarial_loss(
                logits[:rows], logits[rows:], source_weights=first.weights, target_weights=second.weights
            )

        def deceive(source: Any, target: Any) -> Tensor:
            outputs = see(model, target)
            return _surprise(discriminator(outputs.features).flatten(), weights=outputs.weights)

        return [
            Phase("discriminate", discriminate, discriminator.parameters()),
            Phase("deceive", deceive, below_head(model)),
        ]

    def _frozen(self, model: nn.Module) -> nn.Module:
        if not self._source_model:
            source_model = copy.deepcopy(model).eval().requires_grad_(False)
            if self._waiting is not None:
                source_model.load_state_dict(self._waiting)
                self._waiting = None
            self._source_model.append(source_model)
        return self._source_model[0]

    def advance(self) -> None:
        """One optimizer step is done."""
        super().advance()
        self.done += 1

    def get_extra_state(self) -> dict[str, Any]:
        """The number of steps done, and the source encoder if there is one."""
        source_model = self._source_model[0].state_dict() if self._source_model else self._waiting
        return {"done": self.done, "source_model": source_model}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from there; the source encoder is built when a model is at hand."""
        self.done, self._waiting = state["done"], state["source_model"]
        self._source_model.clear()


@float32_island
def _surprise(logits: Tensor, *, weights: Tensor | None) -> Tensor:
    """The mean of ``-log D`` over target rows."""
    return shares(logits, weights, "target.weights") @ F.softplus(-logits)


def _all(model: nn.Module) -> list[nn.Parameter]:
    return list(model.parameters())


def adda(
    features: int, classes: int, steps: int, *, pretraining: int | None = None, hidden: int = 1024
) -> AdversarialDiscriminative:
    """Two encoders: one learns the source and stays, its copy learns to make target rows pass for source rows [1]_.

    The target encoder minimises ``-log D``, with exchanged labels, not a reversed gradient. ``gradient_step`` runs both
    stages; the model that was trained predicts, with the target encoder.

    Args:
        features: Width of the features.
        classes: Number of classes (not used).
        steps: Number of optimizer steps of both stages together.
        pretraining: Steps of the first stage, on the source alone. Default: half of ``steps``.
        hidden: Width of the two hidden layers of the discriminator, which has no batch norm.

    Returns:
        The objective. The discriminator's parameters are its parameters.

    Raises:
        ValueError: If ``pretraining`` is negative or leaves no step to the second stage.

    References:
        .. [1] Tzeng et al. Adversarial Discriminative Domain Adaptation. CVPR 2017.

    Example:
        >>> adda(256, 31, 1000).pretraining
        500

    Note:
        Source rows, too, are predicted by the target encoder once training is over. TLlib's version reverses the gradient
        of one loss instead of exchanging labels. The discriminator's loss is the mean over domains; the paper sums it.
    """
    if pretraining is not None and pretraining >= steps:
        raise ValueError(
            f"pretraining must leave some of the {steps} steps to the second stage, got {pretraining}; lower it"
        )
    discriminator = DomainDiscriminator(features, hidden=hidden, batch_norm=False)
    return AdversarialDiscriminative(discriminator, pretraining=steps // 2 if pretraining is None else pretraining)
