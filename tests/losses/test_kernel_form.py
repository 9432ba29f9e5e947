"""The engine of the MMD losses: dense and tiled, value, gradient and second derivative, against plain autograd."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib.kernels import Gaussian, gaussian_kernel, squared_distances
from dalib.losses import _gaussian_scales, _kernel_form, _kernel_tiles
from dalib.losses._gaussian_scales import doublings
from dalib.losses._kernel_form import kernel_form, kernel_times
from dalib.losses.mmd import mmd_loss

VARIANCES = {
    "one": (2.0,),
    "two": (1.0, 2.0),
    "doublings": (1.0, 4.0, 2.0),
    "with a gap": (8.0, 1.0),
    "some twice": (2.0, 2.0, 1.0),
    "others": (1.0, 3.0, 2.0),
}


def plain(layers, variances, weights, mixing):
    kernel = 1
    for rows, each in zip(layers, variances, strict=True):
        kernel = kernel * gaussian_kernel(squared_distances(rows), torch.tensor(each, dtype=rows.dtype))
    return ((weights @ mixing @ weights.mT) * kernel).sum()


def engine(layers, variances, weights, mixing):
    return kernel_form(
        [rows.split([4, len(rows) - 4]) for rows in layers],
        [Gaussian([v**0.5 for v in each]) for each in variances],
        weights,
        mixing,
    )


def problem(rows=13, columns=2, layers=1):
    generator = torch.Generator().manual_seed(1)
    made = [torch.randn(rows, 3 + i, dtype=torch.float64, generator=generator).requires_grad_() for i in range(layers)]
    weights = torch.randn(rows, columns, dtype=torch.float64, generator=generator).requires_grad_()
    mixing = torch.randn(columns, columns, dtype=torch.float64, generator=generator)
    return made, weights, mixing + mixing.mT


@pytest.fixture(params=["dense", "tiled"])
def path(request, monkeypatch):
    if request.param == "tiled":
        monkeypatch.setattr(_kernel_form, "TILE_ABOVE", 0)
        monkeypatch.setitem(_kernel_tiles._TILE, "cpu", 4)  # 13 rows: uneven tiles, and more than one
        monkeypatch.setitem(_kernel_tiles._PANEL, "cpu", 6)  # uneven panels, too
    return request.param


@pytest.fixture(params=[1.0, math.log(2)], ids=["powers of e", "powers of two"])
def base(request, monkeypatch):
    monkeypatch.setattr(_gaussian_scales, "_LOGARITHM", request.param)


@pytest.mark.parametrize("kinds", [[k] for k in VARIANCES] + [["one", "others"], ["one", "doublings", "one"]])
@pytest.mark.parametrize("columns", [1, 3])
def test_value_and_gradients_are_those_of_plain_autograd(path, base, kinds, columns):
    layers, weights, mixing = problem(columns=columns, layers=len(kinds))
    variances = [VARIANCES[kind] for kind in kinds]
    expected = plain(layers, variances, weights, mixing)
    value = engine(layers, variances, weights, mixing)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value, [weights, *layers]), torch.autograd.grad(expected, [weights, *layers])
    )


@pytest.mark.parametrize("kinds", [[k] for k in VARIANCES] + [["one", "doublings", "others"]])
@pytest.mark.parametrize("levels", [((0.25,), (-0.1,)), ((0.25, 0.5, 0.0), (-0.1, 0.0, 0.3))])
@pytest.mark.parametrize("lengths", [(4, 9), (1, 12), (5, 1)])
def test_equal_weights_of_each_part_may_be_given_as_numbers(path, base, kinds, levels, lengths):
    layers, _, _ = problem(rows=sum(lengths), layers=len(kinds))
    variances = [VARIANCES[kind] for kind in kinds]
    weights = torch.tensor([level for level, n in zip(levels, lengths, strict=True) for _ in range(n)]).double()
    expected = plain(layers, variances, weights, torch.eye(len(levels[0]), dtype=torch.float64))
    kernels = [Gaussian([v**0.5 for v in each]) for each in variances]
    value = kernel_form([rows.split(lengths) for rows in layers], kernels, weights, levels=levels)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, layers), torch.autograd.grad(expected, layers))
    with torch.no_grad():
        value = kernel_form([rows.split(lengths) for rows in layers], kernels, weights, levels=levels)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("lengths", [(1,), (513,), (512, 512), (700, 1), (1, 1), (1025, 511, 2049)])
def test_tiles_cover_the_upper_triangle_once_and_no_block_crosses_parts(lengths):
    grid = _kernel_tiles._Grid(lengths, "cpu")
    seen = torch.zeros(sum(lengths), sum(lengths), dtype=torch.int8)
    blocks = grid.blocks(torch.arange(sum(lengths)))
    part = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    for i, j in (tile for _, _, tiles in grid.runs for tile in tiles):
        assert len(blocks[i]) <= 512
        assert {grid.part[i]} >= set(part[blocks[i]].tolist())
        seen[blocks[i][:, None], blocks[j]] += 1
        if i != j:
            seen[blocks[j][:, None], blocks[i]] += 1
    assert (seen == 1).all()


def test_rounding_makes_no_kernel_larger_than_one(path):
    generator = torch.Generator().manual_seed(3)
    places = 1000 * torch.randn(5, 64, generator=generator)
    source, target = (places + 1e-3 * torch.randn(5, 64, generator=generator) for _ in range(2))
    source.requires_grad_()
    value = mmd_loss(source, target, bandwidths=[0.01])  # the squares are 1e8, whose rounding is beyond 0.01 squared
    assert 0 <= value <= 2
    assert torch.autograd.grad(value, source)[0].isfinite().all()


def test_no_gradient_is_made_when_none_is_wanted(path):
    layers, weights, mixing = problem()
    with torch.no_grad():
        value = engine(layers, [VARIANCES["doublings"]], weights, mixing)
    assert not value.requires_grad
    torch.testing.assert_close(value, plain(layers, [VARIANCES["doublings"]], weights, mixing).detach())


def test_first_and_second_derivatives(path):
    layers, weights, mixing = problem(rows=5)

    def function(rows, row_weights):
        return engine([rows], [VARIANCES["doublings"]], row_weights, mixing)

    assert torch.autograd.gradcheck(function, (layers[0], weights))
    assert torch.autograd.gradgradcheck(function, (layers[0], weights))


def test_a_second_derivative_of_many_rows_is_refused(path, monkeypatch):
    monkeypatch.setattr(_kernel_form, "TWICE_DIFFERENTIABLE_UP_TO", 12)
    layers, weights, mixing = problem(rows=13)
    inputs = [weights, *layers]
    first = torch.autograd.grad(engine(layers, [VARIANCES["one"]], weights, mixing), inputs)
    again = torch.autograd.grad(engine(layers, [VARIANCES["one"]], weights, mixing), inputs, create_graph=True)
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    for gradient in again:
        with pytest.raises(RuntimeError, match="offered up to 12 rows, got 13; use fewer rows"):
            torch.autograd.grad(gradient.sum(), layers, retain_graph=True)


def test_a_compiler_leaves_many_rows_to_the_tiles(path, monkeypatch):
    monkeypatch.setattr(_kernel_form, "TWICE_DIFFERENTIABLE_UP_TO", 12)
    layers, weights, mixing = problem(rows=13)
    graphs = []

    def counted(graph, _):
        graphs.append(graph)
        return graph

    def loss(rows):
        return 3 * engine([2 * rows], [VARIANCES["doublings"]], weights, mixing)

    torch.compiler.reset()
    value, expected = torch.compile(loss, backend=counted)(layers[0]), loss(layers[0])
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(value, layers), torch.autograd.grad(expected, layers), rtol=0, atol=0
    )
    assert not any("addmm" in str(graph.code) or "exp2" in str(graph.code) for graph in graphs)


@pytest.mark.parametrize("limit", [4096, 12])  # with 13 rows the second derivative is refused, the first is not
def test_func_transforms(path, limit, monkeypatch):
    monkeypatch.setattr(_kernel_form, "TWICE_DIFFERENTIABLE_UP_TO", limit)
    layers, weights, mixing = problem()
    rows = layers[0].detach()

    def function(x):
        return engine([x], [VARIANCES["doublings"]], weights.detach(), mixing)

    stack = torch.stack([rows, 2 * rows, rows.flip(0)])
    torch.testing.assert_close(torch.func.vmap(function)(stack), torch.stack([function(x) for x in stack]))
    gradients = torch.func.vmap(torch.func.grad(function))(stack)
    torch.testing.assert_close(gradients, torch.stack([torch.func.grad(function)(x) for x in stack]))
    inputs = rows.clone().requires_grad_()
    torch.testing.assert_close(torch.func.grad(function)(rows), torch.autograd.grad(function(inputs), inputs)[0])


def test_tiles_of_the_real_size_keep_six_digits_in_float32_also_far_from_zero():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(700, 32, generator=generator)
    rows[300:] += 0.5
    rows = rows + 1e4  # what is compared is the distance of the rounded rows: float32 holds 1e-3 here
    weights = torch.cat([torch.full((300,), 1 / 300), torch.full((400,), -1 / 400)])

    def gradient_and_value(dtype):
        x = rows.to(dtype).requires_grad_()
        value = kernel_form([x.split([1, len(x) - 1])], [Gaussian()], weights.to(dtype))
        return torch.autograd.grad(value, x)[0].double(), value.item()

    (single, value), (double, exact) = gradient_and_value(torch.float32), gradient_and_value(torch.float64)
    assert value == pytest.approx(exact, abs=1e-6)
    assert (single - double).norm() < 1e-6 * double.norm()


@pytest.mark.parametrize("columns", [1, 2])
def test_the_gradient_of_tiles_keeps_the_digits_of_float32_where_it_nearly_cancels(columns):
    """The weights of nearly equal samples cancel in sums over all rows, term by term in a product or pairwise in a sum."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1600, 64, generator=generator)
    rows[800:] = 1.2 * rows[800:] + 0.3
    half = torch.full((800, 1), 1 / 800)
    weights = torch.cat([half, -half]) if columns == 1 else torch.block_diag(half, half)
    mixing = None if columns == 1 else torch.tensor([[1.0, -1.0], [-1.0, 1.0]])

    def gradient(dtype):
        x = rows.to(dtype).requires_grad_()
        mixed = None if mixing is None else mixing.to(dtype)
        value = kernel_form([x.split([800, 800])], [Gaussian()], weights.to(dtype), mixed)
        return torch.autograd.grad(value, x)[0].double()

    single, double = gradient(torch.float32), gradient(torch.float64)
    assert (single - double).norm() < 3e-7 * double.norm()


