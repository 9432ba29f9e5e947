import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.metrics import open_set_accuracy, per_class_accuracy

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


@given(rows)
def test_per_class_in_loops(pairs):
    predicted, labels = (torch.tensor(x) for x in zip(*pairs, strict=True))
    each = per_class_accuracy(predicted, labels, 5)
    for k in range(5):
        of_class = [p == y for p, y in pairs if y == k]
        assert each[k] == pytest.approx(np.mean(of_class)) if of_class else math.isnan(each[k])


@given(rows)
def test_open_set_in_loops(pairs):
    """Classes 0 to 2 are known; 3 and 4 are unknown, whichever is predicted."""
    predicted, labels = (np.array(x) for x in zip(*pairs, strict=True))
    accuracy = open_set_accuracy(predicted, labels, known=3)
    known = [np.mean([p == k for p, y in pairs if y == k]) for k in range(3) if k in labels]
    unknown = [p >= 3 for p, y in pairs if y >= 3]
    for got, values in (
        (accuracy.known, known),
        (accuracy.unknown, unknown),
        (accuracy.overall, known + ([np.mean(unknown)] if unknown else [])),
    ):
        assert got == pytest.approx(np.mean(values)) if len(values) else math.isnan(got)
    if known and unknown:
        a, b = np.mean(known), np.mean(unknown)
        assert accuracy.harmonic == pytest.approx(2 * a * b / (a + b) if a + b else 0)


@pytest.mark.parametrize("predicted", [[0, 1, 0], [2, 2, 2]])
def test_rejecting_nothing_or_all_has_no_harmonic_mean(predicted):
    assert open_set_accuracy(predicted, [0, 1, 2], known=2).harmonic == 0


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match="predicted must be integers, got float64"):
        per_class_accuracy([0.5], [0], 1)
    with pytest.raises(ValueError, match="of the same rows, at least one, got 2 and 1"):
        per_class_accuracy([0, 0], [0], 1)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1, got values in 0\.\.2"):
        per_class_accuracy([0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match="of the same rows, at least one, got 0 and 0"):
        per_class_accuracy([], [], 1)
    with pytest.raises(TypeError, match="classes must be an integer, got float"):
        per_class_accuracy([0], [0], 2.5)
    with pytest.raises(ValueError, match="known must be at least 1, got 0"):
        open_set_accuracy([0], [0], known=0)
    with pytest.raises(ValueError, match=r"labels must have shape \(rows,\), got \(1, 1\)"):
        open_set_accuracy([0], [[0]], known=1)
    with pytest.raises(ValueError, match="labels must lie in"):
        open_set_accuracy([0], [-1], known=1)
