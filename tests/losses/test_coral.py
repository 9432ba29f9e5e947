import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib import coral_loss
from tests.strategies import row_weights, two_samples


def loops(source, target, source_weights=None, target_weights=None):
    """The definition, in float64 loops."""

    def covariance(rows, weights):
        n, d = rows.shape
        shares = [1 / n] * n if weights is None else [w / sum(weights.tolist()) for w in weights.tolist()]
        mean = [sum(shares[i] * rows[i, j].item() for i in range(n)) for j in range(d)]
        scale = 1 - sum(w * w for w in shares)
        return [
            [sum(shares[i] * (rows[i, j].item() - mean[j]) * (rows[i, k].item() - mean[k]) for i in range(n)) / scale
             for k in range(d)]
            for j in range(d)
        ]  # fmt: skip

    first, second = covariance(source, source_weights), covariance(target, target_weights)
    d = source.shape[1]
    return sum((first[j][k] - second[j][k]) ** 2 for j in range(d) for k in range(d)) / (4 * d * d)


def test_a_value_known_by_hand():
    source = torch.tensor([[1.0], [-1.0]])
    assert coral_loss(source, 2 * source).item() == 9.0  # (2 - 8)^2 / 4


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_scaling_in_closed_form(scale):
    source = torch.randn(9, 4, dtype=torch.float64)
    covariance = torch.from_numpy(np.cov(source.numpy(), rowvar=False))
    expected = (scale**2 - 1) ** 2 * covariance.square().sum() / (4 * 4**2)
    torch.testing.assert_close(coral_loss(source, scale * source), expected)


@given(two_samples(min_rows=2))
def test_the_definition_in_loops(samples):
    assert coral_loss(*samples).item() == pytest.approx(loops(*samples), rel=1e-9, abs=1e-12)


@given(two_samples(min_rows=2), st.data())
def test_the_weighted_definition_in_loops(samples, data):
    weights = [data.draw(row_weights(len(rows))) for rows in samples]
    got = coral_loss(*samples, source_weights=weights[0], target_weights=weights[1])
    assert got.item() == pytest.approx(loops(*samples, *weights), rel=1e-9, abs=1e-12)


@given(two_samples(min_rows=2))
def test_symmetric_shift_invariant_and_zero_on_itself(samples):
    source, target = samples
    value = coral_loss(source, target)
    torch.testing.assert_close(value, coral_loss(target, source))
    torch.testing.assert_close(value, coral_loss(source + 3, target - 2), atol=1e-9, rtol=1e-9)
    assert coral_loss(source, source).item() == pytest.approx(0, abs=1e-12)
    assert coral_loss(source, -source).item() == pytest.approx(0, abs=1e-12)


def test_exactly_zero_on_itself_with_more_rows_than_columns():
    source = torch.randn(300, 70)
    assert coral_loss(source, source) == 0


def test_equal_weights_change_nothing():
    source, target = torch.randn(6, 3), torch.randn(5, 3)
    weighted = coral_loss(source, target, source_weights=torch.full((6,), 2.0))
    torch.testing.assert_close(weighted, coral_loss(source, target))


def test_a_row_of_weight_zero_does_not_count():
    source, target = torch.randn(6, 3), torch.randn(5, 3)
    weights = torch.tensor([1.0, 1, 1, 1, 1, 0])
    torch.testing.assert_close(coral_loss(source, target, source_weights=weights), coral_loss(source[:5], target))


def test_row_order_does_not_matter():
    source, target = torch.randn(6, 3), torch.randn(5, 3)
    torch.testing.assert_close(coral_loss(source.flip(0), target), coral_loss(source, target))


def test_gradcheck():
    source, target = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    weights = torch.rand(5, dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(lambda s, t: coral_loss(s, t, target_weights=weights), (source, target))
    assert torch.autograd.gradgradcheck(coral_loss, (source, target))


def test_equal_rows_give_zero_and_a_finite_gradient():
    source = torch.ones(3, 2, requires_grad=True)
    value = coral_loss(source, torch.zeros(2, 2))
    value.backward()
    assert value == 0
    assert torch.equal(source.grad, torch.zeros(3, 2))


def test_float32_far_from_zero_keeps_its_digits():
    source, target = torch.randn(40, 8) + 1e4, 2 * torch.randn(30, 8) + 1e4
    exact = coral_loss(source.double(), target.double()).item()
    assert coral_loss(source, target).item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("columns", [3, 40])
def test_a_domain_far_from_the_other_keeps_its_digits(columns):
    source, target = 1e4 + torch.randn(9, columns), -1e4 + torch.randn(7, columns)
    expected = coral_loss(source.double(), target.double()).item()
    assert coral_loss(source, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("columns", [3, 40])
def test_a_row_without_weight_costs_the_others_no_digits_however_far_it_lies(columns):
    source, target, weights = torch.randn(9, columns), torch.randn(7, columns), torch.ones(9)
    source[0], weights[0] = 1e7, 0.0
    expected = coral_loss(source[1:].double(), target.double()).item()
    assert coral_loss(source, target, source_weights=weights).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("columns", [3, 40])
def test_the_samples_are_left_as_they_were(columns):
    source, target = torch.randn(9, columns), torch.randn(7, columns)
    before = source.clone(), target.clone()
    coral_loss(source, target)
    assert torch.equal(source, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize("columns", [3, 40])
def test_vmap_over_the_weights_alone(columns):
    source, target, weights = torch.randn(9, columns), torch.randn(7, columns), torch.rand(3, 9)
    made = torch.func.vmap(lambda each: coral_loss(source, target, source_weights=each))(weights)
    expected = torch.stack([coral_loss(source, target, source_weights=each) for each in weights])
    torch.testing.assert_close(made, expected)


def test_features_whose_loss_is_beyond_their_dtype_are_refused():
    source = torch.tensor([[1e18], [-1e18]])
    with pytest.raises(
        ValueError, match=r"small enough for the loss to be a torch.float32, got entries up to 2.0e\+18"
    ):
        coral_loss(source, 2 * source)
    assert coral_loss(source.double(), 2 * source.double()).item() == pytest.approx(9e72)


@pytest.mark.parametrize("columns", [2, 50])  # covariances, and inner products
def test_a_row_that_is_not_finite_is_refused_though_it_has_no_weight(columns):
    source, target = torch.randn(4, columns), torch.randn(3, columns)
    target[0, 1] = math.nan
    with pytest.raises(ValueError, match="target must be finite, got NaN or infinity in 1 entries"):
        coral_loss(source, target, target_weights=torch.tensor([0.0, 1.0, 1.0]))


ROWS = torch.randn(3, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((ROWS[:1], ROWS), {}, ValueError, "source must have at least 2 rows, got 1"),
        ((ROWS, ROWS[:, :1]), {}, ValueError, "same number of features, got 2 and 1"),
        ((ROWS, ROWS * math.inf), {}, ValueError, "target must be finite"),
        ((ROWS, ROWS.half()), {}, TypeError, "one dtype"),
        (
            (ROWS, ROWS),
            {"source_weights": torch.tensor([1.0, 0, 0])},
            ValueError,
            "at least two positive entries, got 1",
        ),
        ((ROWS, ROWS), {"target_weights": torch.ones(4)}, ValueError, r"target_weights must have shape \(3,\)"),
    ],
)
def test_errors_name_the_argument_what_was_expected_and_what_came(arguments, options, error, message):
    with pytest.raises(error, match=message):
        coral_loss(*arguments, **options)
