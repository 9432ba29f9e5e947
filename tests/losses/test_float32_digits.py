"""What float32 leaves of values and gradients, beside float64.

Two samples of one distribution are the hardest: what the source and the target add to a gradient nearly cancels, the more
the more rows there are.
"""

import pytest
import torch

from dalib import losses
from dalib.distances import mean_squared_distance
from dalib.kernels import Gaussian, Laplacian, Linear, Polynomial, RationalQuadratic
from dalib.losses import _kernel_form, _kernel_tiles
from dalib.losses._gaussian_scales import centred, scales_of
from dalib.losses._kernel_dense import Form
from dalib.losses._kernel_tiles import _Grid
from dalib.losses._lost_digits import SOME, are_lost, are_rounded_apart, roundings_add_up

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


def one_hot(rows):
    return torch.nn.functional.one_hot(rows[:, :40].argmax(dim=1), 40).to(rows.dtype)


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


@pytest.mark.parametrize("size", [(157, 295, 100), (700, 500, 64)])
def test_each_layer_of_joint_mmd_is_looked_at(size):
    first, second = samples(*size), list(map(standardised, samples(*size[:2], 40)))

    def loss(source, target):
        return losses.joint_mmd_loss((first[0].to(source.dtype), source), (first[1].to(source.dtype) + 0.5, target))

    assert errors(loss, *second)[1] < 1e-6


def test_products_of_all_layers_decide_what_may_be_left_of_a_gradient():
    def dtype(*widths):
        layers = [[torch.zeros(2, width)] * 2 for width in widths]
        return Form(layers, [], [], None, torch.ones(4, 1), None, None, 1.0).dtype_of_pulls

    assert [dtype(3), dtype(3, 5), dtype(100), dtype(3, 100)] == [torch.float64] * 2 + [torch.float32] * 2


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


@pytest.mark.parametrize(
    ("change", "times", "rows"),
    [
        (lambda x: x, 0, 32),
        (lambda x: x, 0, 600),
        (lambda x: x.relu(), 0, 32),
        (lambda x: x.relu(), 0, 600),
        (lambda x: x + 1e4, 0, 32),
        (lambda x: x + 1e4, 0, 600),
        (standardised, 1, 32),
        (standardised, 1, 600),
        (lambda x: x[:1].expand_as(x), 0, 32),
        (lambda x: x[:1].expand_as(x), 1, 600),
        (one_hot, 0, 32),
        (one_hot, 1, 600),
    ],
)
def test_only_gradients_that_cancel_are_made_in_float64(monkeypatch, change, times, rows):
    """That takes a multiple of the time, and ordinary batches do without."""
    made = []
    in_float64 = Form.in_float64
    monkeypatch.setattr(Form, "in_float64", lambda form: made.append(form) or in_float64(form))
    source, target = map(change, samples(rows, rows, 256))
    losses.mmd_loss(source.clone().requires_grad_(), target).backward()
    assert len(made) == times
    losses.mmd_loss(source, target)
    losses.mmd_loss(source.double().requires_grad_(), target.double()).backward()
    assert len(made) == times


REPEATED = {
    "one-hot rows": one_hot,
    "sparse sets": lambda rows: (rows > 1.9).float(),
    "sets": lambda rows: (rows > 0).float(),
    "counts": lambda rows: rows.mul(3).round(),
    "categories": lambda rows: rows.clamp(-1, 1).round(),
    "two columns with zeros": lambda rows: standardised(rows[:, :2].relu()),
    "one column with zeros": lambda rows: standardised(rows[:, :1].relu()),
    "three rows": lambda rows: rows[:3].repeat(len(rows), 1)[: len(rows)],
}


