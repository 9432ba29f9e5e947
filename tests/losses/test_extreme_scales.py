"""Weights and features near the limits of their dtype: the same number as at scale one, or an error that says why."""

import pytest
import torch

from dalib import losses
from dalib.kernels import SCALES as SCALES_OF_DAN
from dalib.kernels import (
    Gaussian,
    Laplacian,
    Linear,
    Polynomial,
    RationalQuadratic,
    mean_squared_distance,
    median_squared_distance,
)
from dalib.row_weights import shares

GENERATOR = torch.Generator().manual_seed(0)
SOURCE, TARGET = torch.randn(9, 4, generator=GENERATOR), 1.5 * torch.randn(7, 4, generator=GENERATOR) + 0.5
WEIGHTS = torch.rand(9, generator=GENERATOR) + 0.1
SCALES = [(3e38, torch.float32), (1e-37, torch.float32), (1e-60, torch.float64), (1e307, torch.float64)]

SCALE_FREE = {
    "mmd": losses.MMDLoss(),
    "unbiased mmd": losses.UnbiasedMMDLoss(),
    "linear-time mmd": losses.LinearTimeMMDLoss(),
    "block mmd": losses.BlockMMDLoss(),
}
WEIGHTED = {
    **SCALE_FREE,
    "mean": losses.MeanLoss(),
    "coral": losses.CORALLoss(),
    "log coral": losses.LogCORALLoss(),
    "cmd": losses.CMDLoss(interval=(-4.0, 4.0)),
    "homm": losses.HoMMLoss(),
    "energy": losses.EnergyLoss(),
    "sliced wasserstein": losses.SlicedWassersteinLoss(),
    "sinkhorn": losses.SinkhornLoss(epsilon=1.0),
    "exact transport": losses.ExactTransportLoss(),
}


@pytest.mark.parametrize(("scale", "dtype"), SCALES)
@pytest.mark.parametrize("name", WEIGHTED)
def test_the_scale_of_the_weights_does_not_matter(name, scale, dtype):
    def value(scale, dtype):
        torch.manual_seed(0)
        weights = (WEIGHTS / WEIGHTS.max()).to(dtype) * scale, torch.full((7,), scale, dtype=dtype)
        return WEIGHTED[name](SOURCE, TARGET, source_weights=weights[0], target_weights=weights[1])

    torch.testing.assert_close(value(scale, dtype), value(1.0, torch.float32))


@pytest.mark.parametrize(("scale", "dtype"), SCALES)
def test_so_do_the_losses_of_one_sample(scale, dtype):
    logits, weights = 3 * SOURCE, (WEIGHTS / WEIGHTS.max()).to(dtype)
    for loss in (losses.mcc_loss, losses.entropy_loss):
        torch.testing.assert_close(loss(logits, weights=scale * weights), loss(logits, weights=weights))


@pytest.mark.parametrize("rule", [mean_squared_distance, median_squared_distance])
@pytest.mark.parametrize(("scale", "dtype"), SCALES)
def test_so_do_the_rules_of_the_bandwidth(rule, scale, dtype):
    weights = (WEIGHTS / WEIGHTS.max()).to(dtype)
    torch.testing.assert_close(rule(SOURCE, scale * weights), rule(SOURCE, weights))


def test_a_domain_that_weighs_next_to_nothing_counts_nothing_in_the_bandwidth():
    tiny = torch.full((9,), 1e-60, dtype=torch.float64)
    of_target = mean_squared_distance(TARGET).item()
    fixed = losses.mmd_loss(SOURCE, TARGET, bandwidths=[(scale * of_target) ** 0.5 for scale in SCALES_OF_DAN])
    torch.testing.assert_close(losses.mmd_loss(SOURCE, TARGET, source_weights=tiny), fixed)


def test_gradients_of_extreme_weights():
    weights = torch.tensor([3e38, 1e38], requires_grad=True)
    (share,) = torch.autograd.grad(shares(torch.zeros(2, 1), weights, "weights")[0], weights)
    torch.testing.assert_close(share.double() * 1e38, torch.tensor([1 / 16, -3 / 16], dtype=torch.float64))


