import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.metrics import mean_squared_error
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from dalib.weights import TrAdaBoost, TrAdaBoostR2, TwoStageTrAdaBoostR2
from dalib.weights._boosting import source_factor, weighted_median


def classes(n, seed, turned=0.0):
    """Two classes on either side of a slanted line; a share of them is turned round."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 2))
    y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
    flipped = rng.uniform(size=n) < turned
    return X, np.where(flipped, 1 - y, y), flipped


def by_loops(X_s, y_s, X_t, y_t, rounds):
    """The paper's table, with stumps and labels 0 and 1."""
    n = len(X_s)
    X, y = np.vstack([X_s, X_t]), np.r_[y_s, y_t]
    w = np.ones(len(X))
    learners, betas = [], []
    for _ in range(rounds):
        h = DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, y, sample_weight=w / w.sum())
        off = np.abs(h.predict(X) - y)
        error = sum(w[n:] * off[n:]) / sum(w[n:])
        beta_t = error / (1 - error)
        for i in range(len(X)):
            w[i] *= (1 / (1 + np.sqrt(2 * np.log(n) / rounds))) ** off[i] if i < n else beta_t ** -off[i]
        learners.append(h)
        betas.append(beta_t)

    def predict(rows):
        half = int(np.ceil(rounds / 2)) - 1
        left, right = np.ones(len(rows)), 1.0
        for h, beta in zip(learners[half:], betas[half:], strict=True):
            left *= beta ** -h.predict(rows).astype(float)
            right *= beta**-0.5
        return (left >= right).astype(int)

    return predict, w[:n] / w[:n].mean()


@pytest.mark.parametrize("seed", [0, 2, 3, 4])  # the paper wants errors below a half
def test_two_classes_are_the_papers_algorithm(seed):
    X_s, y_s, _ = classes(60, seed, turned=0.3)
    X_t, y_t, _ = classes(25, seed + 100, turned=0.1)
    new = classes(200, seed + 200)[0]
    predict, weights = by_loops(X_s, y_s, X_t, y_t, 7)
    model = TrAdaBoost(DecisionTreeClassifier(max_depth=1), source=X_s, source_labels=y_s, rounds=7).fit(X_t, y_t)
    assert len(model.estimators_) == 7
    np.testing.assert_allclose(model.source_weights_, weights)
    np.testing.assert_array_equal(model.predict(new), predict(new))


def test_without_a_source_it_is_adaboost_but_for_who_votes():
    X, y, _ = classes(120, 0, turned=0.1)
    y = y + 2 * (X[:, 1] > 0.6)  # more than two classes
    model = TrAdaBoost(rounds=8).fit(X, y)
    other = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=8).fit(X, y)
    np.testing.assert_allclose(model.errors_, other.estimator_errors_, rtol=1e-6)
    np.testing.assert_allclose(model.estimator_weights_, other.estimator_weights_, rtol=1e-6)


def test_wrong_source_rows_lose_weight_and_the_target_gains():
    X_s, y_s, flipped = classes(300, 0, turned=0.4)
    X_t, y_t, _ = classes(20, 1)
    X, y, _ = classes(500, 2)
    model = TrAdaBoost(DecisionTreeClassifier(max_depth=3), source=X_s, source_labels=y_s).fit(X_t, y_t)
    assert model.source_weights_[flipped].mean() < 0.3 * model.source_weights_[~flipped].mean()
    alone = TrAdaBoost(DecisionTreeClassifier(max_depth=3)).fit(X_t, y_t).score(X, y)
    assert model.score(X, y) > alone + 0.02


def test_strings_two_columns_and_pickles():
    X, y, _ = classes(60, 0, turned=0.1)
    names = np.array(["no", "yes"])[y]
    model = TrAdaBoost(source=X, source_labels=names, rounds=4).fit(X[:30], names[:30])
    assert model.classes_.tolist() == ["no", "yes"]
    assert set(model.predict(X)) == {"no", "yes"}
    assert model.decision_function(X).shape == (60,)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_a_class_that_only_the_source_has():
    X, y, _ = classes(60, 0)
    model = TrAdaBoost(source=X, source_labels=y, rounds=4).fit(X[y == 0][:5], y[y == 0][:5])
    assert model.classes_.tolist() == [0, 1]


# --- regression


def curve(n, seed, slope=1.0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, size=(n, 1))
    return X, slope * np.sin(3 * X[:, 0]) + 0.01 * rng.normal(size=n)


