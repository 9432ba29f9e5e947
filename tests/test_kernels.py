import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.kernels import gaussian_kernel, gaussian_variances, mean_squared_distance, squared_distances
from tests.strategies import matrix, row_weights


@given(matrix(5, 3))
def test_squared_distances_in_loops(rows):
    expected = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows.tolist()] for x in rows.tolist()]
    torch.testing.assert_close(
        squared_distances(rows), torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=1e-9
    )


def test_squared_distances_far_from_zero_are_not_negative_and_zero_on_the_diagonal():
    distances = squared_distances(torch.randn(20, 4) * 1e-2 + 1e4)
    assert (distances >= 0).all()
    assert (distances.diagonal() == 0).all()


@given(matrix(5, 2), st.data())
def test_mean_squared_distance_is_the_mean_over_all_pairs(rows, data):
    weights = data.draw(row_weights(5))
    pairs = torch.cdist(rows, rows).square()
    expected = weights @ pairs @ weights / weights.sum() ** 2
    torch.testing.assert_close(mean_squared_distance(rows, weights), expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(mean_squared_distance(rows), pairs.mean(), atol=1e-9, rtol=1e-9)


def test_mean_squared_distance_carries_no_gradient():
    assert not mean_squared_distance(torch.randn(3, 2, requires_grad=True)).requires_grad


def test_gaussian_kernel_is_the_mean_of_its_scales():
    value = gaussian_kernel(torch.tensor(3.0), torch.tensor([1.0, 4.0]))
    assert value.item() == pytest.approx((math.exp(-1.5) + math.exp(-3 / 8)) / 2)


def test_equal_rows_give_a_kernel_of_one():
    rows = torch.full((3, 2), 7.0)
    assert torch.equal(gaussian_kernel(squared_distances(rows), gaussian_variances(rows, None)), torch.ones(3, 3))


def test_a_fixed_bandwidth_is_honoured():
    assert gaussian_variances(torch.randn(4, 2), [0.5, 3.0]).tolist() == [0.25, 9.0]
