"""What float32 leaves of values and gradients, beside float64.

Two samples of one distribution are the hardest: what the source and the target add to a gradient nearly cancels, the more
the more rows there are.
"""

import pytest
import torch

from dalib import losses
from dalib.kernels import Gaussian, Laplacian, Linear, Polynomial, RationalQuadratic
from dalib.losses._kernel_dense import Form
from dalib.losses._kernel_tiles import _Grid

SIZES = [(30, 40, 8), (256, 256, 64), (600, 500, 2), (1500, 1300, 2), (1500, 1300, 64), (2048, 2048, 256)]
FAR = 1e4


def samples(n, m, d, shift=0.0):
    generator = torch.Generator().manual_seed(n + d)
    return torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator) + shift


def value_and_gradient(loss, dtype, *layers):
    leaves = [x.detach().to(dtype).requires_grad_() for x in layers]
    value = loss(*leaves)
    return value.item(), torch.cat([each.flatten() for each in torch.autograd.grad(value, leaves)]).double()


def errors(loss, *layers):
    value, gradient = value_and_gradient(loss, torch.float32, *layers)
    exact_value, exact = value_and_gradient(loss, torch.float64, *layers)
    return abs(value - exact_value), float((gradient - exact).norm() / exact.norm())


def weighted(loss):
    def of(source, target):
        weights = [torch.linspace(0.5, 1.5, len(rows), dtype=torch.float32) for rows in (source, target)]
        return loss(source, target, source_weights=weights[0], target_weights=weights[1])

    return of


def joint(source, target, source_layer, target_layer):
    return losses.joint_mmd_loss((source, source_layer), (target, target_layer))


@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss, weighted(losses.mmd_loss)])
@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("size", SIZES)
def test_mmd_keeps_six_digits(loss, shift, size):
    source, target = samples(*size, shift)
    for middle in (0.0, FAR):
        value, gradient = errors(loss, source + middle, target + middle)
        assert value < 1e-6
        assert gradient < 1e-6


@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss, weighted(losses.mmd_loss)])
@pytest.mark.parametrize("size", [(32, 24, 256), (32, 32, 2048), (600, 500, 256)])
def test_activations_far_from_zero_keep_six_digits(loss, size):
    """Many are zero, and all are multiples of the last digit of the number that they are moved by."""
    source, target = (rows.relu() + FAR for rows in samples(*size, 0.2))
    value, gradient = errors(loss, source, target)
    assert value < 1e-6
    assert gradient < 1e-6


def standardised(rows):
    return (rows - rows.mean(dim=0)) / rows.std(dim=0)


def counted(loss):
    def of(source, target):
        weights = [torch.ones(len(rows), dtype=torch.float32) for rows in (source, target)]
        return loss(source, target, source_weights=weights[0], target_weights=weights[1])

    return of


ALIKE = [(32, 32, 256), (157, 295, 100), (157, 295, 4), (700, 500, 64), (1500, 1300, 2)]


