"""What users pass by mistake: the right number, or one sentence that names the argument and the mend."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MaxAbsScaler

from dalib.weights import (
    BBSE,
    KLIEP,
    ULSIF,
    BiasCorrectedTemperature,
    DomainClassifierWeights,
    GaussianDensityWeights,
    ImportanceWeighted,
    KernelDensityWeights,
    KernelMeanMatching,
    MaximumLikelihoodLabelShift,
    NearestNeighbourWeights,
    RuLSIF,
    ShiftDetector,
    TrAdaBoost,
    TrAdaBoostR2,
    TwoStageTrAdaBoostR2,
    WeightedKFold,
    clipping_curve,
    importance_weighted_scorer,
    kernel_mean_matching_weights,
    relative_ratio,
    relative_ratio_weights,
)

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")
RATIOS = [
    DomainClassifierWeights(),
    GaussianDensityWeights(),
    KernelDensityWeights(),
    KernelMeanMatching(),
    KLIEP(bandwidths=[1.0]),
    NearestNeighbourWeights(),
    RuLSIF(bandwidths=[1.0]),
    ULSIF(bandwidths=[1.0]),
]
every = pytest.mark.parametrize("estimator", RATIOS, ids=lambda one: type(one).__name__)
rng = np.random.default_rng(0)
SOURCE, TARGET = rng.normal(size=(20, 2)), rng.normal(size=(15, 2)) + 0.3
MASKED = np.ma.array(SOURCE, mask=SOURCE > 1.0)
NAMED = pd.DataFrame(SOURCE, columns=["a", "b"])


@every
@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        (
            csr_matrix(SOURCE),
            TARGET,
            TypeError,
            r"source must be dense, got a sparse csr_matrix; pass source.toarray\(\)",
        ),
        (SOURCE, csr_matrix(TARGET), TypeError, "target must be dense"),
        (
            NAMED,
            pd.DataFrame(TARGET, columns=["b", "a"]),
            ValueError,
            r"got 'b' where it has 'a'; pass target\[source.col",
        ),
        (NAMED.assign(b="x"), TARGET, ValueError, "source must hold real numbers.*encode text"),
        (np.array([["a", "b"]], object), TARGET, ValueError, "source must hold real numbers.*encode text"),
        (SOURCE + 1j, TARGET, ValueError, "source must hold real numbers"),
        (MASKED, TARGET, ValueError, "source must be finite.*impute"),
        (SOURCE * 1e200, TARGET, ValueError, "source must have entries up to 1e.140, got .*; scale the features down"),
        (
            SOURCE * 1e-200,
            TARGET * 1e-200,
            ValueError,
            "vary by at least 1e-140 in some feature, got .*; scale them up",
        ),
        ([[1.0, 2.0], [3.0]], TARGET, ValueError, "source must have rows of one length"),
        ("rows", TARGET, TypeError, r"source must be an array of shape \(rows, features\), got str"),
        (SOURCE[:, :0], TARGET[:, :0], ValueError, r"at least one row and one feature, got shape \(20, 0\)"),
    ],
)
def test_domains_that_cannot_be(estimator, source, target, error, message):
    with pytest.raises(error, match=message):
        clone(estimator).fit(source, target)


@every
def test_columns_that_are_numbered_keep_their_order_too(estimator):
    with pytest.raises(ValueError, match=r"got 1 where it has 0; pass target\[source.columns\]"):
        clone(estimator).fit(pd.DataFrame(SOURCE), pd.DataFrame(TARGET)[[1, 0]])


@every
def test_domains_that_can_be(estimator):
    wanted = clone(estimator).fit(SOURCE, TARGET).weights_
    locked = SOURCE.copy()
    locked.flags.writeable = False
    for source in (locked, SOURCE.astype(object), SOURCE.tolist(), np.asfortranarray(SOURCE)):
        np.testing.assert_allclose(clone(estimator).fit(source, TARGET).weights_, wanted, rtol=1e-6, atol=1e-6)
    halves = [torch.from_numpy(rows).bfloat16() for rows in (SOURCE, TARGET)]
    assert np.isfinite(clone(estimator).fit(*halves).weights_).all()
    for source, target in ((SOURCE[:1], TARGET), (SOURCE, TARGET[:1]), (SOURCE[:1], TARGET[:1])):
        assert clone(estimator).fit(source, target).weights_.mean() == pytest.approx(1.0)


@every
@pytest.mark.parametrize("which", ["far away", "a column that tells the domain"])
def test_domains_without_overlap_are_warned_of(estimator, which):
    if which == "far away":
        source, target = SOURCE, TARGET + 1000
    else:
        source, target = np.c_[SOURCE, np.zeros(20)], np.c_[TARGET, np.ones(15)]
    caught = pytest.warns(UserWarning, match=r"do not overlap in \d of \d features.*drop features that tell the domain")
    with caught, suppress(ValueError):  # where a kernel of this bandwidth does not reach, an error says so as well
        clone(estimator).fit(source, target)


@every
def test_new_rows_out_of_range(estimator):
    if hasattr(estimator, "predict"):
        with pytest.raises(Exception, match="not fitted yet"):
            clone(estimator).predict(SOURCE)
        fitted = clone(estimator).fit(SOURCE, TARGET)
        with pytest.raises(ValueError, match="X must have entries up to"):
            fitted.predict(SOURCE * 1e200)
        assert not np.isnan(fitted.predict(SOURCE * 1e6)).any()


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (KernelMeanMatching(kernel="rbf"), TypeError, "kernel must be a function"),
        (KernelMeanMatching(kernel=lambda X, Y: np.ones(3)), ValueError, r"of shape \(20, 15\), got shape \(3,\)"),
        (KernelMeanMatching(max_iter=2.5), TypeError, "max_iter must be an integer, got float"),
        (KernelMeanMatching(slack="a"), TypeError, "slack must be a number, got str"),
        (KLIEP(folds=None), TypeError, "folds must be an integer, got NoneType"),
        (RuLSIF(alpha="a"), TypeError, "alpha must be a number, got str"),
        (RuLSIF(bandwidths=["a"]), TypeError, "each of bandwidths must be a number, got str"),
        (ULSIF(ridges=[1e-300]), ValueError, "ridges must be large enough.*pass larger ones"),
        (DomainClassifierWeights(clip="a"), TypeError, "clip must be a number, got str"),
        (NearestNeighbourWeights(smoothing=None), TypeError, "smoothing must be a number"),
    ],
)
def test_options_of_the_wrong_kind(estimator, error, message):
    target = np.repeat(TARGET[:1], 15, axis=0) if "ridges" in message else TARGET  # equal centres: a singular system
    with pytest.raises(error, match=message):
        estimator.fit(SOURCE, target)


P, LABELS = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]]), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("probabilities", "labels", "error", "message"),
    [
        (csr_matrix(P), LABELS, TypeError, "source_probabilities must be dense"),
        (torch.from_numpy(P).requires_grad_(), LABELS, TypeError, "detached CPU tensor"),
        (P + 0j, LABELS, TypeError, "source_probabilities must hold real numbers"),
        (
            P,
            np.array([0, None, 0, 1], object),
            TypeError,
            "source_labels must be of one kind, got NoneType and int; drop",
        ),
        (P, np.array([0, "a", 0, 1], object), TypeError, "source_labels must be of one kind, got int and str"),
        (P, np.array([0, np.nan, 0, 1], object), ValueError, "must not hold NaN; drop the rows"),
    ],
)
def test_label_shift(probabilities, labels, error, message):
    with pytest.raises(error, match=message):
        BBSE().fit(probabilities, labels, P)


def test_label_shift_classes_and_zeros():
    with pytest.raises(ValueError, match=r"classes must name each column once, got \[0, 0\]"):
        BBSE(classes=[0, 0]).fit(P, LABELS, P)
    with pytest.raises(TypeError, match="source_labels must be of the kind of classes"):
        BBSE(classes=["a", "b"]).fit(P, LABELS, P)
    fitted = BBSE().fit(P, LABELS, P)
    for labels, message in (
        (0, r"shape \(rows,\)"),
        ([7], r"among classes \[0, 1\], got 7"),
        ([np.nan], "not hold NaN"),
    ):
        with pytest.raises(ValueError, match=f"^labels must .*{message}"):
            fitted.predict(labels)
    with pytest.raises(TypeError, match=r"^labels must be of the kind of classes"):
        fitted.predict(["cat"])
    with pytest.raises(ValueError, match=r"^labels must have shape \(4,\)"):
        BiasCorrectedTemperature().fit(P, LABELS[:3])
    with pytest.raises(ValueError, match=r"above 0 in some source row, got none for \[1\]; pass calibrator="):
        MaximumLikelihoodLabelShift().fit([[1.0, 0.0]] * 4, LABELS, P)
    with pytest.raises(TypeError, match="calibrator must have fit and transform, got str"):
        MaximumLikelihoodLabelShift(calibrator="temperature").fit(P, LABELS, P)
    certain = np.eye(2)[LABELS]
    absent = MaximumLikelihoodLabelShift().fit(certain, LABELS, certain[[0, 0]])  # class 1 has the share 0
    np.testing.assert_array_equal(absent.adjust([[0.0, 1.0], [0.5, 0.5]]), [[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match=r"at most 30000 rows together.*random sample"):
        ShiftDetector().fit(np.zeros((30_000, 1)), np.arange(30_000) % 2, [[0.0]])


class Fixed(BaseEstimator):
    """Weights that are given."""

    def __init__(self, values):
        self.values = values

    def fit(self, source, target):
        self.weights_ = self.values
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), r"must have shape \(20,\), one weight a row, got \(3,\)"),
        (np.r_[-1.0, np.ones(19)], "must not be negative"),
        (np.r_[np.nan, np.ones(19)], "must be finite"),
        (np.zeros(20), "must not be all zero"),
        (None, "must have shape"),
    ],
)
def test_weights_of_an_estimator_are_checked(values, message):
    model = ImportanceWeighted(LogisticRegression(), weights=Fixed(values), target=TARGET)
    with pytest.raises(ValueError, match="weights_ of the estimator of weights " + message):
        model.fit(SOURCE, np.arange(20) % 2)


def test_importance_weighted():
    y = np.arange(20) % 2
    wide = ImportanceWeighted(
        LogisticRegression(), weights=Fixed(np.r_[1e3, np.ones(19)]), target=TARGET, flattening=1e3
    )
    np.testing.assert_allclose(wide.fit(SOURCE, y).weights_, np.r_[20.0, np.zeros(19)])  # 1000^1000 overflows
    model = ImportanceWeighted(LogisticRegression(), weights=NearestNeighbourWeights(), preprocess=MaxAbsScaler())
    with pytest.raises(ValueError, match=r"same number of features, got shapes \(20, 2\) and \(15, 1\)"):
        clone(model).set_params(target=TARGET[:, :1]).fit(SOURCE, y)
    with pytest.raises(ValueError, match=r"columns of X in the same order, got 'b' .* pass target\[X.columns\]"):
        clone(model).set_params(target=pd.DataFrame(TARGET, columns=["b", "a"])).fit(NAMED, y)
    with pytest.raises(TypeError, match="flattening must be a number"):
        clone(model).set_params(target=TARGET, flattening="a").fit(SOURCE, y)


def test_scorer_folds_and_curves():
    ratio = DomainClassifierWeights().fit(SOURCE, TARGET)
    with pytest.raises(TypeError, match="metric must be a function, got str"):
        importance_weighted_scorer("accuracy", ratio)
    with pytest.raises(TypeError, match="ratio must be a fitted estimator, got the class"):
        importance_weighted_scorer(accuracy_score, DomainClassifierWeights)
    huge = np.full(4, 1e308)
    assert WeightedKFold(huge, 2).weights.tolist() == [1.0] * 4
    np.testing.assert_array_equal(clipping_curve(huge, caps=[1.0]).mass_kept, [1.0])


@pytest.mark.parametrize("boosting", [TrAdaBoost, TrAdaBoostR2, TwoStageTrAdaBoostR2])
def test_boosting(boosting):
    y, own = np.arange(20) % 2, np.arange(15) % 2
    with pytest.raises(TypeError, match="estimator must take sample_weight in fit, got KNeighborsClassifier"):
        boosting(KNeighborsClassifier(), source=SOURCE, source_labels=y).fit(TARGET, own)
    with pytest.raises(ValueError, match="source_labels must"):
        boosting(source=SOURCE, source_labels=np.where(y, np.nan, 0.0)).fit(TARGET, own)
    with pytest.raises(TypeError, match="rounds must be an integer, got float"):
        boosting(rounds=1.5).fit(TARGET, own)
    with pytest.raises(ValueError, match=r"source must have the columns of X .*, got 'b' .*pass source\[X.columns\]"):
        boosting(source=NAMED[["b", "a"]], source_labels=y).fit(pd.DataFrame(TARGET, columns=["a", "b"]), own)
    with pytest.raises(TypeError, match="source must be dense"):
        boosting(source=csr_matrix(SOURCE), source_labels=y).fit(TARGET, own)


def test_labels_of_the_source_keep_their_length_and_kind():
    names = np.array(["alpha", "b"])[np.arange(20) % 2]
    own = np.array(["a", "b"])[np.arange(15) % 2]
    assert TrAdaBoost(source=SOURCE, source_labels=names, rounds=2).fit(TARGET, own).classes_.tolist() == [
        "a",
        "alpha",
        "b",
    ]
    with pytest.raises(TypeError, match="source_labels must be of the kind of y"):
        TrAdaBoost(source=SOURCE, source_labels=np.arange(20) % 2).fit(TARGET, own)


@pytest.mark.parametrize("weigh", [kernel_mean_matching_weights, relative_ratio_weights])
def test_tensors(weigh):
    source, target = torch.from_numpy(SOURCE), torch.from_numpy(TARGET)
    for scale in (1e200, 1e-200):
        with pytest.raises(ValueError, match="entries up to 1e140 that vary by at least 1e-140"):
            weigh(source * scale, target * scale)
    with pytest.raises(TypeError, match=r"must be a dense tensor.*to_dense\(\)"):
        weigh(source.to_sparse(), target)
    near = weigh(source, target)
    torch.testing.assert_close(weigh(source + 2.0**30, target + 2.0**30), near, rtol=1e-3, atol=1e-2)  # no cancellation


def test_ratio_of_tensors():
    ratio = relative_ratio(torch.from_numpy(SOURCE), torch.from_numpy(TARGET))
    with pytest.raises(ValueError, match="rows must have 2 features, got 1"):
        ratio(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="rows must be finite"):
        ratio(torch.full((3, 2), torch.nan))
    with pytest.raises(TypeError, match="bandwidths must be a sequence of numbers, got float"):
        relative_ratio(torch.zeros(3, 1), torch.zeros(3, 1), bandwidths=1.0)
