"""The engine of CORAL: through covariances and through inner products, against plain autograd of the definition."""

import pytest
import torch

from dalib.losses._covariance_form import covariance_form


def plain(source, target, source_weights, target_weights):
    def covariance(rows, weights):
        centred = rows - (weights @ rows) / weights.sum()
        return torch.einsum("i,ij,ik->jk", weights, centred, centred)

    difference = covariance(source, source_weights) - covariance(target, target_weights)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


@pytest.fixture(params=[3, 9, 20], ids=["covariances", "as many rows as columns", "inner products"])
def inputs(request):
    generator = torch.Generator().manual_seed(request.param)
    rows = [torch.randn(n, request.param, dtype=torch.float64, generator=generator) for n in (4, 5)]
    weights = [torch.rand(n, dtype=torch.float64, generator=generator) + 0.1 for n in (4, 5)]
    return [x.requires_grad_() for x in (*rows, *weights)]


def test_value_and_gradients_are_those_of_plain_autograd(inputs):
    value, expected = covariance_form(*inputs), plain(*inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, inputs), torch.autograd.grad(expected, inputs))


def test_the_gradient_of_the_rows_alone(inputs):
    rows, weights = inputs[:2], [x.detach() for x in inputs[2:]]
    got = torch.autograd.grad(3 * covariance_form(*rows, *weights), rows)
    torch.testing.assert_close(got, torch.autograd.grad(3 * plain(*rows, *weights), rows))
    (only,) = torch.autograd.grad(covariance_form(rows[0].detach(), rows[1], *weights), rows[1])
    torch.testing.assert_close(3 * only, got[1])


def test_even_weights_are_those_of_each_row(inputs):
    rows = inputs[:2]
    weights = [torch.full_like(x.detach(), value) for x, value in zip(inputs[2:], (0.7, 0.2), strict=True)]
    value, expected = covariance_form(*rows, *weights, even=True), plain(*rows, *weights)
    torch.testing.assert_close(value, expected)
    gradients = torch.autograd.grad(3 * expected, rows)
    torch.testing.assert_close(torch.autograd.grad(3 * value, rows), gradients)
    (only,) = torch.autograd.grad(covariance_form(rows[0].detach(), rows[1], *weights, even=True), rows[1])
    torch.testing.assert_close(3 * only, gradients[1])
    assert torch.autograd.gradgradcheck(lambda *x: covariance_form(*x, *weights, even=True), rows, fast_mode=True)
    assert covariance_form(rows[0], rows[0], weights[0], weights[0], even=True) == 0
    weights = [x.requires_grad_() for x in weights]
    got = torch.autograd.grad(covariance_form(*rows, *weights, even=True), weights)
    torch.testing.assert_close(got, torch.autograd.grad(plain(*rows, *weights), weights))


def test_first_and_second_derivatives(inputs):
    assert torch.autograd.gradcheck(covariance_form, inputs)
    assert torch.autograd.gradgradcheck(covariance_form, inputs, fast_mode=True)


def test_func_transforms(inputs):
    source, target, *weights = (x.detach() for x in inputs)

    def function(rows):
        return covariance_form(rows, target, *weights)

    stack = torch.stack([source, 2 * source, source.flip(0)])
    torch.testing.assert_close(torch.func.vmap(function)(stack), torch.stack([function(x) for x in stack]))
    gradients = torch.stack([torch.autograd.grad(function(x.requires_grad_()), x)[0] for x in stack.unbind()])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(function))(stack), gradients)


@pytest.mark.parametrize("columns", [16, 2048])
def test_float32_keeps_its_digits_also_far_from_zero(columns):
    generator = torch.Generator().manual_seed(0)
    rows = [scale * torch.randn(32, columns, generator=generator) + 1e4 for scale in (1.0, 1.2)]
    weights = torch.full((32,), 1 / 31)

    def value_and_gradient(dtype):
        inputs = [x.to(dtype).requires_grad_() for x in rows]
        value = covariance_form(*inputs, weights.to(dtype), weights.to(dtype))
        return value.item(), torch.cat(torch.autograd.grad(value, inputs)).double()

    (value, gradient), (exact, exact_gradient) = value_and_gradient(torch.float32), value_and_gradient(torch.float64)
    assert value == pytest.approx(exact, rel=2e-6)
    assert (gradient - exact_gradient).norm() < 2e-6 * exact_gradient.norm()
