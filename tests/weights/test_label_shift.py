"""Class weights under label shift: known priors, the definitions, and bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone

from dalib.weights import (
    BBSE,
    RLLS,
    BiasCorrectedTemperature,
    MaximumLikelihoodLabelShift,
    TargetShiftWeights,
    class_weight_intervals,
)
from dalib.weights.rlls import penalised_norm

pytestmark = pytest.mark.filterwarnings("ignore::dalib.weights.CollapsedWeightsWarning")

ESTIMATORS = [BBSE(), BBSE(soft=False), RLLS(), RLLS(soft=False), MaximumLikelihoodLabelShift()]
every = pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def draw(n, prior, seed):
    """Three normal classes, and the exact class probabilities under equal shares."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=prior)
    x = rng.normal(size=(n, 2)) + MEANS[labels]
    logits = -0.5 * ((x[:, None] - MEANS) ** 2).sum(-1)
    P = np.exp(logits)
    return x, P / P.sum(axis=1, keepdims=True), labels


EQUAL, SHIFTED = np.full(3, 1 / 3), np.array([0.7, 0.2, 0.1])


@every
def test_a_perfect_classifier_gives_the_ratio_of_the_shares(estimator):
    labels = np.repeat([0, 1, 2], [5, 3, 2])
    wanted = np.repeat([0, 1, 2], [1, 3, 6])
    fitted = clone(estimator).fit(np.eye(3)[labels], labels, np.eye(3)[wanted])
    tolerance = 0.1 if isinstance(estimator, RLLS) else 1e-6  # RLLS is pulled towards no shift
    np.testing.assert_allclose(fitted.class_weights_, [0.1 / 0.5, 0.3 / 0.3, 0.6 / 0.2], rtol=tolerance)
    np.testing.assert_allclose(fitted.target_prior_, [0.1, 0.3, 0.6], rtol=tolerance)
    np.testing.assert_allclose(fitted.source_prior_, [0.5, 0.3, 0.2])
    np.testing.assert_allclose(fitted.weights_, fitted.class_weights_[labels])
    np.testing.assert_allclose(fitted.predict([2, 0]), fitted.class_weights_[[2, 0]])


@every
def test_known_shares_are_recovered_and_never_inverted(estimator):
    _, P, y = draw(6000, EQUAL, 0)
    _, Q, _ = draw(6000, SHIFTED, 1)
    fitted = clone(estimator).fit(P, y, Q)
    np.testing.assert_allclose(fitted.target_prior_, SHIFTED, atol=0.03)
    assert fitted.weights_.mean() == pytest.approx(1.0)
    if not isinstance(estimator, MaximumLikelihoodLabelShift):  # which needs calibrated ones
        back = clone(estimator).fit(Q, draw(6000, SHIFTED, 1)[2], P)
        np.testing.assert_allclose(back.target_prior_, EQUAL, atol=0.05)


@every
def test_no_shift_gives_weights_near_one(estimator):
    _, P, y = draw(4000, SHIFTED, 0)
    np.testing.assert_allclose(clone(estimator).fit(P, y, P).class_weights_, 1.0, atol=0.05)


@every
def test_strings_classes_and_pickles(estimator):
    _, P, y = draw(600, EQUAL, 0)
    _, Q, _ = draw(500, SHIFTED, 1)
    by_number = clone(estimator).fit(P, y, Q)
    names = np.array(["ape", "bee", "cat"])[y]
    by_name = clone(estimator).fit(P, names, Q)
    np.testing.assert_array_equal(by_name.class_weights_, by_number.class_weights_)
    assert by_name.classes_.tolist() == ["ape", "bee", "cat"]
    np.testing.assert_array_equal(by_name.predict(["cat", "ape"]), by_number.class_weights_[[2, 0]])
    turned = clone(estimator).set_params(classes=["cat", "bee", "ape"]).fit(P[:, ::-1], names, Q[:, ::-1])
    np.testing.assert_allclose(turned.class_weights_, by_number.class_weights_[::-1], atol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(by_name)).weights_, by_name.weights_)