@pytest.mark.parametrize(("loss", "dtype"), [(losses.coral_loss, "float32"), (losses.unbiased_mmd_loss, "float64")])
def test_one_row_beside_which_the_others_vanish_is_not_two(loss, dtype):
    lopsided = torch.cat([torch.ones(1), torch.full((8,), 1e-9 if dtype == "float32" else 1e-18)])
    with pytest.raises(ValueError, match=rf"source_weights must have two entries that torch.{dtype} tells from zero"):
        loss(SOURCE, TARGET, source_weights=lopsided)
    lopsided = torch.cat([torch.ones(1), torch.full((8,), 1e-9)])
    assert torch.isfinite(loss(SOURCE.double(), TARGET.double(), source_weights=lopsided))


@pytest.mark.parametrize("scale", [1e-16, 1e-12, 1e12, 1e17])
@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize("name", SCALE_FREE)
def test_the_default_bandwidth_makes_mmd_scale_free(name, times, scale):
    # 20 times the rows: the sums then run over tiles.
    source, target = (rows.repeat(times, 1) for rows in (SOURCE, TARGET))
    values, gradients = [], []
    for factor in (1.0, scale):
        rows = (factor * source).requires_grad_()
        values.append(SCALE_FREE[name](rows, factor * target))
        gradients.append(torch.autograd.grad(values[-1], rows)[0].double() * factor)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


def test_the_joint_discrepancy_and_the_sinkhorn_divergence_too():
    for scale in (1e-12, 1e12):
        pair = [losses.joint_mmd_loss((k * SOURCE, SOURCE), (k * TARGET, TARGET)) for k in (1.0, scale)]
        torch.testing.assert_close(*pair)
        divergence = losses.sinkhorn_loss(scale * SOURCE, scale * TARGET)
        torch.testing.assert_close(divergence / scale / scale, losses.sinkhorn_loss(SOURCE, TARGET), rtol=1e-3, atol=0)


@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize("name", ["mmd", "unbiased mmd"])
def test_distances_beyond_the_dtype_are_told(name, times):
    source, target = (1e19 * rows.repeat(times, 1) for rows in (SOURCE, TARGET))
    with pytest.raises(ValueError, match=r"source and target must have squared distances below 3e\+38, .* use float64"):
        SCALE_FREE[name](source, target)
    assert torch.isfinite(SCALE_FREE[name](source.double(), target.double()))


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("name", ["mmd", "unbiased mmd"])
def test_equal_rows_may_be_as_far_out_as_the_dtype_goes(name, times):
    rows = torch.full((7 * times, 3), 1e25, requires_grad=True)  # the square of that is beyond float32
    value = SCALE_FREE[name](rows, rows.detach().clone())
    assert abs(value.item()) < 1e-6
    assert torch.isfinite(torch.autograd.grad(value, rows)[0]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [20, 200, 1000])
@pytest.mark.parametrize("name", ["mmd", "unbiased mmd"])
def test_equal_rows_have_no_gradient(name, rows, dtype):
    for middle in (0.1, 3.0, 7.7, 1e4):
        source = (middle + torch.rand(5, dtype=dtype)).expand(rows, 5).clone().requires_grad_()
        for options in ({}, {"source_weights": torch.linspace(0.5, 1.0, rows)}):
            value = SCALE_FREE[name](source, source.detach().clone(), **options)
            assert torch.autograd.grad(value, source)[0].abs().max() < 1e-11


@pytest.mark.parametrize("name", ["linear-time mmd", "block mmd"])
def test_distances_beyond_the_dtype_are_within_float64(name):
    source, target = (1e19 * rows for rows in (SOURCE, TARGET))
    torch.testing.assert_close(SCALE_FREE[name](source, target), SCALE_FREE[name](SOURCE, TARGET))


TRANSPORT = {
    "sliced wasserstein": losses.SlicedWassersteinLoss(),
    "max-sliced wasserstein": losses.MaxSlicedWassersteinLoss(),
    "sinkhorn": losses.SinkhornLoss(),
    "sinkhorn of a fixed epsilon": losses.SinkhornLoss(epsilon=1.0),
    "exact transport": losses.ExactTransportLoss(),
}


@pytest.mark.parametrize("rows", [7, 9])
@pytest.mark.parametrize("name", TRANSPORT)
def test_transport_tells_them_too(name, rows):
    with pytest.raises(ValueError, match=r"source and target must .* entries up to .*; scale the features down or use"):
        TRANSPORT[name](1e30 * SOURCE[:rows], 1e30 * TARGET)
    if name != "sinkhorn of a fixed epsilon":
        assert torch.isfinite(TRANSPORT[name](1e30 * SOURCE[:rows].double(), 1e30 * TARGET.double()))


