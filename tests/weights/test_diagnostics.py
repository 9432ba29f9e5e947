import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalib.weights import (
    DomainClassifierWeights,
    balance_table,
    clipping_curve,
    effective_sample_size,
    plot_balance,
    plot_clipping_curve,
    plot_weights,
)

mpl.use("Agg")


def sample(n=60, m=50, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5


@given(st.lists(st.just(0.0) | st.floats(1e-6, 100.0), min_size=1, max_size=30).filter(any))
@settings(max_examples=50, deadline=None)
def test_clipping_curve_is_the_definition_and_ends_without_clipping(weights):
    w = np.array(weights)
    curve = clipping_curve(w)
    for cap, size, kept in zip(*curve, strict=True):
        clipped = [min(one, cap * w.mean()) for one in w]
        assert size == pytest.approx(sum(clipped) ** 2 / sum(one**2 for one in clipped), rel=1e-6)
        assert kept == pytest.approx(sum(clipped) / w.sum(), rel=1e-6)
    assert curve.mass_kept[-1] == pytest.approx(1.0)
    assert curve.effective_sample_sizes[-1] == pytest.approx(effective_sample_size(w))
    assert np.all(np.diff(curve.mass_kept) >= -1e-12)
    assert np.all(np.diff(curve.effective_sample_sizes) <= 1e-9)


@given(st.integers(0, 10**6), st.integers(2, 10), st.integers(2, 10))
@settings(max_examples=25, deadline=None)
def test_balance_is_the_definition(seed, n, m):
    source, target = sample(n, m, seed=seed)
    w = np.random.default_rng(seed).uniform(0.1, 2, size=n)
    table = balance_table(source, target, w, bandwidth=1.5)
    for j in range(3):
        deviation = np.sqrt((source[:, j].var() + target[:, j].var()) / 2)
        assert table.before[j] == pytest.approx((source[:, j].mean() - target[:, j].mean()) / deviation)
        weighted = sum(w * source[:, j]) / sum(w)
        assert table.after[j] == pytest.approx((weighted - target[:, j].mean()) / deviation)
    rows = np.vstack([source, target])
    for shares, found in ((np.ones(n) / n, table.mmd_before), (w / w.sum(), table.mmd_after)):
        a = np.r_[shares, -np.ones(m) / m]
        mmd = sum(
            a[i] * a[j] * np.exp(-sum((rows[i] - rows[j]) ** 2) / (2 * 1.5**2))
            for i in range(n + m)
            for j in range(n + m)
        )
        assert found == pytest.approx(mmd, abs=1e-12)


def test_weights_that_work_balance_the_table():
    source, target = sample(2000, 2000)
    table = balance_table(source, target, DomainClassifierWeights().fit(source, target).weights_)
    assert np.abs(table.after).max() < 0.1 < np.abs(table.before).min()
    assert table.mmd_after < 0.1 * table.mmd_before


def test_names_and_printing():
    source, target = sample(d=2)
    frame = pd.DataFrame(source, columns=["age", "dose"])
    table = balance_table(frame, pd.DataFrame(target, columns=["age", "dose"]), np.ones(60))
    assert table.names == ["age", "dose"]
    lines = str(table).splitlines()
    assert lines[0].split() == ["feature", "before", "after"]
    assert lines[1].split() == ["age", f"{table.before[0]:+.3f}", f"{table.after[0]:+.3f}"]
    assert lines[-1].split()[0] == "MMD^2"
    assert balance_table(source, target, np.ones(60)).names == ["x0", "x1"]


@pytest.mark.parametrize("value", [1.0, 0.1, 123.456])  # the mean of ten equal 123.456 is another number
def test_constant_features_are_balanced(value):
    table = balance_table(np.full((10, 1), value), np.full((6, 1), value), np.linspace(0.5, 1.5, 10))
    np.testing.assert_allclose([table.before, table.after], 0.0, atol=1e-12)
    np.testing.assert_allclose([table.mmd_before, table.mmd_after], 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s, t: balance_table(s, t, np.ones(5)),
            r"weights must have shape \(60,\), one weight a row, got \(5,\)",
        ),
        (lambda s, t: balance_table(s, t, np.zeros(60)), "weights must not be all zero"),
        (lambda s, t: balance_table(s, t, np.ones(60), names=["a"]), "names must have 3 entries, one a feature, got 1"),
        (lambda s, t: balance_table(s, t[:, :1], np.ones(60)), "same number of features"),
        (lambda s, t: clipping_curve([-1.0, 2.0]), "weights must not be negative"),
        (lambda s, t: clipping_curve([1.0], caps=[0.0]), "caps must be positive"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(*sample())


def test_plots_show_what_they_are_given():
    source, target = sample()
    weights = np.linspace(0, 2, 60)
    ax = plot_weights(weights)
    assert ax.get_title() == f"effective sample size {effective_sample_size(weights):.0f} of 60"
    assert sum(patch.get_height() for patch in ax.patches) == 60
    curve = clipping_curve(weights)
    line = plot_clipping_curve(curve).get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), curve.effective_sample_sizes)
    table = balance_table(source, target, weights)
    own = mpl.figure.Figure().subplots()
    assert plot_balance(table, ax=own) is own
    drawn = own.collections[-1].get_offsets()[:, 0]
    np.testing.assert_allclose(np.sort(drawn), np.sort(table.after))