@every
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda P, y, Q: (P[:, :2] / P[:, :2].sum(axis=1, keepdims=True), y, Q), "same number of classes, got 2 and 3"),
        (lambda P, y, Q: (P, y[:-1], Q), r"source_labels must have shape \(30,\), one label a row, got \(29,\)"),
        (lambda P, y, Q: (P, y, 2 * Q), "target_probabilities must be probabilities, .* predict_proba or the softmax"),
        (lambda P, y, Q: (P * np.nan, y, Q), "source_probabilities must be finite, got NaN or infinity in 90"),
        (lambda P, y, Q: (P, y, Q[:0]), r"target_probabilities must have shape \(rows, classes\)"),
        (
            lambda P, y, Q: (P, np.minimum(y, 1), Q),
            r"one column for each of the 2 classes \[0, 1\], got 3; pass classes=",
        ),
        (lambda P, y, Q: (P, np.where(y == 2, np.nan, y), Q), "must not hold NaN; drop the rows"),
    ],
)
def test_bad_input(estimator, change, message):
    _, P, y = draw(30, EQUAL, 0)
    y[:3] = [0, 1, 2]
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(*change(P, y, P[:10]))


@every
def test_frames_whose_columns_are_the_classes_in_another_order(estimator):
    _, P, y = draw(60, EQUAL, 0)
    names = np.array(["ape", "bee", "cat"])[y]
    ordered = pd.DataFrame(P, columns=["ape", "bee", "cat"])
    turned = ordered[["cat", "ape", "bee"]]
    with pytest.raises(
        ValueError, match=r"target_probabilities must have the columns .*, got 'cat' where it has 'ape'"
    ):
        clone(estimator).fit(ordered, names, turned)
    with pytest.raises(
        ValueError, match=r"source_probabilities must have its columns in the order .*pass classes=list"
    ):
        clone(estimator).fit(turned, names, turned)
    wanted = clone(estimator).fit(ordered, names, ordered[:20]).class_weights_
    found = clone(estimator).set_params(classes=list(turned.columns)).fit(turned, names, turned[:20]).class_weights_
    np.testing.assert_allclose(found, wanted[[2, 0, 1]], atol=1e-5)


@every
def test_absent_and_unknown_classes(estimator):
    _, P, y = draw(30, EQUAL, 0)
    with pytest.raises(ValueError, match=r"every class must have a source row, got none of \[2\]; drop their columns"):
        clone(estimator).set_params(classes=[0, 1, 2]).fit(P, np.minimum(y, 1), P)
    with pytest.raises(ValueError, match=r"source_labels must be among classes \[0, 1, 5\], got .*2"):
        clone(estimator).set_params(classes=[0, 1, 5]).fit(P, np.r_[2, y[1:]], P)


# --- BBSE


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_bbse_solves_its_system_exactly(seed, k):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(k), rng.integers(k, size=20)]
    P = rng.dirichlet(np.ones(k), size=len(labels)) * 0.3 + 0.7 * np.eye(k)[labels]
    wanted = rng.uniform(0.2, 2.0, size=k)
    prior = np.bincount(labels) / len(labels)
    wanted /= wanted @ prior
    C = sum(np.outer(p, np.eye(k)[label]) for p, label in zip(P, labels, strict=True)) / len(labels)
    fitted = BBSE().fit(P, labels, [C @ wanted] * 3)
    np.testing.assert_allclose(fitted.confusion_, C)
    np.testing.assert_allclose(fitted.class_weights_, wanted, rtol=1e-6)


def test_bbse_with_a_useless_classifier_warns_and_stays_sane():
    labels = np.array([0, 1, 1, 1])
    with pytest.warns(UserWarning, match="rank 1 of 2.*use RLLS"):
        fitted = BBSE().fit(np.full((4, 2), 0.5), labels, np.full((3, 2), 0.5))
    assert np.isfinite(fitted.class_weights_).all()


def test_bbse_with_all_weight_negative_is_an_error():
    with pytest.raises(ValueError, match=r"must be among classes"):
        BBSE(classes=["a", "b"]).fit([[0.9, 0.1]], ["c"], [[0.5, 0.5]])


# --- RLLS