def test_a_fixed_bandwidth_does_not_hide_them():
    with pytest.raises(ValueError, match="source and target must have squared distances below"):
        losses.mmd_loss(1e20 * SOURCE, 1e20 * TARGET, bandwidths=[1.0])


@pytest.mark.parametrize("bandwidths", [["a"], ["1.0"], "a", 1.0, [None], [[1.0, 2.0]]])
def test_bandwidths_that_are_no_numbers_are_told(bandwidths):
    calls = [lambda: losses.mmd_loss(SOURCE, TARGET, bandwidths=bandwidths)]
    modules = (
        losses.MMDLoss,
        losses.UnbiasedMMDLoss,
        losses.LinearTimeMMDLoss,
        losses.BlockMMDLoss,
        losses.LocalMMDLoss,
    )
    calls += [lambda module=module: module(bandwidths=bandwidths) for module in modules]
    for call in calls:
        with pytest.raises(TypeError, match=r"bandwidths must be a sequence of numbers, such as \[1.0, 2.0\], got"):
            call()


def test_a_bandwidth_whose_square_is_lost_is_told():
    with pytest.raises(ValueError, match=r"bandwidths must have squares that torch.float32 can hold"):
        losses.mmd_loss(SOURCE, TARGET, bandwidths=[1e-30])
    assert torch.isfinite(losses.mmd_loss(SOURCE.double(), TARGET.double(), bandwidths=[1e-30]))


@pytest.mark.parametrize("rows", [(4, 3), (32, 32), (300, 240)])
@pytest.mark.parametrize("name", ["mmd", "unbiased", "joint", "local"])
def test_features_that_have_collapsed_give_next_to_nothing_and_no_gradient_to_speak_of(name, rows):
    torch.manual_seed(0)
    point = torch.rand(1, 64)
    source, target = (point.repeat(n, 1).requires_grad_() for n in rows)
    labels, probs = torch.arange(rows[0]) % 2, torch.full((rows[1], 2), 0.5)
    value = {
        "mmd": lambda: losses.mmd_loss(source, target),
        "unbiased": lambda: losses.unbiased_mmd_loss(source, target),
        "joint": lambda: losses.joint_mmd_loss((source, source[:, :8]), (target, target[:, :8])),
        "local": lambda: losses.local_mmd_loss(source, target, labels, probs),
    }[name]()
    assert abs(value.item()) < 1e-6
    assert torch.autograd.grad(value, source)[0].abs().max() < 1


def test_a_constant_layer_leaves_the_joint_loss_to_the_others():
    torch.manual_seed(0)
    source, target = torch.randn(300, 5), torch.randn(240, 5) + 0.5
    constant = torch.full((300, 3), 0.3)
    joint = losses.joint_mmd_loss((source, constant), (target, constant[:240]))
    torch.testing.assert_close(joint, losses.mmd_loss(source, target), rtol=1e-4, atol=0)


@pytest.mark.parametrize("far", [1e5, 1e8, 1e10])
def test_a_row_without_weight_costs_mmd_no_digits_however_far_it_lies(far):
    torch.manual_seed(0)
    source, target, weights = torch.randn(6, 3), torch.randn(5, 3) + 0.5, torch.ones(6)
    source[2, 0], weights[2] = far, 0.0
    source.requires_grad_()
    value = losses.mmd_loss(source, target, source_weights=weights)
    expected = losses.mmd_loss(source[weights > 0].double(), target.double())
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.autograd.grad(value, source)[0].isfinite().all()


@pytest.mark.parametrize("rows", [8, 300])
def test_a_widest_kernel_beyond_the_dtype_is_refused_and_not_taken_for_one(rows):
    source, target = torch.randn(rows, 3), torch.randn(rows, 3) + 0.5
    with pytest.raises(ValueError, match="source and target must have squared distances below"):
        losses.mmd_loss(4.5e18 * source, 4.5e18 * target)