@pytest.mark.parametrize(
    "loss", [losses.mmd_loss, losses.unbiased_mmd_loss, weighted(losses.mmd_loss), counted(losses.mmd_loss)]
)
@pytest.mark.parametrize("middle", [0.0, FAR])
@pytest.mark.parametrize("size", ALIKE)
def test_samples_of_equal_means_and_deviations_keep_six_digits(loss, middle, size):
    """As each is standardised by itself; less is left of the gradient than of one of random samples."""
    value, gradient = errors(loss, *(standardised(rows) + middle for rows in samples(*size)))
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("size", [size for size in ALIKE if size[2] >= 4])
def test_joint_mmd_of_equal_means_and_deviations_keeps_six_digits(size):
    source, target = map(standardised, samples(*size))
    value, gradient = errors(joint, source, target, *(standardised(rows[:, :3].tanh()) for rows in (source, target)))
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss, weighted(losses.mmd_loss)])
@pytest.mark.parametrize("rows", [200, 600])
@pytest.mark.parametrize("far", [False, True])
def test_clusters_and_far_rows_leave_a_gradient_its_digits(far, rows, loss):
    source, target = samples(rows, rows - 20, 64)
    if far:
        source[0] += 1e6
    else:
        source, target = (x * 0.1 + 10.0 * torch.arange(len(x)).remainder(2)[:, None] for x in (source, target))
    value, gradient = errors(loss, source, target)
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("kernel", [Gaussian([8.0]), Gaussian([8.0, 32.0, 512.0]), Gaussian(scales=[1e-4, 1e-3])])
@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss])
@pytest.mark.parametrize("rows", [200, 600])
def test_bandwidths_far_below_the_distances_of_clusters_keep_six_digits(rows, loss, kernel):
    generator = torch.Generator().manual_seed(0)
    middles = 300.0 * torch.randn(10, 64, generator=generator)
    source, target = (x + middles[torch.arange(len(x)) % 10] for x in samples(rows, rows - 20, 64, 0.2))
    value, gradient = errors(lambda s, t: loss(s, t, kernel=kernel), source, target)
    assert value < 1e-6 / rows  # the pairs of rows with themselves alone make kernel means of 1 / rows
    assert gradient < 1e-6


@pytest.mark.parametrize("rows", [32, 600])
@pytest.mark.parametrize(
    ("change", "times"),
    [
        (lambda x: x, 0),
        (lambda x: x.relu(), 0),
        (lambda x: x + 1e4, 0),
        (standardised, 1),
        (lambda x: x[:1].expand_as(x), 0),
    ],
)
def test_only_gradients_that_cancel_are_made_in_float64(monkeypatch, change, times, rows):
    """That takes a multiple of the time, and ordinary batches do without."""
    made = []
    in_float64 = Form.in_float64
    monkeypatch.setattr(Form, "in_float64", lambda form, widest: made.append(form) or in_float64(form, widest))
    source, target = map(change, samples(rows, rows, 256))
    losses.mmd_loss(source.clone().requires_grad_(), target).backward()
    assert len(made) == times
    losses.mmd_loss(source, target)
    losses.mmd_loss(source.double().requires_grad_(), target.double()).backward()
    assert len(made) == times


def test_weights_stay_as_they_are_where_float64_takes_over():
    source, target = map(standardised, samples(30, 40, 256))
    weights = torch.ones(30)
    losses.mmd_loss(source.requires_grad_(), target, source_weights=weights).backward()
    assert torch.equal(weights, torch.ones(30))


@pytest.mark.parametrize("size", [size for size in SIZES if size[0] < 2000])
def test_joint_mmd_keeps_six_digits(size):
    source, target = samples(*size)
    layers = [torch.softmax(rows @ torch.ones(size[2], 7).cumsum(dim=1) / size[2], dim=1) for rows in (source, target)]
    value, gradient = errors(joint, source, target, *layers)
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("rows", [200, 600])  # whole matrices, and tiles
@pytest.mark.parametrize("bandwidths", [[2.0], [1.0, 1000.0], [1.0, 30.0], [1.0, 8.0, 64.0], [8.0, 256.0]])
def test_bandwidths_far_apart_or_below_the_distances_leave_a_gradient_its_digits(bandwidths, rows):
    value, gradient = errors(
        lambda s, t: losses.mmd_loss(s, t, bandwidths=bandwidths), *samples(rows, rows - 20, 64, 0.3)
    )
    assert value < 1e-6
    assert gradient < 1.5e-6


@pytest.mark.parametrize("name", ["mmd_loss", "unbiased_mmd_loss", "joint"])
@pytest.mark.parametrize("rows", [200, 600])
def test_gradients_by_row_weights_keep_six_digits(rows, name):
    source, target = samples(rows, rows - 20, 32)
    weights = torch.linspace(0.5, 1.5, rows)

    def loss(source_weights):
        rows = [x.to(source_weights.dtype) for x in (source, target)]
        if name == "joint":
            return losses.joint_mmd_loss(*((x, x[:, :3]) for x in rows), source_weights=source_weights)
        return getattr(losses, name)(*rows, source_weights=source_weights)

    assert loss(weights.requires_grad_()).dtype == torch.float32
    assert errors(loss, weights)[1] < 1e-6


