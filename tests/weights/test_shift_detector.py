import numpy as np
import pytest

from dalib.weights import ShiftDetector

MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
EQUAL, SHIFTED = [1 / 3] * 3, [0.7, 0.2, 0.1]


def draw(rng, n, prior, move=0.0):
    labels = rng.choice(3, n, p=prior)
    return rng.normal(size=(n, 2)) + MEANS[labels] + move, labels


@pytest.mark.parametrize(
    ("prior", "move", "verdict"), [(EQUAL, 0.0, "none"), (SHIFTED, 0.0, "label"), (EQUAL, 0.8, "covariate")]
)
def test_verdict_on_known_shifts(prior, move, verdict):
    right = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        source, labels = draw(rng, 240, EQUAL)
        target, _ = draw(rng, 160, prior, move)
        right += ShiftDetector(resamples=30, random_state=seed).fit(source, labels, target).verdict_ == verdict
    assert right >= 4


def test_p_values_are_uniform_at_most_under_the_hypothesis():
    values = []
    for seed in range(15):
        rng = np.random.default_rng(100 + seed)
        source, labels = draw(rng, 120, EQUAL)
        target, _ = draw(rng, 80, EQUAL)
        fitted = ShiftDetector(level=0.1, resamples=9, random_state=seed).fit(source, labels, target)
        values.append((fitted.shift_p_value_, fitted.label_shift_p_value_))
    below = (np.array(values) <= 0.2).mean(axis=0)
    assert (below).all()
    assert np.min(values) >= 1 / 10


def test_statistics_that_are_equal_but_for_rounding_count_as_equal():
    alike = ShiftDetector(resamples=19).fit(np.ones((20, 1)), np.arange(20) % 2, np.ones((15, 1)))
    assert (alike.shift_p_value_, alike.label_shift_p_value_, alike.verdict_) == (1.0, 1.0, "none")
    rng = np.random.default_rng(1)  # of two values: many permutations have the observed statistic
    source, target = rng.integers(2, size=(16, 1)) * 1.0, rng.integers(2, size=(12, 1)) * 1.0
    pooled = np.concatenate([source, target])
    kernel = np.exp(-((pooled - pooled.T) ** 2) / 2)
    signs = np.r_[np.full(16, 1 / 16), np.full(12, -1 / 12)]
    statistics = np.array([a @ kernel @ a for a in (rng.permutation(signs) for _ in range(2000))])
    exact = (statistics >= signs @ kernel @ signs - 1e-10).mean()
    found = ShiftDetector(resamples=1000, bandwidth=1.0).fit(source, np.arange(16) % 2, target).shift_p_value_
    assert found == pytest.approx(exact, abs=0.05)


def test_shares_and_names():
    rng = np.random.default_rng(0)
    source, labels = draw(rng, 600, EQUAL)
    target, _ = draw(rng, 500, SHIFTED)
    names = np.array(["ape", "bee", "cat"])[labels]
    fitted = ShiftDetector(resamples=20).fit(source, names, target)
    np.testing.assert_allclose(fitted.target_prior_, SHIFTED, atol=0.12)
    assert fitted.classes_.tolist() == ["ape", "bee", "cat"]
    again = ShiftDetector(resamples=20).fit(source, names, target)
    assert again.label_shift_p_value_ == fitted.label_shift_p_value_


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"level": 0.0}, [0, 0, 1, 1], "level must lie between 0 and 1, got 0.0"),
        ({"resamples": 0}, [0, 0, 1, 1], "resamples must be at least 1, got 0"),
        ({"resamples": 18}, [0, 0, 1, 1], "resamples must be at least 1 / level - 1, .* level of 0.05, got 18"),
        ({"bandwidth": -1.0}, [0, 0, 1, 1], "bandwidth must be positive"),
        ({}, [0, 0, 0, 1], "every class must have at least two source rows, got 1 of"),
        ({}, [0, 1], "source_labels must have shape"),
    ],
)
def test_bad_input(options, labels, message):
    with pytest.raises(ValueError, match=message):
        ShiftDetector(**options).fit(np.ones((4, 1)), labels, np.ones((3, 1)))
