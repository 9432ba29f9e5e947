import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib import MMDLoss, mmd_loss
from dalib.kernels import Gaussian, Laplacian, median_squared_distance
from tests.strategies import counts, row_weights, two_samples


def loops(source, target, bandwidths=None, source_weights=None, target_weights=None):
    """The definition, in float64 loops."""
    rows = [*source.tolist(), *target.tolist()]
    n, m = len(source), len(target)
    raw = [*([1.0] * n if source_weights is None else source_weights.tolist())]
    raw += [1.0] * m if target_weights is None else target_weights.tolist()
    shares = [w / sum(raw[:n]) for w in raw[:n]] + [-w / sum(raw[n:]) for w in raw[n:]]

    def d2(x, y):
        return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))

    pairs = [(i, j) for i in range(n + m) for j in range(n + m)]
    if bandwidths is None:
        mean = sum(raw[i] * raw[j] * d2(rows[i], rows[j]) for i, j in pairs) / sum(raw) ** 2
        variances = [scale * max(mean, 1e-150) for scale in (0.25, 0.5, 1, 2, 4)]
    else:
        variances = [b * b for b in bandwidths]
    total = 0.0
    for i, j in pairs:
        kernel = sum(math.exp(-d2(rows[i], rows[j]) / (2 * v)) for v in variances) / len(variances)
        total += shares[i] * shares[j] * kernel
    return total


def test_a_value_known_by_hand():
    assert mmd_loss(torch.zeros(1, 2), torch.ones(1, 2), bandwidths=[1.0]).item() == pytest.approx(2 - 2 / math.e)


@pytest.mark.parametrize(("mean", "deviation", "expected"), [(1.0, 1.0, 0.177267635), (0.0, 2.0, 0.094187022)])
def test_two_gaussians_in_closed_form(mean, deviation, expected):
    # Quantiles instead of random draws: the V-statistic then converges without noise.
    quantiles = torch.special.ndtri((torch.arange(1500, dtype=torch.float64) + 0.5) / 1500)[:, None]
    value = mmd_loss(quantiles, mean + deviation * quantiles, bandwidths=[1.0])
    assert value.item() == pytest.approx(expected, abs=2e-4)


@given(two_samples(), st.sampled_from([None, [0.7], [0.5, 2.0, 3.0]]))
def test_the_definition_in_loops(samples, bandwidths):
    assert mmd_loss(*samples, bandwidths=bandwidths).item() == pytest.approx(loops(*samples, bandwidths), abs=1e-12)


@given(two_samples(), st.data())
def test_the_weighted_definition_in_loops(samples, data):
    weights = {
        name: data.draw(row_weights(len(rows))) for name, rows in zip(("source", "target"), samples, strict=True)
    }
    got = mmd_loss(*samples, source_weights=weights["source"], target_weights=weights["target"])
    assert got.item() == pytest.approx(loops(*samples, None, weights["source"], weights["target"]), abs=1e-12)


@given(two_samples())
def test_symmetric_and_between_zero_and_two(samples):
    source, target = samples
    value = mmd_loss(source, target)
    assert 0 <= value <= 2
    torch.testing.assert_close(value, mmd_loss(target, source))
    assert mmd_loss(source, source).item() == pytest.approx(0, abs=1e-12)


@given(two_samples(), st.data())
def test_integer_weights_equal_repetition(samples, data):
    source, target = samples
    times = data.draw(counts(len(source)))
    repeated = mmd_loss(source.repeat_interleave(times, dim=0), target)
    torch.testing.assert_close(mmd_loss(source, target, source_weights=times.double()), repeated)


def test_row_order_does_not_matter():
    source, target = torch.randn(7, 3), torch.randn(5, 3)
    torch.testing.assert_close(mmd_loss(source.flip(0), target), mmd_loss(source, target))


def test_scaling_the_weights_changes_nothing_at_a_fixed_bandwidth():
    source, target, weights = torch.randn(7, 3), torch.randn(5, 3), torch.rand(7)
    one, ten = (mmd_loss(source, target, bandwidths=[1.0], source_weights=w) for w in (weights, 10 * weights))
    torch.testing.assert_close(one, ten)


@pytest.mark.parametrize("bandwidths", [None, [0.8], [0.5, 1.0, 2.0]])
def test_gradcheck(bandwidths):
    source, target = (torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (4, 3))
    weights = torch.rand(4, dtype=torch.float64) + 0.1
    if bandwidths is None:  # the default bandwidth is outside the graph on purpose: freeze it to check the rest
        pooled = torch.cat([source, target]).detach()
        mean = torch.cdist(pooled, pooled).square()
        raw = torch.cat([weights, torch.ones(3, dtype=torch.float64)])
        mean = (raw @ mean @ raw) / raw.sum() ** 2
        fixed = [math.sqrt(scale * mean) for scale in (0.25, 0.5, 1, 2, 4)]
        default, frozen = (
            torch.autograd.grad(mmd_loss(source, target, bandwidths=b, source_weights=weights), (source, target))
            for b in (None, fixed)
        )
        torch.testing.assert_close(default, frozen)
        bandwidths = fixed
    assert torch.autograd.gradcheck(
        lambda s, t: mmd_loss(s, t, bandwidths=bandwidths, source_weights=weights), (source, target)
    )


