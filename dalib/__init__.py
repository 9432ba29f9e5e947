"""Domain adaptation for PyTorch.

    Source first, target second, options by keyword.
    ``*_loss(source, target)`` is minimised. ``*_score(evaluation)`` is maximised. ``fit(source, target)`` learns, and
    what it learnt ends in ``_``.

This front door loads torch and numpy alone; ``dalib.weights``, ``dalib.data``, ``dalib.validators``, ``dalib.benchmark`` and
``dalib.testing`` are loaded when they are first used.
"""

import importlib
from typing import Any

from dalib._checks import value_checks
from dalib.conditioning import RandomizedMultilinear, features, logits, multilinear
from dalib.losses import (
    CORALLoss,
    DomainAdversarialLoss,
    DomainDiscriminator,
    EntropyLoss,
    MCCLoss,
    MMDLoss,
    coral_loss,
    domain_adversarial_loss,
    entropy_loss,
    mcc_loss,
    mmd_loss,
)
from dalib.methods import cdan, control, dan, dann, deep_coral, importance_weighted, mcc, source_only
from dalib.objective import Align, Losses, Objective, OnTarget, SourceObjective, source_cross_entropy
from dalib.outputs import Batch, Outputs
from dalib.reversal import GradientReversal, reverse_gradient
from dalib.schedules import linear_ramp, sigmoid_ramp
from dalib.training import (
    FeatureClassifier,
    gradient_step,
    joint_forward,
    outputs_of,
    pair_batches,
    separate_forward,
    train,
)

__version__ = "0.1.0.dev0"

_LATER = {
    "with_weights": "dalib.data",
    "benchmark": "dalib.benchmark",
    "data": "dalib.data",
    "evaluation": "dalib.evaluation",
    "metrics": "dalib.metrics",
    "testing": "dalib.testing",
    "validators": "dalib.validators",
    "weights": "dalib.weights",
}

__all__ = [
    "Align",
    "Batch",
    "CORALLoss",
    "DomainAdversarialLoss",
    "DomainDiscriminator",
    "EntropyLoss",
    "FeatureClassifier",
    "GradientReversal",
    "Losses",
    "MCCLoss",
    "MMDLoss",
    "Objective",
    "OnTarget",
    "Outputs",
    "RandomizedMultilinear",
    "SourceObjective",
    "cdan",
    "control",
    "coral_loss",
    "dan",
    "dann",
    "deep_coral",
    "domain_adversarial_loss",
    "entropy_loss",
    "features",
    "gradient_step",
    "importance_weighted",
    "joint_forward",
    "linear_ramp",
    "logits",
    "mcc",
    "mcc_loss",
    "mmd_loss",
    "multilinear",
    "outputs_of",
    "pair_batches",
    "reverse_gradient",
    "separate_forward",
    "sigmoid_ramp",
    "source_cross_entropy",
    "source_only",
    "train",
    "value_checks",
    "with_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'dalib' has no attribute {name!r}")
    module = importlib.import_module(_LATER[name])
    return module if module.__name__ == f"dalib.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