@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss, counted(losses.mmd_loss)])
@pytest.mark.parametrize("size", [(32, 32), (8, 56), (64, 64), (256, 256), (16, 240), (1100, 1000)])
@pytest.mark.parametrize("name", REPEATED)
def test_numbers_that_repeat_keep_six_digits(name, size, loss):
    """Many roundings are the same then, and do not cancel."""
    value, gradient = errors(loss, *map(REPEATED[name], samples(*size, 256)))
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("rows", [150, 1000])  # whole matrices, and tiles
@pytest.mark.parametrize("classes", [2, 31])
@pytest.mark.parametrize("name", ["local", "class-conditional", "contrastive"])
@pytest.mark.parametrize(
    "change",
    [
        standardised,
        lambda x: x + torch.arange(len(x)).remainder(2)[:, None],
        lambda x: (
            x + 0.1 * torch.randn(31, x.shape[1], generator=torch.Generator().manual_seed(1)).repeat(40, 1)[: len(x)]
        ),
    ],
)
def test_losses_by_class_keep_six_digits(change, name, classes, rows):
    """Rows of one class have one share, whose rounding adds up."""
    source, target = map(change, samples(rows, rows - 100, 64))
    labels = [torch.arange(len(x)) % classes for x in (source, target)]
    probs = torch.nn.functional.one_hot(labels[1], classes) * 0.97 + 0.03 / classes

    def loss(s, t):
        if name == "local":
            return losses.local_mmd_loss(s, t, labels[0], probs.to(s.dtype))
        of_classes = (
            losses.class_conditional_mmd_loss if name == "class-conditional" else losses.contrastive_domain_loss
        )
        return of_classes(s, t, *labels, classes)

    value, gradient = errors(loss, source, target)
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("loss", [losses.block_mmd_loss, losses.linear_time_mmd_loss])
@pytest.mark.parametrize("bandwidths", [None, [8.0]])
def test_estimates_of_few_pairs_keep_six_digits(bandwidths, loss):
    clusters = [
        x + 1e3 * torch.arange(len(x)).div(2, rounding_mode="floor").remainder(2)[:, None]
        for x in samples(600, 580, 64)
    ]
    for pair in (clusters, [standardised(x) for x in samples(600, 580, 64)]):
        value, gradient = errors(lambda s, t: loss(s, t, bandwidths=bandwidths), *pair)
        assert value < 1e-6
        assert gradient < 1e-6


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("rows", [40, 600])
def test_what_flows_in_may_have_any_scale(rows, scale):
    source, target = map(standardised, samples(rows, rows - 8, 48))
    _, gradient = errors(lambda s, t: scale * losses.mmd_loss(s, t), source, target)
    assert gradient < 1e-6


@pytest.mark.parametrize("rows", [32, 600])
@pytest.mark.parametrize("kernel", [None, Gaussian([16.0, 20.0])])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_left_of_a_gradient_is_seen_as_it_is(monkeypatch, weighted, kernel, rows):
    """Beside the sums over all pairs of rows."""
    seen = []

    def recorded(gradient, pulls, distance, dtype, alike):
        seen.append((gradient, pulls, distance))
        return rows == 32  # of a whole matrix half of the rows come first

    for module in (_kernel_form, _kernel_tiles):
        monkeypatch.setattr(module, "are_lost", recorded)
    source, target = samples(rows, rows - 8, 48, 0.1)
    weights = [torch.linspace(0.0, 1.0, len(x)) if weighted else torch.ones(len(x)) for x in (source, target)]
    given = {"source_weights": weights[0], "target_weights": weights[1]} if weighted else {}
    loss = losses.MMDLoss(kernel=kernel)
    leaves = [x.clone().requires_grad_() for x in (source, target)]
    (3 * loss(*leaves, **given)).backward()
    gradient, pulls, distance = seen[-1]

    x = torch.cat([source, target]).double()
    w = torch.cat([weights[0] / weights[0].sum(), -weights[1] / weights[1].sum()]).double()
    counts = torch.cat(weights).double() / torch.cat(weights).sum()
    squares = torch.cdist(x, x).square()
    mean = float(counts @ squares @ counts)
    variances = (kernel or Gaussian()).variances(x, torch.cat(weights).double())
    slopes = sum(torch.exp(-squares / 2 / v) / v for v in variances) / len(variances)
    exact = 2 * torch.outer(w, w) * slopes * (1 - torch.eye(len(x)))
    times = 3.0
    if rows == 600:  # tiles look at it before it is scaled, in units of their own where no weights are given
        times = len(variances) * float(variances.max()) / 2 * (1.0 if weighted else (600 * 592 / 1024) ** 2)
    assert pulls == pytest.approx(times**2 * float(exact.square().sum()), rel=0.05)  # tiles only know the mean of some
    assert distance == pytest.approx(mean, rel=0.1 if kernel and rows == 32 else 1e-3)
    of_rows = (exact @ x - exact.sum(dim=1)[:, None] * x).square().sum()
    assert gradient == pytest.approx(times**2 * float(of_rows), rel=1e-3)