@example(6925, 2, 0.5)  # the path rests in the corner (-1, -1) for many penalties
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0.0, 0.6))
@settings(max_examples=15, deadline=None)
def test_rlls_minimum_against_a_general_solver(seed, k, delta):
    rng = np.random.default_rng(seed)
    C, right = rng.normal(size=(k, k)), rng.normal(size=k)

    def objective(theta):
        return np.linalg.norm(C @ theta - right) + delta * np.linalg.norm(theta)

    found = penalised_norm(C, right, delta)
    assert found.min() >= -1 - 1e-9
    for start in (np.full(k, 0.1), rng.normal(size=k).clip(-0.9)):
        other = minimize(
            objective, start, bounds=[(-1, None)] * k, method="Powell", options={"xtol": 1e-10, "ftol": 1e-12}
        )
        assert objective(found) <= objective(np.maximum(other.x, -1)) + 1e-6


def test_rlls_limits():
    _, P, y = draw(2000, EQUAL, 0)
    _, Q, _ = draw(2000, SHIFTED, 1)
    np.testing.assert_allclose(RLLS(regularization=1e6).fit(P, y, Q).class_weights_, 1.0)
    free, plain = RLLS(regularization=0.0).fit(P, y, Q), BBSE().fit(P, y, Q)
    np.testing.assert_allclose(free.class_weights_, plain.class_weights_, atol=1e-5)
    np.testing.assert_allclose(RLLS(trust=0.0).fit(P, y, Q).class_weights_, 1.0)
    # Below 0.66 the minimum of the norms is the free solution itself, above 0.7 it is ones.
    some = RLLS(regularization=0.68).fit(P, y, Q)
    assert np.abs(some.class_weights_ - 1).max() < np.abs(plain.class_weights_ - 1).max()
    expected = 3 * 0.68 * (2 * np.log(6 / 0.05) / 6000 + np.sqrt(2 * np.log(6 / 0.05) / 2000))
    assert some.delta_ == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regularization": -1.0}, "regularization must be at least 0 and finite, got -1.0"),
        ({"confidence": 1.0}, "confidence must lie between 0 and 1, got 1.0"),
        ({"trust": 2.0}, r"trust must lie in \[0, 1\], got 2.0"),
    ],
)
def test_rlls_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        RLLS(**options).fit(*(lambda P, y: (P, y, P))(*draw(30, EQUAL, 0)[1:]))


# --- maximum likelihood and calibration


