"""scikit-learn's own checks, on every estimator of weights through the adapter that makes a second domain of X."""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from dalib.weights import (
    KLIEP,
    ULSIF,
    CollapsedWeightsWarning,
    DomainClassifierWeights,
    GaussianDensityWeights,
    KernelDensityWeights,
    KernelMeanMatching,
    NearestNeighbourWeights,
    RuLSIF,
)
from tests.weights.adapters import OneDomain, OneDomainPredictor

ESTIMATORS = [
    OneDomain(KernelMeanMatching()),
    OneDomain(NearestNeighbourWeights()),
    OneDomainPredictor(DomainClassifierWeights()),
    OneDomainPredictor(GaussianDensityWeights()),
    OneDomainPredictor(KernelDensityWeights()),
    OneDomainPredictor(KLIEP()),
    OneDomainPredictor(RuLSIF()),
    OneDomainPredictor(ULSIF()),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapsedWeightsWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)
