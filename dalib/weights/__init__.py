"""Importance and label-shift weights, in the style of scikit-learn: ``fit(source, target)`` learns ``weights_``."""

from dalib._importance import CollapsedWeightsWarning, effective_sample_size
from dalib.weights.domain_classifier import DomainClassifierWeights
from dalib.weights.gaussian import GaussianDensityWeights
from dalib.weights.kde import KernelDensityWeights
from dalib.weights.kliep import KLIEP
from dalib.weights.kmm import KernelMeanMatching
from dalib.weights.nearest_neighbour import NearestNeighbourWeights
from dalib.weights.ulsif import ULSIF, RuLSIF

__all__ = [
    "KLIEP",
    "ULSIF",
    "CollapsedWeightsWarning",
    "DomainClassifierWeights",
    "GaussianDensityWeights",
    "KernelDensityWeights",
    "KernelMeanMatching",
    "NearestNeighbourWeights",
    "RuLSIF",
    "effective_sample_size",
]