def test_maximum_likelihood_is_the_maximum_and_its_gap_is_honest():
    _, P, y = draw(300, EQUAL, 0)
    _, Q, _ = draw(200, SHIFTED, 1)
    expected = P.mean(axis=0)

    def likelihood(shares):
        return np.log((Q / expected) @ shares).mean()

    fitted = MaximumLikelihoodLabelShift(tolerance=1e-10).fit(P, y, Q)
    other = minimize(
        lambda s: -likelihood(s),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda s: s.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    assert likelihood(fitted.target_prior_) >= -other.fun - 1e-9
    values = []
    for steps in range(1, 8):
        with pytest.warns(UserWarning, match="stopped after"):
            early = MaximumLikelihoodLabelShift(max_iter=steps, tolerance=1e-10).fit(P, y, Q)
        values.append(likelihood(early.target_prior_))
        assert likelihood(fitted.target_prior_) - values[-1] <= early.gap_ + 1e-12
    assert np.all(np.diff(values) >= 0)


def test_an_uninformative_classifier_leaves_the_shares_alone():
    labels = np.repeat([0, 1], [30, 10])
    constant = np.tile([0.75, 0.25], (40, 1))
    fitted = MaximumLikelihoodLabelShift().fit(constant, labels, constant[:5])
    np.testing.assert_allclose(fitted.target_prior_, [0.75, 0.25])


def test_adjusted_probabilities_are_bayes_rule():
    _, P, y = draw(4000, EQUAL, 0)
    _, Q, z = draw(4000, SHIFTED, 1)
    fitted = MaximumLikelihoodLabelShift().fit(P, y, Q)
    adjusted = fitted.adjust(Q)
    truth = Q * SHIFTED / (Q * SHIFTED).sum(axis=1, keepdims=True)
    assert np.abs(adjusted - truth).mean() < 0.02
    assert (adjusted.argmax(axis=1) == z).mean() > (Q.argmax(axis=1) == z).mean()


def test_calibration_finds_a_known_temperature_and_bias_and_mends_the_shares():
    _, P, y = draw(8000, EQUAL, 0)
    _, Q, _ = draw(8000, SHIFTED, 1)
    bias = np.array([0.8, -0.3, -0.5])

    def spoil(probabilities):  # overconfident by three, and biased
        scores = 3 * (np.log(probabilities) - bias)
        spoilt = np.exp(scores - scores.max(axis=1, keepdims=True))
        return spoilt / spoilt.sum(axis=1, keepdims=True)

    calibration = BiasCorrectedTemperature().fit(spoil(P), y)
    assert calibration.temperature_ == pytest.approx(3.0, rel=0.05)
    np.testing.assert_allclose(calibration.bias_, bias, atol=0.15)
    np.testing.assert_allclose(calibration.transform(spoil(P)), P, atol=0.06)
    np.testing.assert_allclose(calibration.transform(spoil(P)).mean(axis=0), np.bincount(y) / 8000, atol=1e-6)
    spoilt = MaximumLikelihoodLabelShift().fit(spoil(P), y, spoil(Q))
    mended = MaximumLikelihoodLabelShift(calibrator=BiasCorrectedTemperature()).fit(spoil(P), y, spoil(Q))
    assert np.abs(mended.target_prior_ - SHIFTED).max() < 0.02 < np.abs(spoilt.target_prior_ - SHIFTED).max()
    plain = BiasCorrectedTemperature(bias=False).fit(spoil(P), y)
    np.testing.assert_array_equal(plain.bias_, 0.0)
    with pytest.raises(ValueError, match="probabilities must have 3 classes, got 2"):
        calibration.transform([[0.5, 0.5]])


# --- kernel means


def test_target_shift_against_the_definition_and_known_shares():
    x, _, y = draw(1200, EQUAL, 0)
    z, _, _ = draw(1000, SHIFTED, 1)
    fitted = TargetShiftWeights().fit(x, y, z)
    np.testing.assert_allclose(fitted.target_prior_, SHIFTED, atol=0.06)
    assert fitted.gap_ <= 1e-10
    x, y, z = x[:40], np.r_[0, 1, 2, y[3:40]], z[:30]
    fitted = TargetShiftWeights(bandwidth=1.3).fit(x, y, z)

    def distance(shares):
        a = np.r_[shares[y] / np.bincount(y)[y], np.full(30, -1 / 30)]
        rows = np.r_[x, z]
        return sum(
            a[i] * a[j] * np.exp(-sum((rows[i] - rows[j]) ** 2) / (2 * 1.3**2)) for i in range(70) for j in range(70)
        )

    best = distance(fitted.target_prior_)
    for other in np.random.default_rng(0).dirichlet(np.ones(3), size=15):
        assert best <= distance(other) + fitted.gap_ + 1e-12
    np.testing.assert_allclose(fitted.predict([1]), fitted.class_weights_[1])


def test_target_shift_bad_input():
    with pytest.raises(ValueError, match="at least two classes, got"):
        TargetShiftWeights().fit([[0.0], [1.0]], ["a", "a"], [[1.0]])
    with pytest.raises(ValueError, match="source_labels must have shape"):
        TargetShiftWeights().fit([[0.0], [1.0]], ["a"], [[1.0]])


# --- intervals


def test_intervals_cover_the_truth_and_shrink():
    truth = SHIFTED / EQUAL
    inside, widths = 0, []
    for seed in range(20):
        _, P, y = draw(400, EQUAL, 2 * seed)
        _, Q, _ = draw(400, SHIFTED, 2 * seed + 1)
        low, high = class_weight_intervals(BBSE(), P, y, Q, level=0.9, resamples=40, random_state=seed)
        assert low.shape == high.shape == (3,)
        inside += int(((low <= truth) & (truth <= high)).sum())
        widths.append((high - low).mean())
    assert 0.78 <= inside / 60 <= 0.99
    _, P, y = draw(6400, EQUAL, 0)
    low, high = class_weight_intervals(BBSE(), P, y, draw(6400, SHIFTED, 1)[1], level=0.9, resamples=40)
    assert (high - low).mean() == pytest.approx(np.mean(widths) / 4, rel=0.3)


def test_intervals_bad_options():
    _, P, y = draw(30, EQUAL, 0)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        class_weight_intervals(BBSE(), P, y, P, level=1)
    with pytest.raises(ValueError, match="resamples must be at least 2, got 1"):
        class_weight_intervals(BBSE(), P, y, P, resamples=1)
