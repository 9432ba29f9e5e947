"""What every score begins with: finite outputs of a domain, and evenly spaced rows where all of them cost too much."""

from __future__ import annotations

import torch
from torch import Tensor

from dalib import _checks
from dalib.evaluation import Evaluation
from dalib.outputs import Outputs

REJECTED = float("-inf")
"""The score of a checkpoint that must not be picked: records keep it as null, and selection passes over it."""

_LEAST = -1e200
"""The smallest log-probability: what is below it would leave the range in sums over rows and in products with weights."""


def outputs(evaluation: Evaluation, name: str) -> Outputs:
    """The part ``name`` of an evaluation, outside the graph.

    It must have rows and columns and be finite, since a score of NaN would pass unseen, and labels must be classes: a
    column of them would be compared with every prediction.
    """
    part: Outputs = getattr(_checked(evaluation), name).detach()
    if part.logits.shape[0] == 0:
        raise ValueError(f"{name} of the evaluation must have at least one row, got none")
    if part.logits.shape[1] == 0 or part.features.shape[1] == 0:
        raise ValueError(
            f"{name} of the evaluation must have at least one feature and one class, got {part.features.shape[1]} and "
            f"{part.logits.shape[1]}"
        )
    if part.labels is not None:
        _checks.labels(part.labels, part.logits.shape[1], part.logits, f"labels of the {name} rows")
    _checks.finite(part.features, f"features of the {name} rows")
    _checks.finite(part.logits, f"logits of the {name} rows")
    return part


def target_log_probs(evaluation: Evaluation, most: int | None = None) -> Tensor:
    """Log-probabilities of the target rows in float64, shape ``(m, classes)``; of ``most`` evenly spaced rows at most."""
    logits = outputs(evaluation, "target").logits
    return log_probs(logits if most is None else evenly(logits, most))


def log_probs(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-softmax in float64 of logits of any finite size; finite, so that ``p log p`` of a class without any is 0."""
    logits = logits.double()
    below = (logits - logits.amax(dim=1, keepdim=True)) / temperature
    return torch.log_softmax(below.clamp_min(_LEAST), dim=1)


def evenly(rows: Tensor, most: int) -> Tensor:
    """All rows, or ``most`` of them at even distances, the first and the last among them."""
    if rows.shape[0] <= most:
        return rows
    return rows[torch.linspace(0, rows.shape[0] - 1, most, dtype=torch.float64).round().long()]


def judged(evaluation: Evaluation) -> Outputs:
    """The held-out source rows; where there are none, the trained ones."""
    return outputs(evaluation, "source" if _checked(evaluation).source_held_out is None else "source_held_out")


def judged_losses(evaluation: Evaluation) -> Tensor:
    """Cross entropy of the rows that judge, shape ``(n,)``, float64."""
    part = judged(evaluation)
    assert part.labels is not None  # Evaluation checked it
    return -log_probs(part.logits).gather(1, part.labels.long()[:, None]).squeeze(1)


def directions(rows: Tensor) -> Tensor:
    """Rows of length one, at least in float32; zero rows stay zero, no square of a large or small row leaves the range."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    scaled = rows / rows.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return torch.nn.functional.normalize(scaled, dim=1)


def _checked(evaluation: Evaluation) -> Evaluation:
    if not isinstance(evaluation, Evaluation):
        raise TypeError(f"evaluation must be a dalib.evaluation.Evaluation, got {type(evaluation).__name__}")
    return evaluation
