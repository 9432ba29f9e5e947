"""Importance and label-shift weights, in the style of scikit-learn: ``fit(source, target)`` learns ``weights_``."""

from dalib._importance import CollapsedWeightsWarning, effective_sample_size
from dalib.weights.bbse import BBSE
from dalib.weights.bootstrap import class_weight_intervals
from dalib.weights.calibration import BiasCorrectedTemperature
from dalib.weights.domain_classifier import DomainClassifierWeights
from dalib.weights.em import MaximumLikelihoodLabelShift
from dalib.weights.gaussian import GaussianDensityWeights
from dalib.weights.kde import KernelDensityWeights
from dalib.weights.kliep import KLIEP
from dalib.weights.kmm import KernelMeanMatching
from dalib.weights.nearest_neighbour import NearestNeighbourWeights
from dalib.weights.rlls import RLLS
from dalib.weights.shift_detector import ShiftDetector
from dalib.weights.target_shift import TargetShiftWeights
from dalib.weights.ulsif import ULSIF, RuLSIF

__all__ = [
    "BBSE",
    "KLIEP",
    "RLLS",
    "ULSIF",
    "BiasCorrectedTemperature",
    "CollapsedWeightsWarning",
    "DomainClassifierWeights",
    "GaussianDensityWeights",
    "KernelDensityWeights",
    "KernelMeanMatching",
    "MaximumLikelihoodLabelShift",
    "NearestNeighbourWeights",
    "RuLSIF",
    "ShiftDetector",
    "TargetShiftWeights",
    "class_weight_intervals",
    "effective_sample_size",
]
