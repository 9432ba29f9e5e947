"""CORAL where fewer rows than features make it cheap, log-CORAL, CMD and HoMM."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dalib.losses import HoMMLoss, cmd_loss, coral_loss, homm_loss, log_coral_loss, mean_loss
from tests.strategies import counts, row_weights, two_samples


def covariance(rows, weights=None):
    w = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights.double()
    return torch.from_numpy(np.cov(rows.double().numpy(), rowvar=False, aweights=w.numpy()).reshape(rows.shape[1], -1))


def pair(n, m, d):
    return torch.randn(n, d, dtype=torch.float64), 2 * torch.randn(m, d, dtype=torch.float64) + 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [3, 20])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_coral_of_float32_and_its_gradient_in_both_forms(d, weighted, shift):
    source, target = (x.float() + shift for x in pair(6, 9, d))
    weights = {"source_weights": torch.rand(6) + 0.1, "target_weights": torch.rand(9) + 0.1} if weighted else {}
    single = [x.clone().requires_grad_() for x in (source, target)]
    double = [x.double().requires_grad_() for x in (source, target)]

    def plain(s, t):
        def of(x, w):
            w = torch.ones(len(x), dtype=torch.float64) if w is None else w.double()
            return torch.cov(x.mT, aweights=w)

        return (of(s, weights.get("source_weights")) - of(t, weights.get("target_weights"))).square().sum() / (
            4 * d * d
        )

    value, expected = coral_loss(*single, **weights), plain(*double)
    assert value.item() == pytest.approx(expected.item(), rel=2e-6)
    for got, want in zip(torch.autograd.grad(value, single), torch.autograd.grad(expected, double), strict=True):
        assert (got - want).norm() < 2e-6 * want.norm()


@pytest.mark.parametrize("d", [3, 12])
def test_coral_derivatives_in_rows_and_weights(d):
    inputs = [*pair(4, 5, d), torch.rand(4, dtype=torch.float64) + 0.1, torch.rand(5, dtype=torch.float64) + 0.1]
    inputs = [x.requires_grad_() for x in inputs]

    def function(s, t, a, b):
        return coral_loss(s, t, source_weights=a, target_weights=b)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_coral_of_two_thousand_features_keeps_five_digits():
    source, target = (x.float() for x in pair(32, 32, 2048))
    expected = coral_loss(source.double(), target.double()).item()
    assert coral_loss(source, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("d", [2, 9])
def test_log_coral_is_the_distance_of_the_logarithms(d):
    source, target = pair(5, 7, d)
    w = torch.rand(5, dtype=torch.float64) + 0.1
    logarithms = []
    for each in (covariance(source, w), covariance(target)):
        values, vectors = np.linalg.eigh(each.numpy() + 0.01 * np.eye(d))
        logarithms.append(vectors @ np.diag(np.log(values)) @ vectors.T)
    expected = np.square(logarithms[0] - logarithms[1]).sum() / (4 * d * d)
    assert log_coral_loss(source, target, ridge=0.01, source_weights=w).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_log_coral_of_a_scaled_sample_in_closed_form(scale):
    source = torch.randn(50, 4, dtype=torch.float64)
    assert log_coral_loss(source, scale * source, ridge=1e-12).item() == pytest.approx(
        math.log(scale) ** 2 / 4, rel=1e-6
    )


@pytest.mark.parametrize("d", [3, 12])
def test_log_coral_gradient_with_repeated_eigenvalues_and_few_rows(d):
    source, target = pair(4, 5, d)
    target[:, 1] = target[:, 0]  # rank-deficient
    inputs = [x.requires_grad_() for x in (source, target)]
    assert torch.autograd.gradcheck(lambda s, t: log_coral_loss(s, t, ridge=0.1), inputs)
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64, requires_grad=True)
    other = torch.randn(6, 2, dtype=torch.float64)  # the covariance of the corners is a multiple of the identity
    assert torch.autograd.gradcheck(lambda s: log_coral_loss(s, other), corners)


@pytest.mark.parametrize(("scale", "rtol"), [(1.0, 1e-8), (1e4, 1e-5), (1e6, 0.2), (1e8, 0.2)])
def test_log_coral_of_few_rows_keeps_its_gradient_where_the_ridge_is_lost_in_rounding(scale, rtol):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(40, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    source, target = scale * x, (scale * (1.3 * y + 0.5)).requires_grad_()

    def eigenvalues_and_vectors(rows):
        centred = (rows - rows.mean(dim=0)) / (len(rows) - 1) ** 0.5
        _, sizes, vectors = torch.linalg.svd(centred)
        return torch.cat([sizes.square(), sizes.new_zeros(24)]) + 1e-3, vectors.mT

    logarithms = [(v * e.log()) @ v.mT for e, v in map(eigenvalues_and_vectors, (source, target.detach()))]
    value = log_coral_loss(source, target)
    expected = (logarithms[0] - logarithms[1]).square().sum() / (4 * 64**2)
    torch.testing.assert_close(value, expected, rtol=rtol, atol=0)
    assert torch.autograd.grad(value, target)[0].isfinite().all()


def test_log_coral_has_no_second_derivative_and_says_so():
    source, target = (x.requires_grad_() for x in pair(4, 5, 2))
    gradient = torch.autograd.grad(log_coral_loss(source, target), source, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="log_coral_loss has no second derivative"):
        gradient.sum().backward()


@given(two_samples(), st.integers(1, 4), st.data())
def test_cmd_in_loops(samples, order, data):
    weights = [data.draw(row_weights(len(rows))) for rows in samples]
    low, high = -1.0, 2.0
    moments = []
    for rows, w in zip(samples, weights, strict=True):
        share = [x / sum(w.tolist()) for x in w.tolist()]
        columns = rows.mT.tolist()
        means = [sum(s * x for s, x in zip(share, column, strict=True)) for column in columns]
        central = [
            [
                sum(s * (x - mean) ** k for s, x in zip(share, column, strict=True))
                for column, mean in zip(columns, means, strict=True)
            ]
            for k in range(2, order + 1)
        ]
        moments.append([means, *central])
    expected = sum(
        math.dist(first, second) / (high - low) ** k for k, (first, second) in enumerate(zip(*moments, strict=True), 1)
    )
    value = cmd_loss(*samples, order=order, interval=(low, high), source_weights=weights[0], target_weights=weights[1])
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-7)


def test_cmd_of_a_translation_and_of_permuted_columns():
    source = torch.rand(9, 3, dtype=torch.float64)
    assert cmd_loss(source, source + torch.tensor([3.0, 0, 4])).item() == pytest.approx(5)
    shuffled = torch.stack([source[:, 0], source[:, 1].roll(1), source[:, 2].roll(2)], dim=1)
    assert cmd_loss(source, shuffled).item() == pytest.approx(0, abs=1e-12)


@given(two_samples(), st.integers(1, 4), st.booleans(), st.data())
def test_homm_over_all_entries_of_the_tensor(samples, order, centred, data):
    weights = [data.draw(row_weights(len(rows))) for rows in samples]
    tensors = []
    for rows, w in zip(samples, weights, strict=True):
        x, share = rows.numpy(), (w / w.sum()).numpy()
        x = x - share @ x if centred else x
        moment = share
        for _ in range(order):
            moment = np.einsum("n...,nk->n...k", moment, x)
        tensors.append(moment.sum(0))
    expected = np.square(tensors[0] - tensors[1]).mean()
    value = homm_loss(*samples, order=order, centred=centred, source_weights=weights[0], target_weights=weights[1])
    assert value.item() == pytest.approx(expected, rel=1e-8, abs=1e-6 * max(1, np.abs(tensors).max() ** 2))


def test_homm_of_low_orders_is_the_mean_and_the_covariance():
    source, target = pair(6, 6, 3)
    torch.testing.assert_close(homm_loss(source, target, order=1), mean_loss(source, target) / 3)
    biased = 4 * coral_loss(source, target) * (5 / 6) ** 2
    torch.testing.assert_close(homm_loss(source, target, order=2, centred=True), biased)


@given(two_samples(min_rows=2), st.data())
def test_integer_weights_equal_repetition(samples, data):
    times = data.draw(counts(len(samples[0])))
    for loss in (cmd_loss, homm_loss):
        repeated = loss(samples[0].repeat_interleave(times, dim=0), samples[1])
        weighted = loss(*samples, source_weights=times.double())
        torch.testing.assert_close(weighted, repeated, atol=1e-6 * (1 + repeated.abs().item()), rtol=1e-6)


@pytest.mark.parametrize("loss", [cmd_loss, homm_loss])
def test_gradcheck(loss):
    inputs = [x.requires_grad_() for x in (*pair(4, 5, 2), torch.rand(4, dtype=torch.float64) + 0.1)]
    assert torch.autograd.gradcheck(lambda s, t, w: loss(s, t, source_weights=w), inputs)


ROWS = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: log_coral_loss(ROWS, ROWS, ridge=0.0), ValueError, "ridge must be positive and finite, got 0"),
        (lambda: log_coral_loss(ROWS[:1], ROWS), ValueError, "source must have at least 2 rows, got 1"),
        (lambda: cmd_loss(ROWS, ROWS, order=0), ValueError, "order must be at least 1, got 0"),
        (lambda: cmd_loss(ROWS, ROWS, order=2.5), TypeError, "order must be an integer, got float"),
        (lambda: cmd_loss(ROWS, ROWS, interval=(1, 1)), ValueError, r"interval must be \(a, b\) with a < b"),
        (lambda: cmd_loss(ROWS, ROWS, interval=3), TypeError, r"interval must be a pair \(a, b\), got 3"),
        (lambda: cmd_loss(ROWS, ROWS, interval=("a", "b")), TypeError, "interval must be a number, got str"),
        (lambda: cmd_loss(ROWS, ROWS, order=np.bool_(True)), TypeError, "order must be an integer, got bool"),
        (lambda: homm_loss(ROWS, ROWS, order=0), ValueError, "order must be at least 1, got 0"),
    ],
)
def test_errors_say_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_drawn_entries_of_the_moment_tensor_in_loops():
    source, target = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64) + 0.5
    weights = torch.rand(5, dtype=torch.float64)
    drawn = torch.randint(3, (4, 7), generator=torch.Generator().manual_seed(2)).T.tolist()

    def moment(rows, indices, row_weights):
        products = [math.prod(row[k] for k in indices) * w for row, w in zip(rows.tolist(), row_weights, strict=True)]
        return sum(products) / sum(row_weights)

    expected = sum((moment(source, k, weights.tolist()) - moment(target, k, [1.0] * 4)) ** 2 for k in drawn) / 7
    generator = torch.Generator().manual_seed(2)
    value = homm_loss(source, target, order=4, samples=7, generator=generator, source_weights=weights)
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_drawn_entries_estimate_the_exact_value_without_bias(order):
    source, target = torch.randn(6, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64) + 0.5
    estimate = homm_loss(source, target, order=order, samples=100_000)
    assert estimate.item() == pytest.approx(homm_loss(source, target, order=order).item(), rel=0.03)
    assert homm_loss(source, target, samples=1) != homm_loss(source, target, samples=1)


def test_wrong_numbers_of_drawn_entries():
    rows = torch.ones(2, 2)
    for call in (lambda n: homm_loss(rows, rows, samples=n), lambda n: HoMMLoss(samples=n)):
        with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
            call(0)
        with pytest.raises(TypeError, match="samples must be an integer, got float"):
            call(2.5)


def test_scalars_of_numpy_are_numbers():
    source, target = pair(5, 4, 3)
    interval = np.float32(-1.0), np.int64(2)
    assert cmd_loss(source, target, order=np.int64(3), interval=interval) == cmd_loss(
        source, target, order=3, interval=(-1.0, 2.0)
    )
    assert homm_loss(source, target, order=np.int32(4)) == homm_loss(source, target, order=4)
    drawn = [
        homm_loss(source, target, samples=n, generator=torch.Generator().manual_seed(0)) for n in (np.int64(50), 50)
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("scale", [1e10, 1e30])
@pytest.mark.parametrize(
    "loss", [cmd_loss, lambda s, t: homm_loss(s, t, order=4), lambda s, t: homm_loss(s, t, order=4, samples=50)]
)
def test_features_too_large_for_the_dtype_are_an_error(loss, scale):
    source, target = (x.float() * scale for x in pair(6, 5, 3))
    with pytest.raises(ValueError, match="source and target must be small enough for the loss to be a"):
        loss(source, target)


def test_drawn_entries_are_multiplied_one_factor_at_a_time():
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            self.numbers = max(self.numbers, made.numel() if isinstance(made, torch.Tensor) else 0)
            return made

    source, target = pair(5, 4, 3)
    with Largest() as largest:
        homm_loss(source, target, order=4, samples=1000)
    assert largest.numbers == (5 + 4) * 1000


@pytest.mark.parametrize("columns", [2, 12])  # with more features than rows in the span of the rows
@pytest.mark.parametrize("loss", [coral_loss, log_coral_loss])
def test_the_gradient_of_a_weight_of_zero_is_that_of_a_small_one(loss, columns):
    source, target = torch.randn(5, columns, dtype=torch.float64), torch.randn(4, columns, dtype=torch.float64)
    weights = torch.tensor([1.0, 0, 1, 2, 1], dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(lambda w: loss(source, target, source_weights=w), weights)
    small = 1e-9 * torch.eye(5, dtype=torch.float64)[1]
    near, at = (loss(source, target, source_weights=w) for w in (weights + small, weights))
    assert slope[1].item() == pytest.approx(((near - at) / 1e-9).item(), rel=1e-3)
