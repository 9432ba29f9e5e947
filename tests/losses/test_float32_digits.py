"""What float32 leaves of values and gradients, beside float64.

Two samples of one distribution are the hardest: what the source and the target add to a gradient nearly cancels, the more
the more rows there are.
"""

import pytest
import torch

from dalib import losses
from dalib.kernels import Laplacian, Linear, Polynomial, RationalQuadratic
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