def test_memory_does_not_hold_the_matrix_of_all_pairs():
    rows = torch.randn(6000, 4, requires_grad=True)  # all pairs: 144 MB
    weights = torch.full((6000,), 1 / 6000)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kernel_form([rows.split([1, len(rows) - 1])], [Gaussian([1.0])], weights).backward()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert 0 < peak < 16e6


def test_kernel_times_is_the_matrix_product(path):
    rows, columns = torch.randn(9, 2, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    kernel = Gaussian([1.0, 3.0])
    torch.testing.assert_close(kernel_times(rows, kernel, columns), kernel(rows) @ columns)


@pytest.mark.parametrize("bandwidths", [[1e-5], [1e-5, 1.0], [1e-5, 30.0]])  # the widest one, and one beside it
def test_no_kernel_of_a_tile_is_above_one_where_rounding_makes_a_distance_negative(bandwidths):
    rows = torch.randn(300, 16, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    kernels = kernel_times(rows, Gaussian(bandwidths), torch.eye(600))
    assert kernels.max() == 1
    if len(bandwidths) == 1:
        assert kernels.min() == 0


@given(
    st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 16.0, 3.0]), min_size=1, max_size=5),
    st.sampled_from([0, 512]),
    st.booleans(),
)
def test_any_set_of_bandwidths_gives_the_mean_of_its_kernels(widths, tile_above, wants_gradient):
    generator = torch.Generator().manual_seed(2)
    source, target = (torch.randn(n, 3, dtype=torch.float64, generator=generator) for n in (5, 7))
    source.requires_grad_(wants_gradient)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_kernel_form, "TILE_ABOVE", tile_above)
        value = mmd_loss(source, target, bandwidths=widths)
    expected = torch.stack([mmd_loss(source, target, bandwidths=[width]) for width in widths]).mean()
    torch.testing.assert_close(value, expected)
    if wants_gradient:
        torch.testing.assert_close(torch.autograd.grad(value, source), torch.autograd.grad(expected, source))