@pytest.mark.parametrize("kernel", [Linear(), Polynomial(), Laplacian(), RationalQuadratic()])
@pytest.mark.parametrize("middle", [0.0, FAR])
@pytest.mark.parametrize("name", ["mmd_loss", "unbiased_mmd_loss", "block_mmd_loss", "linear_time_mmd_loss"])
def test_other_kernels_keep_six_digits(name, middle, kernel):
    source, target = (rows + middle for rows in samples(500, 400, 8))
    value, gradient = value_and_gradient(
        lambda s, t: getattr(losses, name)(s, t, kernel=kernel), torch.float32, source, target
    )
    exact_value, exact = value_and_gradient(
        lambda s, t: getattr(losses, name)(s, t, kernel=kernel), torch.float64, source, target
    )
    assert value == pytest.approx(exact_value, rel=1e-6)
    torch.testing.assert_close(gradient, exact, rtol=0, atol=1e-6 * float(exact.norm()))


@pytest.mark.parametrize("middle", [0.0, FAR])
def test_homm_keeps_six_digits(middle):
    source, target = (rows + middle for rows in samples(200, 150, 8))
    value, gradient = errors(losses.homm_loss, source, target)
    assert value < 1e-6 * float(losses.homm_loss(source.double(), target.double()))
    assert gradient < 1e-6


def test_moments_that_nearly_cancel_keep_six_digits():
    assert errors(losses.cmd_loss, *samples(2048, 1800, 64))[1] < 1e-6


def test_blocks_of_the_parts_take_turns():
    blocks = [block for block, _, _ in _Grid([1024, 2048], "cpu").runs]
    assert blocks == [2, 0, 3, 4, 1, 5]  # two of these six are of the first part


@pytest.mark.parametrize(
    "loss",
    [losses.mmd_loss, losses.coral_loss, lambda x, y: losses.mmd_loss(x, y, kernel=Polynomial(2)), losses.homm_loss],
)
def test_a_compiled_loss_has_a_gradient_also_where_rounding_makes_it_negative(loss):
    compiled = torch.compile(loss, backend="aot_eager", dynamic=False)
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        source = torch.randn(8, 40, generator=generator, dtype=torch.float64)  # CORAL: by inner products
        target = source + 1e-8 * torch.randn(8, 40, generator=generator, dtype=torch.float64)
        gradients = []
        for each in (compiled, loss):
            rows = source.clone().requires_grad_()
            value = each(rows, target)
            assert value >= 0
            gradients.append(torch.autograd.grad(value, rows)[0])
        assert gradients[0].norm() > 0
        torch.testing.assert_close(*gradients, rtol=0, atol=0.2 * gradients[1].norm().item())


@pytest.mark.parametrize(
    "loss", [losses.homm_loss, losses.mmd_loss, losses.mean_loss, losses.energy_loss, losses.cmd_loss]
)
def test_weights_of_fewer_digits_than_the_rows_cost_the_loss_none(loss):
    source, target = torch.randn(3, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    value = loss(source, target, source_weights=torch.tensor([1.0, 3.0, 2.0])).item()
    assert value == pytest.approx(loss(source[[0, 1, 1, 1, 2, 2]], target).item(), rel=1e-12)


@pytest.mark.parametrize("rows", [40, 600])
def test_rows_that_are_equal_in_float32_are_not_told_apart_in_float64(rows):
    """Their differences would be a scale of their own there, and gradients as large as its inverse."""
    source, target = (x * 1e-22 for x in samples(rows, rows - 10, 20))  # squares are below the least number
    gradients = [
        value_and_gradient(losses.mmd_loss, dtype, source, target)[1] for dtype in (torch.float32, torch.float64)
    ]
    assert gradients[0].norm() < 1e-3 * gradients[1].norm()