def test_a_gradient_is_lost_by_what_is_left_of_it():
    def lost(left, dtype=torch.float32, alike=False):
        return are_lost(left**2 * 6.0, 2.0, 3.0, dtype, alike)

    assert [lost(left) for left in (0.55, 0.65)] == [True, False]
    assert [lost(left, torch.float64) for left in (0.25, 0.35)] == [True, False]
    assert [lost(left, alike=True) for left in (0.65, 2.3, 2.5)] == [True, True, False]


def test_roundings_of_rows_that_repeat_add_up():
    rows = torch.randn(200, 300, generator=torch.Generator().manual_seed(0))

    def squares(rows):
        return (rows[1:SOME] - rows[0]).square().sum(dim=1).tolist()

    assert not roundings_add_up(squares(rows))
    assert not roundings_add_up(squares(rows.relu()))
    assert roundings_add_up(squares(one_hot(rows)))
    assert roundings_add_up([-each / 2 for each in squares(one_hot(rows))])  # exponents of a kernel


@pytest.mark.parametrize("size", [size for size in SIZES if size[0] < 2000])
def test_joint_mmd_keeps_six_digits(size):
    source, target = samples(*size)
    layers = [torch.softmax(rows @ torch.ones(size[2], 7).cumsum(dim=1) / size[2], dim=1) for rows in (source, target)]
    value, gradient = errors(joint, source, target, *layers)
    assert value < 1e-6
    assert gradient < 1e-6


@pytest.mark.parametrize("rows", [200, 600])  # whole matrices, and tiles
@pytest.mark.parametrize(
    "bandwidths", [[1.5], [2.0], [2.5], [1.0, 1000.0], [1.0, 30.0], [1.0, 8.0, 64.0], [8.0, 256.0]]
)
def test_bandwidths_far_apart_or_below_the_distances_leave_a_gradient_its_digits(bandwidths, rows):
    value, gradient = errors(
        lambda s, t: losses.mmd_loss(s, t, bandwidths=bandwidths), *samples(rows, rows - 20, 64, 0.3)
    )
    assert value < 1e-6
    assert gradient < 1e-6
    with torch.no_grad():  # no gradient tells of the digits then
        assert (
            abs(
                losses.mmd_loss(*samples(rows, rows - 20, 64, 0.3), bandwidths=bandwidths)
                - losses.mmd_loss(*(x.double() for x in samples(rows, rows - 20, 64, 0.3)), bandwidths=bandwidths)
            )
            < 1e-7
        )


@pytest.mark.parametrize("rows", [200, 600])
@pytest.mark.parametrize("given", [[1.1], torch.tensor([1.1], dtype=torch.float64)])
def test_no_digit_of_a_given_bandwidth_is_lost(given, rows):
    """Exponents are 50 here, and multiply what the squared bandwidth is rounded by."""
    _, gradient = errors(lambda s, t: losses.mmd_loss(s, t, bandwidths=given), *samples(rows, rows - 20, 64, 0.1))
    assert gradient < 2e-7


@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss])
@pytest.mark.parametrize("rows", [64, 600])
def test_few_rows_far_from_many_keep_six_digits(rows, loss):
    """They are near to one another, which is most of the gradient, and lie far out in units of the bandwidths."""
    source, target = samples(5, rows, 256)
    for few, many in ((source * 0.1, 1 + target * 0.1), (1 + target * 0.1, source * 0.1)):
        assert errors(loss, few, many)[1] < 1e-6


