"""How much more likely a row is in the target than in the source, by a small logistic regression."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from dalib.evaluation import Evaluation
from dalib.validators import _rows

_ROWS = 500
_COMPONENTS = 32
_PENALTY = 0.01
_BOUND = 13.8
"""Of the logarithm of the ratio: probabilities between 1e-6 and 1 - 1e-6, as in ``DomainClassifierWeights``."""
_KEPT = "_logistic_density_ratio"


def judged_weights(evaluation: Evaluation, ratio: Any = None) -> Tensor:
    """The density ratio at the rows that judge, shape ``(n,)``, float64; it is fitted on trained and target rows.

    ``ratio`` is an estimator with ``fit(source, target)`` and ``predict(rows)``; its copy is fitted. Default: logistic
    regression on the 32 largest principal components of at most 500 rows a domain, fitted once an evaluation: three
    validators ask for it.
    """
    source, target = (_rows.outputs(evaluation, name).features.double() for name in ("source", "target"))
    rows = _rows.judged(evaluation).features.double()
    if ratio is None:
        kept: dict[str, Any] = vars(evaluation)  # it is frozen: what is derived from it stays true
        if _KEPT not in kept:
            kept[_KEPT] = _logistic(_rows.evenly(source, _ROWS), _rows.evenly(target, _ROWS), rows)
        found: Tensor = kept[_KEPT]
        return found.clone()
    if not (callable(getattr(ratio, "fit", None)) and callable(getattr(ratio, "predict", None))):
        raise TypeError(
            f"ratio must be an estimator with fit(source, target) and predict(rows), got {type(ratio).__name__}; "
            "use DomainClassifierWeights, KLIEP, ULSIF or RuLSIF of dalib.weights"
        )
    predicted = copy.deepcopy(ratio).fit(source.numpy(), target.numpy()).predict(rows.numpy())
    weights = torch.as_tensor(predicted, dtype=torch.float64)
    if weights.shape != rows.shape[:1] or not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ValueError("ratio must predict one finite weight a row, not negative, got others")
    return weights


def _logistic(source: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """``exp`` of the logit of a ridge logistic regression in which both domains weigh the same."""
    pooled = torch.cat([source, target])
    is_target = torch.arange(pooled.shape[0]) >= source.shape[0]
    shares = torch.where(is_target, 0.5 / target.shape[0], 0.5 / source.shape[0]).double()
    mean = shares @ pooled
    centred = pooled - mean
    sizes, axes = torch.linalg.eigh((centred.T * shares) @ centred)
    kept = (sizes > 1e-10 * pooled.square().mean()).nonzero().flatten()[-_COMPONENTS:]
    white = axes[:, kept] / sizes[kept].sqrt()
    ones = torch.ones(pooled.shape[0], 1, dtype=torch.float64)
    slope = _newton(torch.cat([ones, centred @ white], dim=1), is_target.double(), shares)
    logits = slope[0] + (rows - mean) @ white @ slope[1:]
    found: Tensor = logits.clamp(-_BOUND, _BOUND).exp()
    return found


def _newton(inputs: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Minimise the weighted logistic loss with a ridge; steps are halved until they lower it."""
    ridge = torch.full(inputs.shape[1:], _PENALTY, dtype=torch.float64)
    ridge[0] = 1e-9  # the intercept

    def value(slope: Tensor) -> float:
        logits = inputs @ slope
        losses = torch.nn.functional.softplus(logits) - labels * logits
        return float(shares @ losses + 0.5 * (ridge * slope * slope).sum())

    slope = torch.zeros_like(ridge)
    for _ in range(25):
        probs = torch.sigmoid(inputs @ slope)
        gradient = inputs.T @ (shares * (probs - labels)) + ridge * slope
        if float(gradient.abs().max()) < 1e-9:
            break
        curvature = (inputs.T * (shares * probs * (1 - probs))) @ inputs + torch.diag(ridge)
        step = torch.linalg.solve(curvature, gradient)
        before, length = value(slope), 1.0
        while length > 1e-3 and value(slope - length * step) > before:
            length /= 2
        slope = slope - length * step
    return slope
