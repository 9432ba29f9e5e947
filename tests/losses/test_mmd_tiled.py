"""The MMD of large samples, through the public function."""

import math

import pytest
import torch

from dalib import mmd_loss
from dalib.kernels import Gaussian, Laplacian, Polynomial, median_squared_distance


def definition(source, target, bandwidths=None, a=None, b=None):
    rows = torch.cat([source, target]).double()
    n, m = len(source), len(target)
    raw = [torch.ones(n) if a is None else a, torch.ones(m) if b is None else b]
    signs = torch.cat([raw[0] / raw[0].sum(), -raw[1] / raw[1].sum()]).double()
    d2 = (rows[:, None] - rows[None]).square().sum(-1)
    if bandwidths is None:
        pile = torch.cat(raw).double()
        mean = (pile @ d2.detach() @ pile) / pile.sum() ** 2
        variances = [scale * mean for scale in (0.25, 0.5, 1, 2, 4)]
    else:
        variances = [width**2 for width in bandwidths]
    return signs @ sum(torch.exp(-d2 / (2 * v)) for v in variances) @ signs / len(variances)


@pytest.mark.parametrize("bandwidths", [None, [3.0], [2.0, 3.0]])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_float32_keeps_six_digits(bandwidths, weighted, shift):
    source, target = torch.randn(150, 16) + shift, torch.randn(230, 16) + shift + 0.5
    weights = {"source_weights": torch.rand(150), "target_weights": torch.rand(230)} if weighted else {}
    rows = [x.clone().requires_grad_() for x in (source, target)]
    value = mmd_loss(*rows, bandwidths=bandwidths, **weights)
    doubles = [x.double().requires_grad_() for x in (source, target)]
    expected = definition(*doubles, bandwidths, *weights.values())
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    for got, want in zip(torch.autograd.grad(value, rows), torch.autograd.grad(expected, doubles), strict=True):
        assert (got - want).norm() < 1e-6 * want.norm()


def test_double_backward_of_a_gradient_penalty():
    source, target = torch.randn(120, 3, dtype=torch.float64), torch.randn(100, 3, dtype=torch.float64) + 1

    def penalty(function):
        x = source.clone().requires_grad_()
        gradient = torch.autograd.grad(function(x, target), x, create_graph=True)[0]
        return torch.autograd.grad(gradient.square().sum(), x)[0]

    def fixed(x, y):
        return mmd_loss(x, y, bandwidths=[1.0, 2.0])

    torch.testing.assert_close(penalty(fixed), penalty(lambda x, y: definition(x, y, [1.0, 2.0])))


def test_two_large_samples_in_closed_form():
    quantiles = torch.special.ndtri((torch.arange(3000, dtype=torch.float64) + 0.5) / 3000)[:, None]
    assert mmd_loss(quantiles, quantiles + 1, bandwidths=[1.0]).item() == pytest.approx(0.177267635, abs=1e-4)


def test_gradient_flows_into_the_weights():
    source, target = torch.randn(4, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    weights = torch.rand(4, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: mmd_loss(source, target, bandwidths=[1.0], source_weights=w), weights)


def test_another_kernel():
    value = mmd_loss(torch.zeros(2, 1), torch.ones(3, 1), kernel=Laplacian(1.0))
    assert value.item() == pytest.approx(2 - 2 / math.e)
    source, target = torch.randn(8, 2), torch.randn(5, 2)
    one = mmd_loss(source, target, kernel=Polynomial(1, offset=0.0)).item()  # the means, divided by the width
    assert one == pytest.approx((source.mean(0) - target.mean(0)).square().sum().item() / 2, rel=1e-5)


def test_the_median_rule_takes_the_bandwidth_of_the_pooled_sample():
    source, target = torch.randn(8, 2), torch.randn(5, 2) + 1
    width = median_squared_distance(torch.cat([source, target])).sqrt().item()
    value = mmd_loss(source, target, kernel=Gaussian(rule=median_squared_distance, scales=(1.0,)))
    torch.testing.assert_close(value, mmd_loss(source, target, bandwidths=[width]))


def test_errors_of_the_kernel():
    rows = torch.ones(2, 2)
    with pytest.raises(ValueError, match="bandwidths must be left out when kernel is given"):
        mmd_loss(rows, rows, bandwidths=[1.0], kernel=Laplacian())
    with pytest.raises(TypeError, match=r"kernel must be a dalib.kernels.Kernel, got str"):
        mmd_loss(rows, rows, kernel="rbf")
