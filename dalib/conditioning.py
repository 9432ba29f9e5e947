"""What of the outputs an alignment looks at: features, logits, probabilities, or features conditioned on predictions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dalib import _checks
from dalib.outputs import Outputs


def features(outputs: Outputs) -> Tensor:
    """The features, shape ``(n, d)``.

    Args:
        outputs: What a model made of a batch.

    Example:
        >>> features(Outputs(torch.zeros(2, 3), torch.zeros(2, 4))).shape
        torch.Size([2, 3])
    """
    return outputs.features


def logits(outputs: Outputs) -> Tensor:
    """The logits, shape ``(n, classes)``.

    Args:
        outputs: What a model made of a batch.

    Example:
        >>> logits(Outputs(torch.zeros(2, 3), torch.zeros(2, 4))).shape
        torch.Size([2, 4])
    """
    return outputs.logits


def multilinear(outputs: Outputs) -> Tensor:
    r"""Features times class probabilities, :math:`f \otimes p`, flattened: the exact conditioning of CDAN [1]_.

    Entry ``k * d + j`` is :math:`p_k f_j`. The probabilities carry no gradient: the adversary moves the features, not
    the classifier.

    Args:
        outputs: Features ``(n, d)`` and logits ``(n, classes)``.

    Returns:
        Shape ``(n, classes * d)``, in the dtype of the features.

    References:
        .. [1] Long et al. Conditional Adversarial Domain Adaptation. NeurIPS 2018.

    Example:
        >>> multilinear(Outputs(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)))  # (1, 2) times 1/2, twice
        tensor([[0.5000, 1.0000, 0.5000, 1.0000]])
    """
    probs = outputs.probs.detach().to(outputs.features.dtype)
    return (probs[:, :, None] * outputs.features[:, None, :]).flatten(1)


def whole(outputs: Outputs) -> Outputs:
    """The outputs themselves, for losses that look at features, logits and labels together.

    Example:
        >>> whole(Outputs(torch.zeros(2, 3), torch.zeros(2, 4))).logits.shape
        torch.Size([2, 4])
    """
    return outputs


class RandomizedMultilinear(nn.Module):
    r"""Random map of CDAN [1]_ whose inner products are those of :func:`multilinear` on average.

    .. math:: T(f, p) = \frac{1}{\sqrt{D}} (R_f f) \odot (R_p p)

    with standard normal matrices :math:`R_f` (D x d) and :math:`R_p` (D x classes), drawn once and kept in
    ``state_dict``: a map that changed on resume would make the trained discriminator worthless. The probabilities
    carry no gradient.

    Args:
        width: Number of features ``d``.
        classes: Number of classes.
        dimension: Width ``D`` of the map; 1024 in the paper.
        generator: Source of randomness; default: torch's global one.

    Raises:
        ValueError: If a size is below 1; in ``forward``, if the outputs have other widths.

    References:
        .. [1] Long et al. Conditional Adversarial Domain Adaptation. NeurIPS 2018.

    Example:
        >>> RandomizedMultilinear(3, 4, dimension=8)(Outputs(torch.zeros(2, 3), torch.zeros(2, 4))).shape
        torch.Size([2, 8])
    """

    feature_map: Tensor
    class_map: Tensor

    def __init__(
        self, width: int, classes: int, *, dimension: int = 1024, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        for size, name in ((width, "width"), (classes, "classes"), (dimension, "dimension")):
            _checks.at_least(size, 1, name)
        self.register_buffer("feature_map", torch.randn(width, dimension, generator=generator))
        self.register_buffer("class_map", torch.randn(classes, dimension, generator=generator) / math.sqrt(dimension))

    def forward(self, outputs: Outputs) -> Tensor:
        """The map of each row, shape ``(n, dimension)``."""
        sizes = (outputs.features.shape[1], outputs.logits.shape[1])
        expected = (self.feature_map.shape[0], self.class_map.shape[0])
        if sizes != expected:
            raise ValueError(
                f"outputs must have {expected[0]} features and {expected[1]} classes, got {sizes[0]} and {sizes[1]}"
            )
        probs = outputs.probs.detach().to(outputs.features.dtype)
        return (outputs.features @ self.feature_map.to(probs.dtype)) * (probs @ self.class_map.to(probs.dtype))
