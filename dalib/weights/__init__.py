"""Importance and label-shift weights, in the style of scikit-learn: ``fit(source, target)`` learns ``weights_``."""

from dalib._importance import CollapsedWeightsWarning, effective_sample_size
from dalib.weights.domain_classifier import DomainClassifierWeights
from dalib.weights.kmm import KernelMeanMatching

__all__ = ["CollapsedWeightsWarning", "DomainClassifierWeights", "KernelMeanMatching", "effective_sample_size"]
