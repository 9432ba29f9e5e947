"""Importance and label-shift weights, in the style of scikit-learn: ``fit(source, target)`` learns ``weights_``."""

from dalib.weights._importance import CollapsedWeightsWarning, effective_sample_size
from dalib.weights.bbse import BBSE
from dalib.weights.bootstrap import class_weight_intervals
from dalib.weights.calibration import BiasCorrectedTemperature
from dalib.weights.diagnostics import (
    balance_table,
    clipping_curve,
    plot_balance,
    plot_clipping_curve,
    plot_weights,
)
from dalib.weights.domain_classifier import DomainClassifierWeights
from dalib.weights.em import MaximumLikelihoodLabelShift
from dalib.weights.gaussian import GaussianDensityWeights
from dalib.weights.importance_weighted import ImportanceWeighted
from dalib.weights.importance_weighted_cv import importance_weighted_scorer
from dalib.weights.kde import KernelDensityWeights
from dalib.weights.kliep import KLIEP
from dalib.weights.kmm import KernelMeanMatching
from dalib.weights.nearest_neighbour import NearestNeighbourWeights
from dalib.weights.rlls import RLLS
from dalib.weights.shift_detector import ShiftDetector
from dalib.weights.target_shift import TargetShiftWeights
from dalib.weights.tensor_ratio import RelativeRatio, relative_ratio, relative_ratio_weights
from dalib.weights.tensors import kernel_mean_matching_weights
from dalib.weights.tradaboost import TrAdaBoost, TrAdaBoostR2
from dalib.weights.two_stage_tradaboost import TwoStageTrAdaBoostR2
from dalib.weights.ulsif import ULSIF, RuLSIF
from dalib.weights.weighted_folds import WeightedKFold

__all__ = [
    "BBSE",
    "KLIEP",
    "RLLS",
    "ULSIF",
    "BiasCorrectedTemperature",
    "CollapsedWeightsWarning",
    "DomainClassifierWeights",
    "GaussianDensityWeights",
    "ImportanceWeighted",
    "KernelDensityWeights",
    "KernelMeanMatching",
    "MaximumLikelihoodLabelShift",
    "NearestNeighbourWeights",
    "RelativeRatio",
    "RuLSIF",
    "ShiftDetector",
    "TargetShiftWeights",
    "TrAdaBoost",
    "TrAdaBoostR2",
    "TwoStageTrAdaBoostR2",
    "WeightedKFold",
    "balance_table",
    "class_weight_intervals",
    "clipping_curve",
    "effective_sample_size",
    "importance_weighted_scorer",
    "kernel_mean_matching_weights",
    "plot_balance",
    "plot_clipping_curve",
    "plot_weights",
    "relative_ratio",
    "relative_ratio_weights",
]
