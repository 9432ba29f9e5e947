"""Training: a model on any backbone, one step, a loop."""

from dalib.training.distributed import GlobalForward, gathered, synchronised
from dalib.training.loop import as_batch, pair_batches, train
from dalib.training.model import FeatureClassifier, pooled
from dalib.training.phases import Phase, PhasedObjective
from dalib.training.step import Forward, Step, gradient_step, joint_forward, outputs_of, separate_forward

__all__ = [
    "FeatureClassifier",
    "Forward",
    "GlobalForward",
    "Phase",
    "PhasedObjective",
    "Step",
    "as_batch",
    "gathered",
    "gradient_step",
    "joint_forward",
    "outputs_of",
    "pair_batches",
    "pooled",
    "separate_forward",
    "synchronised",
    "train",
]