@pytest.mark.parametrize("rows", [torch.zeros(3, 2), torch.ones(1, 2), torch.full((4, 2), 1e4)])
def test_equal_rows_give_zero_and_a_finite_gradient(rows):
    source = rows.clone().requires_grad_()
    value = mmd_loss(source, rows)
    value.backward()
    assert value == 0
    assert torch.equal(source.grad, torch.zeros_like(rows))


def test_float32_far_from_zero_keeps_its_digits():
    source, target = torch.randn(40, 8) + 1e4, torch.randn(30, 8) + 1e4 + 0.5
    exact = mmd_loss(source.double(), target.double())
    assert mmd_loss(source, target).item() == pytest.approx(exact.item(), abs=1e-6)


@pytest.mark.parametrize("rows", [3, 300])  # whole matrices, and tiles
@pytest.mark.parametrize("kernel", [None, Gaussian([1.0]), Gaussian(rule=median_squared_distance), Laplacian()])
@pytest.mark.parametrize("worth", [math.nan, math.inf, -math.inf])
def test_one_entry_that_is_not_finite_is_refused_by_the_name_of_its_sample(rows, kernel, worth):
    fine, broken = torch.randn(rows, 2), torch.randn(rows + 1, 2)
    broken[1, 1] = worth
    with pytest.raises(ValueError, match="target must be finite, got NaN or infinity in 1 entries"):
        mmd_loss(fine, broken, kernel=kernel)
    with pytest.raises(ValueError, match="source must be finite, got NaN or infinity in 1 entries"):
        mmd_loss(broken, fine, kernel=kernel, source_weights=(broken.isfinite().all(dim=1)).float())


ROWS = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([[1.0]], ROWS), {}, TypeError, "source must be a torch.Tensor, got list"),
        ((ROWS, torch.ones(3, 2, dtype=torch.int64)), {}, TypeError, "target must have a floating-point dtype"),
        ((torch.ones(3), ROWS), {}, ValueError, r"source must have shape \(rows, features\), got \(3,\)"),
        ((ROWS, torch.ones(0, 2)), {}, ValueError, "target must have at least 1 row, got 0"),
        ((ROWS, torch.ones(3, 4)), {}, ValueError, "same number of features, got 2 and 4"),
        ((ROWS, ROWS.double()), {}, TypeError, "one dtype, got torch.float32 and torch.float64"),
        ((ROWS, ROWS.to("meta")), {}, ValueError, "on one device, got cpu and meta"),
        ((ROWS * math.nan, ROWS), {}, ValueError, "source must be finite, got NaN or infinity in 6 entries"),
        ((ROWS, ROWS), {"bandwidths": [0.0]}, ValueError, r"bandwidths must be positive and finite, got \[0.0\]"),
        ((ROWS, ROWS), {"bandwidths": []}, ValueError, "at least one number"),
        ((ROWS, ROWS), {"source_weights": torch.ones(2)}, ValueError, r"source_weights must have shape \(3,\)"),
        ((ROWS, ROWS), {"target_weights": torch.zeros(3)}, ValueError, "target_weights must not be all zero"),
        ((ROWS, ROWS), {"target_weights": -torch.ones(3)}, ValueError, "target_weights must not be negative"),
        ((ROWS, ROWS), {"source_weights": torch.full((3,), math.inf)}, ValueError, "source_weights must be finite"),
        (
            (ROWS, ROWS),
            {"source_weights": torch.ones(3, dtype=torch.int64)},
            TypeError,
            "source_weights must have a fl",
        ),
    ],
)
def test_errors_name_the_argument_what_was_expected_and_what_came(arguments, options, error, message):
    with pytest.raises(error, match=message):
        mmd_loss(*arguments, **options)


def test_module_refuses_bad_bandwidths_when_it_is_built():
    with pytest.raises(ValueError, match="bandwidths must be positive"):
        MMDLoss(bandwidths=[-1.0])


@pytest.mark.parametrize("bandwidth", [None, 0.01, 1.0])
def test_a_laplacian_kernel_of_float32_rows_that_both_samples_share(bandwidth):
    generator = torch.Generator().manual_seed(0)
    rows, others = torch.randn(2, 32, 256, generator=generator)
    kernel = Laplacian(bandwidth)
    assert mmd_loss(rows, rows.clone(), kernel=kernel).item() < (1e-7 if bandwidth is None else 1e-5)
    source, target = (x.requires_grad_() for x in (rows, torch.cat([rows[:16].detach(), others[16:]])))
    single = mmd_loss(source, target, kernel=kernel)
    double = mmd_loss(source.double(), target.double(), kernel=kernel)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(double.item(), rel=1e-5)
    for got, want in zip(*(torch.autograd.grad(value, (source, target)) for value in (single, double)), strict=True):
        assert got.dtype == torch.float32
        assert (got - want).norm() <= 1e-5 * want.norm() + 1e-8