def test_few_rows_far_from_others_that_count_more_keep_six_digits():
    source, target = samples(32, 32, 256)

    def loss(source, target):
        weights = torch.full((32,), 0.01, dtype=torch.float32)
        weights[:5] = 1.0
        return losses.mmd_loss(source, target, source_weights=weights / 100)

    source[5:] += 10
    assert errors(loss, source * 0.1, 1 + target * 0.1)[1] < 1e-6


@pytest.mark.parametrize("rows", [(1, 16), (3, 31)])
def test_small_uneven_batches_of_zeros_and_ones_keep_six_digits(rows):
    """What is left of them after centring are two numbers a column, whose squares are rounded to one side."""
    worst = 0.0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        pair = ((torch.rand(n, 256, generator=generator) > 0.5).float() for n in rows)
        worst = max(worst, errors(losses.mmd_loss, *pair)[1])
    assert worst < 1e-6


def test_classes_of_repeated_rows_keep_the_digits_of_a_value_without_a_gradient():
    source, target = samples(700, 700, 10)
    target = target / target[:, :1].abs() + FAR  # some lie so far out that the kernel of the others is nearly one
    source = torch.nn.functional.one_hot(source.argmax(dim=1), 10) + FAR
    labels = torch.arange(700) % 2

    def loss(source, target):
        return losses.class_conditional_mmd_loss(source, target, labels, labels.flip(0) * labels, 2)

    assert abs(loss(source, target) - loss(source.double(), target.double())) < 5e-8


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


def evenly(source, target):
    return losses.mmd_loss(
        source, target, source_weights=torch.ones(len(source)), target_weights=torch.ones(len(target))
    )


def by_importance(source, target):
    return losses.mmd_loss(source, target, source_weights=torch.linspace(0.1, 2.0, len(source)).square())


def clipped(source, target):
    weights = [torch.linspace(0.1, 2.0, len(rows)).clamp_max(1.0) for rows in (source, target)]
    return losses.mmd_loss(source, target, source_weights=weights[0], target_weights=weights[1])


def jointly(source, target):
    return joint(source, target, source.softmax(dim=1), target.softmax(dim=1))


@pytest.mark.parametrize("loss", [losses.mmd_loss, losses.unbiased_mmd_loss, evenly, by_importance, clipped, jointly])
@pytest.mark.parametrize(("n", "m"), [(120, 73), (200, 120), (255, 257)])
def test_shares_of_unequal_batches_are_not_rounded_apart(loss, n, m):
    """1/255 and 1/257 have other rounding errors, and what these leave of all rows of a domain does not average out."""
    _, gradient = errors(loss, *samples(n, m, 128))
    assert gradient < 6e-7


@pytest.mark.parametrize("rows", [120, 700])
def test_weights_that_differ_cost_no_float64(monkeypatch, rows):
    monkeypatch.setattr(Form, "in_float64", lambda form: pytest.fail("made in float64"))
    source, target = samples(rows + 30, rows, 256, 0.1)
    by_importance(source.requires_grad_(), target).backward()


def test_weights_are_rounded_apart_where_those_of_many_rows_are_rounded_to_one_side():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(200, generator=generator).double() / 7
    equal = torch.full((200,), 1 / 200, dtype=torch.float64)
    lengths = [150, 50]
    assert not are_rounded_apart(drawn, lengths, torch.float32)
    assert not are_rounded_apart(200 * equal, lengths, torch.float32)
    assert are_rounded_apart(equal, lengths, torch.float32)
    assert are_rounded_apart(torch.cat([drawn[:150], equal[150:]]), lengths, torch.float32)
    assert are_rounded_apart(-equal, lengths, torch.float32)


