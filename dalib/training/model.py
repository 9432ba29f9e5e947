"""A classifier on top of any backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dalib import _checks


def pooled(output: Any) -> Tensor:
    """One feature vector a row from what a backbone returns.

    A matrix is taken as it is, a map ``(n, c, h, w)`` is averaged over space. Of a transformers output the
    ``pooler_output`` is taken, flattened, or where there is none the first token of ``last_hidden_state`` (averaged
    over space if that is a map). In a decoder such as GPT-2 the first token sees no other; pass ``pool=`` a function that
    takes the last.

    Args:
        output: A tensor, or a transformers model output.

    Returns:
        Shape ``(n, d)``.

    Raises:
        TypeError: If the output is none of these; pass ``pool=`` a function of your own.

    Example:
        >>> pooled(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3])
    """
    if isinstance(output, Tensor):
        if output.ndim == 2:
            return output
        if output.ndim == 4:
            return output.mean(dim=(2, 3))
        raise TypeError(
            f"the backbone must return (n, d) or (n, c, h, w), got shape {tuple(output.shape)}; pass pool= a function "
            f"from its output to (n, d)"
        )
    vectors = getattr(output, "pooler_output", None)
    if vectors is not None:
        return vectors.flatten(1)  # type: ignore[no-any-return]
    states = getattr(output, "last_hidden_state", None)
    if states is None:
        raise TypeError(
            f"the backbone must return a tensor or a transformers output with last_hidden_state, got "
            f"{type(output).__name__}; pass pool= a function from its output to (n, d)"
        )
    return states[:, 0] if states.ndim == 3 else states.mean(dim=(2, 3))  # type: ignore[no-any-return]


class FeatureClassifier(nn.Module):
    """Backbone, bottleneck and linear head: ``inputs -> (features, logits)``.

    The features are the bottleneck's output: linear, batch norm, ReLU and dropout, as in the deep adaptation
    literature. With ``bottleneck=None`` they are the pooled output of the backbone. Batch norm needs two rows in training.

    Args:
        backbone: Any module: your own, or one from timm (``num_classes=0``), torchvision (its head replaced by
            ``torch.nn.Identity()``) or transformers. Inputs that are dictionaries are passed to it as keywords.
        classes: Number of classes.
        bottleneck: Width of the bottleneck, or ``None`` for none. Its batch norm needs two rows in training: a loader
            whose last batch may be one row wants ``drop_last=True``.
        width: Number of features of the pooled backbone output. Default: found by one forward pass of ``example``.
        example: A small batch of inputs for that pass, which runs in eval mode without gradients.
        pool: From the backbone's output to one vector a row; see :func:`pooled`.
        dropout: Probability of dropout in the bottleneck, in ``[0, 1)``.

    Raises:
        TypeError: If ``backbone`` is not a module, or an option of the wrong kind.
        ValueError: If a size is below 1, dropout is not in ``[0, 1)``, or neither ``width`` nor ``example`` is given; in
            ``forward``, if the backbone's output is not pooled to that width, or a batch in training has one row.

    Example:
        >>> model = FeatureClassifier(torch.nn.Linear(8, 6), 3, bottleneck=4, width=6)
        >>> features, logits = model(torch.zeros(5, 8))
        >>> features.shape, logits.shape
        (torch.Size([5, 4]), torch.Size([5, 3]))
    """

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        *,
        bottleneck: int | None = 256,
        width: int | None = None,
        example: Any = None,
        pool: Callable[[Any], Tensor] = pooled,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(backbone, nn.Module):
            raise TypeError(f"backbone must be a torch.nn.Module, got {type(backbone).__name__}")
        _checks.at_least(classes, 1, "classes")
        _checks.dropout(dropout)
        self.backbone = backbone
        self.pool = pool
        if width is None:
            width = self._probe(example)
        _checks.at_least(width, 1, "width")
        self._pooled_width = width
        self.bottleneck: nn.Module = nn.Identity()
        self.width = width
        """Number of features that the head, and every alignment, sees."""
        if bottleneck is not None:
            _checks.at_least(bottleneck, 1, "bottleneck")
            layers: list[nn.Module] = [nn.Linear(width, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU()]
            self.bottleneck = nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))
            self.width = bottleneck
        self.head = nn.Linear(self.width, classes)

    def _probe(self, example: Any) -> int:
        if example is None:
            raise ValueError(
                "width must be given, or an example batch to find it with one forward pass: example=inputs[:2]"
            )
        training = self.backbone.training
        self.backbone.eval()
        try:
            with torch.no_grad():
                vectors = self.pool(self._run_backbone(example))
        finally:
            self.backbone.train(training)
        if not isinstance(vectors, Tensor) or vectors.ndim != 2:
            got = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise ValueError(f"pool must return a matrix of shape (rows, features), got {got}")
        return vectors.shape[1]

    def _run_backbone(self, inputs: Any) -> Any:
        return self.backbone(**inputs) if isinstance(inputs, Mapping) else self.backbone(inputs)

    def forward(self, inputs: Any) -> tuple[Tensor, Tensor]:
        """Features ``(n, width)`` and logits ``(n, classes)``."""
        vectors = self.pool(self._run_backbone(inputs))
        if not isinstance(vectors, Tensor) or vectors.ndim != 2 or vectors.shape[1] != self._pooled_width:
            got = f"shape {tuple(vectors.shape)}" if isinstance(vectors, Tensor) else type(vectors).__name__
            raise ValueError(
                f"the pooled output of the backbone must have shape (rows, {self._pooled_width}), got {got}; "
                f"give example= instead of width=, or mend pool="
            )
        if len(vectors) == 1 and any(isinstance(m, nn.BatchNorm1d) and m.training for m in self.bottleneck.children()):
            raise ValueError(
                "inputs must have at least 2 rows in training, as the bottleneck has batch norm, got 1; give the loader "
                "drop_last=True, or the model bottleneck=None"
            )
        features = self.bottleneck(vectors)
        return features, self.head(features)

    def parameter_groups(self, rate: float, *, backbone_factor: float = 0.1) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer: the backbone at a smaller rate than what is trained from scratch.

        Args:
            rate: Learning rate of bottleneck and head, positive.
            backbone_factor: The backbone's rate in units of ``rate``, not negative. Frozen parameters are left out.

        Returns:
            A list of groups, each with ``params`` and ``lr``.

        Example:
            >>> model = FeatureClassifier(torch.nn.Linear(8, 6), 3, bottleneck=4, width=6)
            >>> [round(group["lr"], 4) for group in model.parameter_groups(0.01)]
            [0.001, 0.01]
        """
        _checks.positive(rate, "rate")
        _checks.not_negative(backbone_factor, "backbone_factor")
        backbone = [p for p in self.backbone.parameters() if p.requires_grad]
        known = {id(p) for p in backbone}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        groups = [{"params": backbone, "lr": rate * backbone_factor}, {"params": rest, "lr": rate}]
        return [group for group in groups if group["params"]]