@pytest.mark.parametrize("rows", [5, 300])
def test_the_smallest_bandwidths_that_are_taken_have_gradients(rows):
    near = (2e-19 * torch.randn(rows, 3)).requires_grad_()
    value = losses.mmd_loss(near, near[:3].detach() + 4e-19, bandwidths=[2e-19])
    assert 0 < value.item() < 2
    assert torch.autograd.grad(value, near)[0].isfinite().all()
    for width in (1e-19, 1e-25):  # a subnormal square, whose inverse is infinite; and none at all
        with pytest.raises(ValueError, match="bandwidths must have squares that torch"):
            losses.mmd_loss(near, near, bandwidths=[width])


@pytest.mark.parametrize("rows", [5, 300])
@pytest.mark.parametrize("options", [{"bandwidths": [1e-12, 1e12]}, {"kernel": Gaussian(scales=(1e-20, 1e20))}])
def test_bandwidths_too_far_apart_for_the_dtype_are_refused(options, rows):
    source, target = torch.randn(rows, 3), torch.randn(rows, 3)
    with pytest.raises(ValueError, match=r"bandwidths must be at most 4e\+09 times as wide .* got 1e\+2"):
        losses.mmd_loss(source, target, **options)
    assert losses.mmd_loss(source.double(), target.double(), **options).isfinite()


def test_a_bandwidth_that_became_zero_is_named():
    loss = losses.MMDLoss(bandwidths=torch.tensor([1.0, 2.0]))
    loss.kernel.bandwidths.zero_()
    with pytest.raises(ValueError, match="bandwidths must be positive"):
        loss(torch.zeros(2, 1), torch.ones(2, 1))


@pytest.mark.parametrize("rows", [8, 300])  # whole matrices, and tiles
@pytest.mark.parametrize("bandwidth", [1e-3, 1e-5])
def test_a_row_is_equal_to_itself_also_where_the_bandwidth_is_below_the_rounding_of_the_distances(rows, bandwidth):
    source, target = torch.randn(rows, 16), torch.randn(rows, 16)  # no two rows are alike: what is left is the diagonal
    assert losses.mmd_loss(source, target, bandwidths=[bandwidth]).item() == pytest.approx(2 / rows, rel=1e-5)


OF_WEIGHTED_ROWS = {
    "mean": losses.MeanLoss(),
    "log coral": losses.LogCORALLoss(),
    "cmd": losses.CMDLoss(interval=(-4.0, 4.0)),
    "homm": losses.HoMMLoss(centred=True),
    "energy": losses.EnergyLoss(),
    "sliced wasserstein": losses.SlicedWassersteinLoss(),
    "max-sliced wasserstein": losses.MaxSlicedWassersteinLoss(iterations=200),
    "sinkhorn": losses.SinkhornLoss(tolerance=1e-6),
    "sinkhorn of a fixed epsilon": losses.SinkhornLoss(epsilon=1.0, tolerance=1e-6),
    "exact transport": losses.ExactTransportLoss(),
    "block mmd": losses.BlockMMDLoss(block_size=5),
    "mmd, rational quadratic": losses.MMDLoss(kernel=RationalQuadratic()),
    "mmd, Laplacian": losses.MMDLoss(kernel=Laplacian(1.0)),
    "mmd, median": losses.MMDLoss(kernel=Gaussian(rule=median_squared_distance)),
    "mmd, sum": losses.MMDLoss(kernel=Gaussian([1.0]) + Gaussian()),
}


@pytest.mark.parametrize("name", OF_WEIGHTED_ROWS)
def test_a_row_without_weight_costs_no_loss_its_digits_however_far_it_lies(name):
    def value(source, target, **weights):
        torch.manual_seed(0)
        return OF_WEIGHTED_ROWS[name](source, target, **weights)

    source, weights = SOURCE.clone(), WEIGHTS.clone()
    source[2], weights[2] = 1e5, 0.0
    expected = value(source[weights > 0].double(), TARGET.double(), source_weights=weights[weights > 0].double())
    got = value(source, TARGET, source_weights=weights)
    assert got.item() == pytest.approx(expected.item(), rel=2e-5)


def test_the_second_derivative_of_mmd_with_such_a_row():
    source, weights = SOURCE.clone(), WEIGHTS.clone()
    source[2], weights[2] = 1e5, 0.0

    def penalty(rows, target, weights):
        rows = rows.clone().requires_grad_()
        value = losses.mmd_loss(rows, target, bandwidths=[1.0], source_weights=weights)
        slope = torch.autograd.grad(value, rows, create_graph=True)[0]
        return torch.autograd.grad(slope.square().sum(), rows)[0]

    kept = weights > 0
    expected = penalty(source[kept].double(), TARGET.double(), weights[kept].double())
    got = penalty(source, TARGET, weights)[kept]
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-7)


