"""The unbiased, linear-time and block estimates of MMD, the distance of means, and the two-sample test."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib import _checks
from dalib.kernels import Gaussian, Laplacian, Linear, Polynomial
from dalib.losses import (
    block_mmd_loss,
    linear_time_mmd_loss,
    mean_loss,
    mmd_loss,
    mmd_test,
    unbiased_mmd_loss,
)
from tests.strategies import row_weights, two_samples

WIDTHS = [0.8, 2.0]


def kernel(x, y):
    d2 = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    return sum(math.exp(-d2 / (2 * w * w)) for w in WIDTHS) / len(WIDTHS)


def mean_of_pairs(pairs):
    """Weighted mean of the kernel over (x, y, weight)."""
    pairs = list(pairs)
    return sum(w * kernel(x, y) for x, y, w in pairs) / sum(w for *_, w in pairs)


def unbiased(source, target, a, b):
    def within(rows, w):
        rows = rows.tolist()
        return mean_of_pairs((x, y, w[i] * w[j]) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j)

    cross = mean_of_pairs(
        (x, y, a[i] * b[j]) for i, x in enumerate(source.tolist()) for j, y in enumerate(target.tolist())
    )
    return within(source, a) + within(target, b) - 2 * cross


def linear_time(source, target, a, b):
    s, t = source.tolist(), target.tolist()
    pairs = min(len(s), len(t)) // 2
    cross = [(s[2 * i], t[2 * i + 1], a[2 * i] * b[2 * i + 1]) for i in range(pairs)]
    cross += [(s[2 * i + 1], t[2 * i], a[2 * i + 1] * b[2 * i]) for i in range(pairs)]
    own = [
        mean_of_pairs((x[2 * i], x[2 * i + 1], w[2 * i] * w[2 * i + 1]) for i in range(len(x) // 2))
        for x, w in ((s, a), (t, b))
    ]
    return sum(own) - 2 * mean_of_pairs(cross)


def blocks(source, target, a, b):
    q = min(len(source), len(target)) // 2
    n, m = len(source) // q, len(target) // q
    return (
        sum(
            unbiased(source[i * n : i * n + n], target[i * m : i * m + m], a[i * n : i * n + n], b[i * m : i * m + m])
            for i in range(q)
        )
        / q
    )


ESTIMATES = {
    "unbiased": (unbiased_mmd_loss, unbiased, {}),
    "linear time": (linear_time_mmd_loss, linear_time, {}),
    "block": (block_mmd_loss, blocks, {"block_size": 2}),
}


@pytest.mark.parametrize("name", ESTIMATES)
@given(samples=two_samples(min_rows=2, max_rows=7), data=st.data())
def test_the_weighted_definition_in_loops(name, samples, data):
    function, definition, options = ESTIMATES[name]
    a, b = (data.draw(row_weights(len(rows))) for rows in samples)
    ones = [torch.ones(len(rows)).tolist() for rows in samples]
    plain = function(*samples, bandwidths=WIDTHS, **options)
    assert plain.item() == pytest.approx(definition(*samples, *ones), abs=1e-11)
    weighted = function(*samples, bandwidths=WIDTHS, source_weights=a, target_weights=b, **options)
    assert weighted.item() == pytest.approx(definition(*samples, a.tolist(), b.tolist()), abs=1e-11)


@pytest.mark.parametrize("name", ESTIMATES)
def test_unbiased_on_average_over_samples_of_one_distribution(name):
    function, _, options = ESTIMATES[name]
    generator = torch.Generator().manual_seed(0)
    values = torch.stack(
        [
            function(
                torch.randn(8, 1, generator=generator),
                torch.randn(6, 1, generator=generator),
                bandwidths=[1.0],
                **options,
            )
            for _ in range(600)
        ]
    )
    assert abs(values.mean()) < 4 * values.std() / 600**0.5
    assert values.min() < 0


@pytest.mark.parametrize("name", ESTIMATES)
def test_closed_form_of_two_gaussians(name):
    function, _, options = ESTIMATES[name]
    if name == "block":
        options = {"block_size": 200}
    rows = torch.randn(2, 40000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    size = 40000 if name != "unbiased" else 3000
    value = function(rows[0, :size], rows[1, :size] + 1, bandwidths=[1.0], **options)
    assert value.item() == pytest.approx(0.177267635, abs=0.02)


@pytest.mark.parametrize("name", ESTIMATES)
@pytest.mark.parametrize("options", [{"bandwidths": [1.0, 1.5]}, {"kernel": Laplacian(1.0)}])
def test_gradcheck(name, options):
    function, _, more = ESTIMATES[name]
    rows = [
        torch.randn(4, 2, dtype=torch.float64).requires_grad_(),
        torch.randn(5, 2, dtype=torch.float64).requires_grad_(),
    ]
    weights = torch.rand(4, dtype=torch.float64).add(0.5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s, t, w: function(s, t, source_weights=w, **options, **more), (*rows, weights)
    )


def test_the_unbiased_estimate_of_equal_samples_is_known():
    rows = torch.randn(6, 2, dtype=torch.float64)
    mean = Gaussian([1.0])(rows).mean()
    torch.testing.assert_close(unbiased_mmd_loss(rows, rows, bandwidths=[1.0]), -2 * (1 - mean) / 5)


def test_general_kernels_take_the_same_pairs_as_the_gaussian_engine():
    source, target = torch.randn(7, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    product = Gaussian([1.0]) * Gaussian([1e9])  # times one
    torch.testing.assert_close(
        unbiased_mmd_loss(source, target, kernel=product), unbiased_mmd_loss(source, target, bandwidths=[1.0])
    )
    torch.testing.assert_close(mmd_loss(source, target, kernel=product), mmd_loss(source, target, bandwidths=[1.0]))


def test_a_float32_estimate_of_many_rows_is_relative_to_the_kernel():
    source, target = torch.randn(300, 8) + 1e3, torch.randn(200, 8) + 1e3
    expected = unbiased_mmd_loss(source.double(), target.double())
    assert unbiased_mmd_loss(source, target).item() == pytest.approx(expected.item(), abs=1e-6)


@given(two_samples(), st.data())
def test_the_linear_kernel_is_the_distance_of_the_means(samples, data):
    a, b = (data.draw(row_weights(len(rows))) for rows in samples)
    means = [(w[:, None] * rows).sum(0) / w.sum() for rows, w in zip(samples, (a, b), strict=True)]
    value = mean_loss(*samples, source_weights=a, target_weights=b)
    assert value.item() == pytest.approx((means[0] - means[1]).square().sum().item(), abs=1e-10)


def test_the_distance_of_means_far_from_zero():
    source, target = torch.randn(50, 3) + 1e4, torch.randn(40, 3) + 1e4
    torch.testing.assert_close(
        mean_loss(source, target).double(), mean_loss(source.double(), target.double()), rtol=1e-4, atol=0
    )


ROWS = torch.ones(4, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unbiased_mmd_loss(ROWS[:1], ROWS), "source must have at least 2 rows, got 1"),
        (lambda: linear_time_mmd_loss(ROWS, ROWS[:1]), "target must have at least 2 rows, got 1"),
        (lambda: block_mmd_loss(ROWS, ROWS, block_size=1), "block_size must be at least 2, got 1"),
        (
            lambda: block_mmd_loss(ROWS, ROWS, block_size=5),
            "block_size must be at most the 4 rows of the smaller sample",
        ),
        (
            lambda: block_mmd_loss(ROWS, ROWS, block_size=2, source_weights=torch.tensor([1.0, 1, 0, 1])),
            "source_weights must have two positive entries in each block of 2 rows",
        ),
        (
            lambda: unbiased_mmd_loss(ROWS, ROWS, target_weights=torch.tensor([0.0, 1, 0, 0])),
            "target_weights must have at least two positive entries, got 1",
        ),
        (
            lambda: linear_time_mmd_loss(ROWS, ROWS, source_weights=torch.tensor([1.0, 0, 1, 0])),
            "weights must leave at least one pair of rows",
        ),
        (lambda: mmd_test(ROWS, ROWS, permutations=0), "permutations must be at least 1, got 0"),
        (lambda: mmd_test(ROWS[:1], ROWS), "source must have at least 2 rows"),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("options", [{}, {"kernel": Laplacian()}])
def test_statistic_and_standard_error_of_the_test(options):
    generator = torch.Generator().manual_seed(0)
    draws = [
        mmd_test(
            torch.randn(60, 2, generator=generator),
            torch.randn(40, 2, generator=generator) + 1,
            permutations=1,
            generator=generator,
            **({"bandwidths": [1.0]} | options if not options else {"kernel": Laplacian(1.0)}),
        )
        for _ in range(150)
    ]
    statistics = torch.tensor([draw.statistic for draw in draws])
    errors = torch.tensor([draw.standard_error for draw in draws])
    assert errors.mean().item() == pytest.approx(statistics.std().item(), rel=0.2)
    source, target = torch.randn(6, 2), torch.randn(5, 2)
    expected = unbiased_mmd_loss(source.double(), target.double(), **options).item()
    assert mmd_test(source, target, **options).statistic == pytest.approx(expected, abs=1e-9)


def test_p_values_are_uniform_under_the_hypothesis_and_small_against_it():
    generator = torch.Generator().manual_seed(0)

    def p_value(shift):
        source, target = torch.randn(12, 1, generator=generator), torch.randn(9, 1, generator=generator) + shift
        return mmd_test(source, target, permutations=19, generator=generator).p_value

    under = torch.tensor([p_value(0.0) for _ in range(400)])
    assert 0.02 < (under <= 0.051).float().mean() < 0.09  # the level is 0.05, with a deviation of 0.011
    assert under.mean().item() == pytest.approx(0.525, abs=0.06)
    assert torch.tensor([p_value(3.0) for _ in range(20)]).max() <= 0.051


def test_ties_count_for_the_hypothesis():
    rows = torch.tensor([[0.0], [1.0]]).repeat(3, 1)
    assert mmd_test(rows[:2], rows[:2], permutations=50).p_value == 1.0


def test_the_p_value_is_seeded():
    source, target = torch.randn(20, 2), torch.randn(20, 2) + 0.4
    seeds = [torch.Generator().manual_seed(7) for _ in range(2)]
    assert mmd_test(source, target, generator=seeds[0]) == mmd_test(source, target, generator=seeds[1])


@pytest.mark.slow
def test_twenty_thousand_rows():
    source, target = torch.randn(10000, 16), torch.randn(10000, 16) + 0.1
    found = mmd_test(source, target, permutations=50, generator=torch.Generator().manual_seed(0))
    assert found.p_value == 1 / 51
    assert found.statistic > 5 * found.standard_error


FAR = [Linear(), Linear() + Gaussian([8.0]), Laplacian(8.0) + (Linear() + Linear())]


@pytest.mark.parametrize("shift", [1e3, 1e4])
@pytest.mark.parametrize("kernel", FAR)
@pytest.mark.parametrize("function", [mmd_loss, unbiased_mmd_loss, linear_time_mmd_loss, block_mmd_loss])
def test_the_linear_kernel_keeps_its_digits_far_from_zero(function, kernel, shift):
    generator = torch.Generator().manual_seed(0)
    near = torch.randn(2, 12, 16, dtype=torch.float64, generator=generator)
    near[1] += 0.5
    far = (near + shift).float().requires_grad_()
    near = (far.detach().double() - shift).requires_grad_()
    value, expected = function(*far, kernel=kernel), function(*near, kernel=kernel)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    gradient, wanted = (torch.autograd.grad(v, x)[0] for v, x in ((value, far), (expected, near)))
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-5)


def test_the_two_sample_test_with_a_linear_kernel_far_from_zero():
    source, target = (torch.randn(1100, 4) + 1e4, torch.randn(1000, 4) + 1e4 + 0.2)

    def found(x, y):
        return mmd_test(x, y, kernel=Linear(), permutations=20, generator=torch.Generator().manual_seed(0))

    far, near = found(source, target), found(source - 1e4, target - 1e4)
    assert far.statistic == pytest.approx(near.statistic, rel=1e-3)
    assert far.standard_error == pytest.approx(near.standard_error, rel=1e-3)
    assert far.p_value == near.p_value == 1 / 21


def test_ties_count_for_the_hypothesis_with_a_linear_kernel():
    rows = torch.tensor([[0.1], [0.7]]).repeat(3, 1)
    assert mmd_test(rows[:2], rows[:2], kernel=Linear(), permutations=50).p_value == 1.0


@given(two_samples(min_rows=2), st.data())
def test_a_row_of_weight_zero_is_not_there_for_the_linear_kernel(samples, data):
    weights = data.draw(row_weights(len(samples[0])))
    more = torch.cat([samples[0], torch.full_like(samples[0][:1], 50.0)])
    without = mmd_loss(*samples, kernel=Linear(), source_weights=weights)
    value = mmd_loss(more, samples[1], kernel=Linear(), source_weights=torch.cat([weights, weights.new_zeros(1)]))
    torch.testing.assert_close(value, without, rtol=1e-9, atol=1e-9)


def test_where_the_origin_does_not_drop_out_the_linear_kernel_stays_at_it():
    source, target = (torch.tensor(rows, dtype=torch.float64)[:, None] for rows in ([0, 1], [1, 2, 3, 4]))
    # 0 * 1 + (1 * 2 + 3 * 4) / 2 - 2 (0 * 2 + 1 * 1) / 2
    assert linear_time_mmd_loss(source, target, kernel=Linear()).item() == pytest.approx(6)
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    value = unbiased_mmd_loss(source + 1, target, kernel=Linear(), source_weights=weights)
    assert value.item() == pytest.approx(1 * 2 + 35 / 6 - 2 * (0.25 * 1 + 0.75 * 2) * 2.5)


@pytest.mark.parametrize("kernel", [None, Laplacian(2.0), Linear()])
def test_autocast_changes_nothing_in_the_test_of_many_rows(kernel):
    source, target = torch.randn(1100, 4), torch.randn(1000, 4)

    def found():
        return mmd_test(source, target, kernel=kernel, permutations=5, generator=torch.Generator().manual_seed(0))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = found()
    assert value == found()


@pytest.mark.parametrize("kernel", [Polynomial(2), Polynomial(3)])
@pytest.mark.parametrize("rows", [1000, 1100])  # below and above the limit of float64 for Gaussian kernels
def test_the_test_sees_a_shift_by_a_polynomial_far_from_zero(kernel, rows):
    source, target = torch.randn(rows, 3) + 1000, torch.randn(rows, 3) + 1000
    target[:, 0] += 0.5
    found = mmd_test(source, target, kernel=kernel, permutations=49, generator=torch.Generator().manual_seed(0))
    assert found.p_value == pytest.approx(0.02)
    assert found.statistic == pytest.approx(unbiased_mmd_loss(source, target, kernel=kernel).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "scale", "options"),
    [
        (1100, 1e19, {"bandwidths": [1.0]}),
        (20, 1e100, {"kernel": Polynomial(5)}),
        (1100, 1e100, {"kernel": Polynomial(5)}),
        (20, 1e200, {"kernel": Linear()}),
    ],
)
def test_a_kernel_that_is_not_finite_is_no_difference(rows, scale, options):
    source, target = (torch.randn(rows, 2, dtype=torch.float64) * scale for _ in range(2))
    if scale < 1e20:
        source, target = source.float(), target.float()
    with pytest.raises(ValueError, match="source and target must"):
        mmd_test(source, target, permutations=9, **options)


def test_the_test_of_a_nan_that_is_not_looked_for_is_nan(monkeypatch):
    source, target = torch.randn(6, 2), torch.randn(6, 2)
    source[0, 0] = math.nan
    monkeypatch.setattr(_checks, "values_are_checked", lambda x: False)  # as on a CUDA device
    assert all(map(math.isnan, mmd_test(source, target, permutations=9)))


def test_a_block_whose_weights_are_those_of_one_row_is_refused():
    weights = torch.tensor([1.0, 1e-30, 1.0, 1.0])
    with pytest.raises(ValueError, match="source_weights must have two entries in each block"):
        block_mmd_loss(torch.randn(4, 2), torch.randn(4, 2), block_size=2, source_weights=weights, bandwidths=[1.0])


@pytest.mark.parametrize("seed", range(3))
def test_large_float32_samples_have_the_p_value_of_float64(seed):
    torch.manual_seed(seed)
    source, target = torch.randn(2, 1100, 1024)
    found = [
        mmd_test(source.to(dtype), target.to(dtype), generator=torch.Generator().manual_seed(0)).p_value
        for dtype in (torch.float32, torch.float64)
    ]
    assert found[0] == pytest.approx(found[1], abs=1.5 / 201)


def test_the_standard_error_does_not_depend_on_the_origin():
    source, target = torch.randn(30, 2), torch.randn(40, 2) + 0.5
    plain = mmd_test(source, target, kernel=Linear(), permutations=1).standard_error
    for away in (0, 50):
        far = mmd_test(source + away, target + away, kernel=Polynomial(1, 0.0), permutations=1).standard_error
        assert 2 * far == pytest.approx(plain, rel=1e-4)  # that kernel is a half of the linear one


def test_rows_too_large_for_the_default_rule_are_what_the_error_names():
    source, target = torch.randn(2, 8, 3, dtype=torch.float64) * 1e160
    for function in (linear_time_mmd_loss, block_mmd_loss):
        with pytest.raises(ValueError, match=r"^source and target must have squared distances below"):
            function(source, target)