def test_powers_of_e_are_for_processors_of_intel(monkeypatch):
    for known, fast in (({"cpu_name": "Intel Xeon"}, True), ({"cpu_name": "AMD Zen 3"}, False), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        assert _gaussian_scales._has_fast_powers_of_e() == fast
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not _gaussian_scales._has_fast_powers_of_e()


@pytest.mark.parametrize(
    ("variances", "expected"),
    [
        ((1.0,), (1,)),
        ((1.0, 1.0, 0.5), None),  # one exponential makes each ratio once
        ((0.25, 4.0, 1.0), (1, 4, 16)),
        ((1.0, 2.0001), None),
        ((1.0, 2.0**12), None),
    ],
)
def test_doublings(variances, expected):
    assert doublings(variances) == expected


@pytest.mark.parametrize("rows", [20, 600])
def test_batched_gradients_are_those_of_each(rows):
    """Torch batches them by other means than ``torch.func``, and no value of such tensors can be read."""
    x, y = (torch.randn(rows, 24, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    x.requires_grad_()
    value = kernel_form(
        [(x, y)], [Gaussian()], torch.cat([torch.full((rows,), 1 / rows), torch.full((rows,), -1 / rows)])
    )
    (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
    (both,) = torch.autograd.grad(value, x, torch.tensor([1.0, 2.0]), is_grads_batched=True)
    torch.testing.assert_close(both, torch.stack([gradient, 2 * gradient]), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rows_have_the_second_derivative_of_the_definition(dtype):
    """Their distances are zero up to rounding, on either side of it."""
    rows = torch.eye(6)[torch.randn(64, 6, generator=torch.Generator().manual_seed(0)).argmax(dim=1)]

    def defined(source, target):
        both = torch.cat([source, target])
        squares = (both[:, None] - both).square().sum(dim=2)
        signs = torch.cat([torch.full((33,), 1 / 33), torch.full((31,), -1 / 31)]).double()
        return signs @ torch.exp(-squares / 2) @ signs

    def second(function, source, target):
        source = source.clone().requires_grad_()
        slope = torch.autograd.grad(function(source, target), source, create_graph=True)[0]
        return torch.autograd.grad(slope.square().sum(), source)[0]

    found = second(lambda s, t: mmd_loss(s, t, bandwidths=[1.0]), *rows.to(dtype).split([33, 31]))
    exact = second(defined, *rows.double().split([33, 31]))
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5 * float(exact.norm()))
