"""scikit-learn's own checks: estimators of weights through the adapter that makes a second domain of X, others as they are.

There are no exceptions; the array-API check is skipped by scikit-learn itself.
"""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from dalib.weights import (
    KLIEP,
    ULSIF,
    CollapsedWeightsWarning,
    DomainClassifierWeights,
    GaussianDensityWeights,
    ImportanceWeighted,
    KernelDensityWeights,
    KernelMeanMatching,
    NearestNeighbourWeights,
    RuLSIF,
    TrAdaBoost,
    TrAdaBoostR2,
    TwoStageTrAdaBoostR2,
)
from tests.weights.adapters import OneDomain, OneDomainPredictor

ESTIMATORS = [
    OneDomain(KernelMeanMatching()),
    OneDomain(NearestNeighbourWeights()),
    OneDomainPredictor(DomainClassifierWeights()),
    OneDomainPredictor(GaussianDensityWeights()),
    OneDomainPredictor(KernelDensityWeights()),
    OneDomainPredictor(KLIEP(bandwidths=[1.0])),
    OneDomainPredictor(RuLSIF(bandwidths=[1.0, 2.0])),
    OneDomainPredictor(ULSIF(bandwidths=[1.0])),
    ImportanceWeighted(LogisticRegression()),
    ImportanceWeighted(Ridge()),
    TrAdaBoost(),
    TrAdaBoostR2(rounds=5),
    TwoStageTrAdaBoostR2(stages=2, rounds=3),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapsedWeightsWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)