LOPSIDED = {
    "coral": losses.CORALLoss(),
    "log coral": losses.LogCORALLoss(),
    "block mmd": losses.BlockMMDLoss(block_size=7),
}


@pytest.mark.parametrize("name", LOPSIDED)
def test_one_row_that_outweighs_the_others_costs_no_digits(name):
    lopsided = torch.cat([torch.ones(1), torch.full((8,), 1e-6)])
    expected = LOPSIDED[name](SOURCE.double(), TARGET.double(), source_weights=lopsided.double())
    assert LOPSIDED[name](SOURCE, TARGET, source_weights=lopsided).item() == pytest.approx(expected.item(), rel=1e-5)


TOO_LARGE = {
    "mean": (losses.MeanLoss(), torch.float32, 1e25),
    "energy": (losses.EnergyLoss(), torch.float64, 1e200),
    "log coral": (losses.LogCORALLoss(), torch.float64, 1e200),
    "mmd": (losses.MMDLoss(kernel=Polynomial()), torch.float32, 1e15),
    "unbiased mmd": (losses.UnbiasedMMDLoss(kernel=Polynomial()), torch.float32, 1e15),
    "block mmd": (losses.BlockMMDLoss(kernel=Linear()), torch.float32, 1e25),
    "linear-time mmd": (losses.LinearTimeMMDLoss(kernel=Linear()), torch.float32, 1e25),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_features_too_large_for_the_loss_are_told(name):
    loss, dtype, scale = TOO_LARGE[name]
    with pytest.raises(ValueError, match=r"source and target must be small enough for the loss to be a torch"):
        loss(scale * SOURCE.to(dtype), scale * TARGET.to(dtype))


@pytest.mark.parametrize("kernel", [Laplacian, RationalQuadratic])
def test_one_bandwidth_whose_square_is_lost_is_told_too(kernel):
    with pytest.raises(ValueError, match=r"bandwidth must have squares that torch.float64 can hold, got \[1e-170\]"):
        losses.mmd_loss(SOURCE, TARGET, kernel=kernel(1e-170))
    of_each_row_alone = 1 / len(SOURCE) + 1 / len(TARGET)
    for dtype in (torch.float32, torch.float64):
        value = losses.mmd_loss(SOURCE.to(dtype), TARGET.to(dtype), kernel=kernel(1e-30))
        assert float(value) == pytest.approx(of_each_row_alone)


def test_the_median_of_one_row_that_alone_has_weight_is_zero():
    assert median_squared_distance(SOURCE, torch.tensor([0.0, 2] + 7 * [0.0])) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_median_at_an_exact_tie_is_the_lower_one(dtype):
    rows = torch.tensor([[16.0], [7], [37], [11]], dtype=dtype)
    assert median_squared_distance(rows, torch.tensor([1.0, 3, 3, 3], dtype=dtype)) == 441


def test_the_gradient_of_the_laplacian_is_finite_where_squares_are_not_normal_numbers():
    source, target = (torch.randn(n, 3, dtype=torch.float64) * 1e-160 for n in (6, 7))
    source.requires_grad_()
    losses.mmd_loss(source, target, kernel=Laplacian()).backward()
    assert source.grad.isfinite().all()


def test_a_far_row_of_weight_zero_is_no_row_for_cmd():
    source = torch.tensor([[0.0], [0.1], [1e8]], requires_grad=True)
    target = torch.tensor([[0.5], [0.6]])
    value = losses.cmd_loss(source, target, source_weights=torch.tensor([1.0, 1, 0]))
    assert value.item() == pytest.approx(losses.cmd_loss(source[:2], target).item())
    value.backward()
    assert source.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: losses.sinkhorn_loss(SOURCE.float(), SOURCE.float() + 1, epsilon=1e39), ValueError, "epsilon must be"),
        (lambda: losses.mmd_loss(SOURCE, SOURCE, bandwidths=torch.tensor([1j])), TypeError, "bandwidths must be"),
        (lambda: losses.mmd_loss(SOURCE, SOURCE, bandwidths=torch.tensor([True])), TypeError, "bandwidths must be"),
    ],
)
def test_numbers_beyond_the_dtype_and_of_other_kinds_are_named(call, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        call()
