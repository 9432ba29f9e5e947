import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalib import losses
from dalib.kernels import (
    Gaussian,
    Kernel,
    Laplacian,
    Linear,
    Polynomial,
    RationalQuadratic,
    chosen,
    mean_squared_distance,
    median_squared_distance,
    squared_distances,
)
from tests.strategies import two_samples

FIXED = {
    "gaussian": (Gaussian([0.7, 2.0]), lambda x, y: sum(math.exp(-d2(x, y) / (2 * b * b)) for b in (0.7, 2.0)) / 2),
    "laplacian": (Laplacian(1.5), lambda x, y: math.exp(-math.sqrt(d2(x, y)) / 1.5)),
    "rational": (
        RationalQuadratic(1.5, alpha=0.5),
        lambda x, y: (1 + d2(x, y) / (2 * 0.5 * 1.5**2)) ** -0.5,
    ),
    "linear": (Linear(), lambda x, y: dot(x, y)),
    "polynomial": (Polynomial(3, offset=0.5), lambda x, y: (dot(x, y) / len(x) + 0.5) ** 3),
    "sum": (Linear() + Laplacian(2.0), lambda x, y: dot(x, y) + math.exp(-math.sqrt(d2(x, y)) / 2)),
    "product": (Linear() * Gaussian([1.0]), lambda x, y: dot(x, y) * math.exp(-d2(x, y) / 2)),
}