def test_r2_is_its_definition():
    (X_s, y_s), (X_t, y_t) = curve(50, 0, slope=-1.0), curve(15, 1)
    rounds, n = 6, 50
    X, y, w = np.vstack([X_s, X_t]), np.r_[y_s, y_t], np.ones(65)
    beta = 1 / (1 + np.sqrt(2 * np.log(n) / rounds))
    learners, errors = [], []
    for _ in range(rounds):
        h = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, y, sample_weight=w / w.sum())
        off = np.abs(h.predict(X) - y)
        off = off / max(off)
        error = sum(w[n:] * off[n:]) / sum(w[n:])
        if error >= 0.5 and learners:
            break
        learners.append(h)
        errors.append(error)
        if error >= 0.5:
            break
        for i in range(65):
            w[i] *= beta ** off[i] if i < n else ((1 - error) / error) ** off[i]
    model = TrAdaBoostR2(DecisionTreeRegressor(max_depth=3), source=X_s, source_labels=y_s, rounds=rounds)
    model.fit(X_t, y_t)
    np.testing.assert_allclose(model.errors_, errors, rtol=1e-6)
    np.testing.assert_allclose(model.source_weights_, w[:n] / w[:n].mean(), rtol=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_weighted_median_is_where_half_is_reached(seed, rounds):
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=(3, rounds)), rng.uniform(0.1, 1, size=rounds)
    for row, found in zip(values, weighted_median(values, weights), strict=True):
        assert found == min(v for v in row if weights[row <= v].sum() >= 0.5 * weights.sum() - 1e-12)


def test_a_helpful_source_helps_and_a_harmful_one_is_let_go():
    X, y = curve(400, 9)
    X_t, y_t = curve(8, 1)
    alone = mean_squared_error(y, AdaBoostRegressor(random_state=0).fit(X_t, y_t).predict(X))
    for method in (TrAdaBoostR2, TwoStageTrAdaBoostR2):
        helped = method(source=curve(200, 0)[0], source_labels=curve(200, 0)[1]).fit(X_t, y_t)
        assert mean_squared_error(y, helped.predict(X)) < 0.75 * alone
    harmful = curve(200, 0, slope=-1.0)
    pooled = DecisionTreeRegressor(max_depth=3).fit(np.vstack([harmful[0], X_t]), np.r_[harmful[1], y_t])
    let_go = TwoStageTrAdaBoostR2(source=harmful[0], source_labels=harmful[1]).fit(X_t, y_t)
    assert mean_squared_error(y, let_go.predict(X)) < 0.25 * mean_squared_error(y, pooled.predict(X))
    assert let_go.source_weights_.sum() < 0.2


def test_two_stage_shares_of_the_target_grow_in_equal_parts():
    (X_s, y_s), (X_t, y_t) = curve(60, 0), curve(20, 1)
    shares = []
    model = TwoStageTrAdaBoostR2(source=X_s, source_labels=y_s, stages=5, rounds=2)
    original = model._boost

    def spy(every, values, weights, n, seed):
        if len(every) == 80:
            shares.append(weights[n:].sum())
        return original(every, values, weights, n, seed)

    model._boost = spy
    for stage in range(5):
        model.errors_ = None
        model._held_out_error = lambda *a, keep=stage, count=[0]: _count(count, keep)
        model.fit(X_t, y_t)
        assert model.stage_ == stage
    np.testing.assert_allclose(shares, [0.25, 0.4375, 0.625, 0.8125, 1.0], atol=1e-6)


def _count(count, keep):
    count[0] += 1
    return 0.0 if count[0] - 1 == keep else 1.0


@pytest.mark.parametrize("method", [TrAdaBoost, TrAdaBoostR2, TwoStageTrAdaBoostR2])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rounds": 0}, ValueError, "rounds must be at least 1, got 0"),
        ({"source": np.ones((4, 2))}, TypeError, "passed together, got no source_labels"),
        ({"source_labels": np.ones(4)}, TypeError, "passed together, got no source"),
        ({"source": np.ones((4, 3)), "source_labels": np.ones(4)}, ValueError, r"source must have shape \(rows, 2\)"),
        ({"source": np.ones((4, 2)), "source_labels": np.ones(3)}, ValueError, r"source_labels must have shape \(4,\)"),
        ({"source": np.full((4, 2), np.nan), "source_labels": np.ones(4)}, ValueError, "source must be finite"),
    ],
)
def test_errors(method, options, error, message):
    X, y, _ = classes(20, 0)
    with pytest.raises(error, match=message):
        method(**options).fit(X, y)


def test_factor():
    assert source_factor(0, 5) == source_factor(1, 5) == 1.0
    assert source_factor(50, 10) == pytest.approx(1 / (1 + np.sqrt(2 * np.log(50) / 10)))