@pytest.mark.parametrize("first", ["any", "the mean"])  # the first row tells of the size of all
@pytest.mark.parametrize("far", [0.0, 0.3, 1.0, 3.0, 30.0, 200.0, 1e4])
@pytest.mark.parametrize("count", [40, 200, 3000])
def test_the_mean_distance_of_rows_far_from_zero_keeps_six_digits(count, far, first):
    """Rows are moved to their mean or beside it."""
    rows = torch.cat(samples(count, count // 2, 20)) + far
    if first == "the mean":
        rows[0] = rows[1:].mean(dim=0)
    exact = float(mean_squared_distance(rows.double()))
    around = centred(rows.clone(), None)
    scales, _ = scales_of(Gaussian(scales=[1.0]), [rows], None)
    found = scales.widest(None, around, around.parts @ around.rows.square().sum(dim=1))
    assert float(found) == pytest.approx(exact, rel=5e-7)


@pytest.mark.parametrize("rows", [60, 300])  # whole matrices, and tiles
def test_a_gradient_may_be_asked_for_twice(rows):
    source, target = (standardised(x) for x in samples(rows, rows, 64))
    leaf = source.clone().requires_grad_()
    value = losses.unbiased_mmd_loss(leaf, target)
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (second,) = torch.autograd.grad(value, leaf)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(63, 64, 1), (64, 64, 8), (256, 256, 1), (600, 500, 4)])
def test_a_first_row_that_does_not_count_hides_nothing(size):
    """Nor does one that is an outlier."""
    source, target = samples(*size, 0.5)
    weights = torch.ones(len(source)).index_fill(0, torch.tensor([0]), 0.0)
    padded = (source + FAR).index_fill(0, torch.tensor([0]), 0.0)
    value, gradient = errors(lambda s, t: losses.mmd_loss(s, t, source_weights=weights), padded, target + FAR)
    assert value < 1e-6
    assert gradient < 1e-6
    source[0] += 10
    assert errors(losses.mmd_loss, source + 1e3, target + 1e3)[1] < 1e-6


@pytest.mark.parametrize("rows", [64, 300])
@pytest.mark.parametrize(("size", "flows_in"), [(1e17, 1.0), (1e13, 1e-10), (1e10, 1e-20), (1e-15, 1e18)])
def test_what_a_gradient_is_multiplied_by_may_be_beyond_float32(size, flows_in, rows):
    source, target = (size * x for x in samples(rows, rows, 64, 0.3))
    leaves = [x.clone().requires_grad_() for x in (source, target)]
    value = losses.mmd_loss(*leaves)
    found = torch.autograd.grad(value, leaves, torch.tensor(flows_in))
    _, exact = value_and_gradient(losses.mmd_loss, torch.float64, source, target)
    exact = flows_in * exact
    found = torch.cat([each.flatten() for each in found]).double()
    assert float((found - exact).norm()) < 1e-6 * float(exact.norm())


def test_a_gradient_whose_squares_are_beyond_float32_is_made_anew():
    source, target = (1e17 * standardised(x) for x in samples(300, 300, 64))
    assert errors(losses.mmd_loss, source, target)[1] < 1e-6


@pytest.mark.parametrize(("n", "m"), [(64, 300), (600, 700)])
def test_rows_that_repeat_in_the_target_alone_are_seen(n, m):
    source, _ = samples(n, m, 40)
    for target in (torch.full((m, 40), 0.3), one_hot(samples(m, 1, 40)[0])):
        assert errors(losses.mmd_loss, source * 0.2, target)[1] < 1e-6
        assert errors(losses.mmd_loss, target, source * 0.2)[1] < 1e-6


@pytest.mark.parametrize("rows", [8, 600])
def test_equal_rows_have_no_gradient_however_large_the_scale_of_the_loss(rows):
    """Such as a gradient scaler's, where values are not read."""
    source, target = torch.zeros(rows, 3, requires_grad=True), torch.zeros(rows, 3)
    scales = torch.tensor([1.0, 65536.0])
    (gradient,) = torch.autograd.grad(losses.mmd_loss(source, target), source, scales, is_grads_batched=True)
    assert torch.equal(gradient, torch.zeros(2, rows, 3))