def d2(x, y):
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("name", FIXED)
@given(samples=two_samples())
def test_the_definition_in_loops(name, samples):
    kernel, formula = FIXED[name]
    x, y = samples
    expected = torch.tensor([[formula(a, b) for b in y.tolist()] for a in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(kernel(x, y), expected, rtol=1e-9, atol=1e-6)  # sqrt of a rounded zero is 1e-7
    own = torch.tensor([[formula(a, b) for b in x.tolist()] for a in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(kernel(x), own, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", FIXED)
def test_stacks_of_matrices_are_matrices_one_by_one(name):
    gram = FIXED[name][0].at(torch.randn(3, 2))
    x, y = torch.randn(4, 3, 2, dtype=torch.float64), torch.randn(4, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(gram(x, y), torch.stack([gram(*each) for each in zip(x, y, strict=True)]))


@pytest.mark.parametrize("name", FIXED)
def test_kernels_are_positive_semidefinite_and_can_be_pickled(name):
    kernel = pickle.loads(pickle.dumps(FIXED[name][0]))
    values = kernel(torch.randn(8, 3, dtype=torch.float64))
    assert torch.linalg.eigvalsh(values).min() > -1e-9 * values.abs().max()


@pytest.mark.parametrize("rule", [mean_squared_distance, median_squared_distance])
@pytest.mark.parametrize("kernel", [Gaussian, Laplacian, RationalQuadratic])
def test_a_rule_gives_the_bandwidth(kernel, rule):
    rows = torch.randn(9, 3, dtype=torch.float64)
    width = float(rule(rows, None)) ** 0.5
    fixed = Gaussian([width]) if kernel is Gaussian else kernel(width)
    by_rule = Gaussian(rule=rule, scales=(1.0,)) if kernel is Gaussian else kernel(rule=rule)
    torch.testing.assert_close(by_rule(rows), fixed(rows))


@given(two_samples(min_rows=2, max_rows=9))
def test_the_median_of_all_pairs(samples):
    x = samples[0]
    pairs = sorted(d2(a, b) for i, a in enumerate(x.tolist()) for b in x.tolist()[:i])
    assert median_squared_distance(x).item() == pytest.approx(pairs[(len(pairs) - 1) // 2], abs=1e-9)


def test_a_pair_counts_the_product_of_its_weights():
    rows = torch.tensor([[0.0], [1.0], [3.0]])  # distances 1 (weight 1), 9 (weight 5) and 4 (weight 5)
    assert median_squared_distance(rows, torch.tensor([1.0, 1.0, 5.0])) == 4
    assert median_squared_distance(rows, torch.tensor([5.0, 1.0, 5.0])) == 9  # weights 5, 25, 5


@given(st.floats(0, 1e4))
def test_distances_far_from_zero_keep_their_digits(shift):
    rows = torch.tensor([[0.0, 0.5], [2.0, 0.0]]) + torch.tensor(shift).round()
    torch.testing.assert_close(squared_distances(rows)[0, 1], torch.tensor(4.25), rtol=1e-6, atol=0)
    assert squared_distances(rows, rows).diagonal().max() < 1e-5


@pytest.mark.parametrize(
    "kernel", [Gaussian(), Laplacian(), RationalQuadratic(), Gaussian(rule=median_squared_distance)]
)
def test_equal_rows_have_a_kernel_of_one_and_no_nan_gradient(kernel):
    rows = torch.ones(4, 3, requires_grad=True)
    values = kernel(rows)
    torch.testing.assert_close(values, torch.ones(4, 4))
    values.sum().backward()
    torch.testing.assert_close(rows.grad, torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Gaussian([-1.0]), ValueError, r"bandwidths must be positive and finite, got \[-1.0\]"),
        (lambda: Gaussian([]), ValueError, "bandwidths must be a sequence of at least one number"),
        (lambda: Gaussian(scales=()), ValueError, "scales must be a sequence of at least one number"),
        (lambda: Gaussian(scales=(0.0,)), ValueError, "scales must be positive"),
        (lambda: Laplacian(0.0), ValueError, "bandwidth must be positive"),
        (lambda: Laplacian("wide"), TypeError, "bandwidth must be a number, got str"),
        (lambda: RationalQuadratic(alpha=-1.0), ValueError, "alpha must be positive"),
        (lambda: Polynomial(0), ValueError, "degree must be at least 1, got 0"),
        (lambda: Polynomial(offset=-1.0), ValueError, "offset must be finite and not negative, got -1"),
        (lambda: Polynomial(2, "a"), TypeError, "offset must be a number, got str"),
        (lambda: Gaussian(rule="median"), TypeError, "rule must be a function of rows and weights, got str"),
        (lambda: Laplacian(rule="median"), TypeError, "rule must be a function of rows and weights, got str"),
        (lambda: Gaussian(scales=2.0), TypeError, "scales must be a sequence of numbers, got float"),
        (lambda: Gaussian() + 1, TypeError, "second must be a dalib.kernels.Kernel, got int"),
        (lambda: Gaussian() * 2.0, TypeError, "second must be a dalib.kernels.Kernel, got float"),
        (lambda: chosen("rbf", None), TypeError, "kernel must be a dalib.kernels.Kernel, got str"),
        (lambda: chosen(Linear(), [1.0]), ValueError, "bandwidths must be left out when kernel is given"),
        (lambda: Kernel()(torch.ones(1, 1)), TypeError, "Kernel must define at"),
    ],
)
def test_errors_say_what_was_expected(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("of_numpy", "plain"),
    [
        (Gaussian(np.array([0.5, 2.0], dtype=np.float32)), Gaussian([0.5, 2.0])),
        (Gaussian(scales=np.array([0.5, 2.0], dtype=np.float32)), Gaussian(scales=(0.5, 2.0))),
        (Laplacian(np.float32(1.5)), Laplacian(1.5)),
        (Laplacian(np.int64(2)), Laplacian(2)),
        (RationalQuadratic(np.float32(1.5), alpha=np.float16(0.5)), RationalQuadratic(1.5, alpha=0.5)),
        (Polynomial(np.int64(2), np.float32(0.5)), Polynomial(2, 0.5)),
    ],
)
def test_scalars_of_numpy_are_numbers(of_numpy, plain):
    rows = torch.randn(4, 3)
    torch.testing.assert_close(of_numpy(rows), plain(rows), rtol=0, atol=0)


@pytest.mark.parametrize("kernel", [Gaussian, Laplacian, RationalQuadratic])
@pytest.mark.parametrize("name", ["mmd_loss", "unbiased_mmd_loss", "block_mmd_loss", "linear_time_mmd_loss"])
def test_no_gradient_flows_through_a_rule(name, kernel):
    source, target = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 3, dtype=torch.float64) + 0.5
    source.requires_grad_()
    found = [
        getattr(losses, name)(source, target, kernel=kernel(rule=rule))
        for rule in (lambda rows, weights: 2 * rows.var(), lambda rows, weights: 2 * rows.detach().var())
    ]
    torch.testing.assert_close(*(torch.autograd.grad(value, source)[0] for value in found))


def test_a_kernel_of_listed_scales_can_be_a_key():
    assert {Gaussian(scales=[1.0, 2.0]): 1}[Gaussian(scales=(1.0, 2.0))] == 1


def test_a_kernel_is_written_and_compared_by_its_options():
    assert repr(Gaussian([1, 2])) == "Gaussian(bandwidths=(1.0, 2.0))"
    assert repr(Gaussian(scales=[1])) == "Gaussian(rule=mean_squared_distance, scales=(1,))"
    assert repr(Laplacian(rule=median_squared_distance)) == "Laplacian(rule=median_squared_distance)"
    assert repr(RationalQuadratic(2.0, alpha=0.5)) == "RationalQuadratic(bandwidth=2.0, alpha=0.5)"
    assert repr(losses.MMDLoss()) == f"MMDLoss(kernel={Gaussian()})"
    of_tensor = Gaussian(torch.tensor([1.0, 2.0]))
    assert of_tensor == Gaussian([1.0, 2.0])
    assert hash(of_tensor) == hash(Gaussian([1.0, 2.0]))
    assert of_tensor != Gaussian([1.0])
    assert Gaussian() != Gaussian(rule=median_squared_distance)
    assert Gaussian() != Laplacian()


def test_a_kernel_keeps_the_bandwidths_it_was_given():
    given = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = losses.MMDLoss(bandwidths=2 * given)
    rows = torch.randn(4, 2), torch.randn(3, 2)
    expected = loss(*rows).item()
    with torch.no_grad():
        given.fill_(100)
    assert loss(*rows).item() == copy.deepcopy(loss)(*rows).item() == expected
    widths = torch.tensor([1.0])
    kernel = Gaussian(widths)
    widths[0] = -1
    assert kernel == Gaussian([1.0])


@pytest.mark.parametrize("kernel", [Gaussian, Laplacian])
@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (2.0, TypeError, "rule must return a tensor, got float"),
        (torch.ones(2), ValueError, r"rule must return a scalar tensor, got shape \(2,\)"),
        (torch.tensor(-1.0), ValueError, "rule must return a squared distance that is not negative, got -1"),
        (torch.tensor(math.nan), ValueError, "rule must return a squared distance that is not negative, got nan"),
    ],
)
def test_what_a_rule_returns_is_checked(kernel, made, error, message):
    with pytest.raises(error, match=message):
        losses.mmd_loss(torch.randn(4, 2), torch.randn(3, 2), kernel=kernel(rule=lambda rows, weights: made))
    with pytest.raises(ValueError, match="source must be finite"):
        losses.mmd_loss(torch.full((4, 2), math.nan), torch.randn(3, 2), kernel=kernel())


def test_truth_is_no_bandwidth():
    with pytest.raises(TypeError, match="bandwidths must be a sequence of numbers"):
        Gaussian([True])
