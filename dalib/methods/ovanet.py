"""OVANet: one-versus-all network for universal domain adaptation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.conditioning import whole
from dalib.losses.one_vs_all import one_vs_all_loss, open_entropy_loss
from dalib.objective import Align, Objective, source_cross_entropy
from dalib.outputs import Outputs
from dalib.schedules import Schedule


class OpenHeads(nn.Module):
    """A pair of logits a class, "of it" and "not of it"; their difference is the logit of the first.

    Args:
        width: Number of features.
        classes: Number of classes.

    Example:
        >>> OpenHeads(4, 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of "is of class k", shape ``(n, classes)``."""
        _checks.takes(self.linear, features.shape[1], "heads")
        of_it, not_of_it = self.linear(features).chunk(2, dim=1)
        difference: Tensor = of_it - not_of_it
        return difference


class _OnSource(nn.Module):
    def __init__(self, heads: OpenHeads) -> None:
        super().__init__()
        self.heads = heads

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        if source.labels is None:
            raise ValueError("source must have labels, got none; build its batches as Batch(inputs, labels)")
        return one_vs_all_loss(self.heads(source.features), source.labels, weights=source_weights)


class _OnTarget(nn.Module):
    def __init__(self, heads: OpenHeads) -> None:
        super().__init__()
        self.heads = heads

    def forward(
        self,
        source: Outputs,
        target: Outputs,
        *,
        source_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        return open_entropy_loss(self.heads(target.features), weights=target_weights)


class OneVsAllObjective(Objective):
    """The losses of OVANet, and the rule by which its model knows what is unknown.

    Args:
        heads: The open heads.
        entropy_weight: Factor of the entropy of the open heads on the target.
    """

    def __init__(self, heads: OpenHeads, entropy_weight: float | Schedule) -> None:
        super().__init__(
            classification=source_cross_entropy,
            one_vs_all=Align(_OnSource(heads), on=whole),
            open_entropy=Align(_OnTarget(heads), on=whole, weight=entropy_weight),
        )
        self.heads = heads

    def unknown(self, outputs: Outputs) -> Tensor:
        """Which rows are unknown, shape ``(n,)``: the open head of the predicted class says "not of it"."""
        predicted = outputs.logits.argmax(dim=1, keepdim=True)
        with torch.no_grad():
            verdict: Tensor = self.heads(outputs.features).gather(1, predicted)[:, 0] < 0
        return verdict


def ovanet(features: int, classes: int, steps: int, *, entropy_weight: float | Schedule = 0.1) -> OneVsAllObjective:
    """For a target that may lack and add classes: a binary classifier for each class learns where its class ends [1]_.

    Not adversarial. A row is unknown if the binary classifier of its predicted class says so
    (``objective.unknown(outputs)``): no threshold is to be set.

    Args:
        features: Width of the features.
        classes: Number of source classes, at least 2.
        steps: Number of optimizer steps (not used).
        entropy_weight: Factor of the entropy of the binary classifiers on the target; 0.1 in the paper.

    Returns:
        The objective. The binary classifiers' parameters are its parameters.

    References:
        .. [1] Saito and Saenko. OVANet: One-vs-All Network for Universal Domain Adaptation. ICCV 2021.

    Example:
        >>> list(ovanet(256, 20, 1000).terms)
        ['classification', 'one_vs_all', 'open_entropy']

    Note:
        The authors' code divides each row of the binary classifiers' matrix by its norm before each step; this does not.
    """
    return OneVsAllObjective(OpenHeads(features, classes), entropy_weight)
