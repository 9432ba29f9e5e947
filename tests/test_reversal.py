import pytest
import torch

from dalib import GradientReversal, linear_ramp, reverse_gradient


def test_identity_forward_and_reversed_backward():
    x = torch.randn(3, 2, requires_grad=True)
    y = reverse_gradient(x, 0.7)
    assert torch.equal(y, x)
    weights = torch.randn(3, 2)
    (y * weights).sum().backward()
    torch.testing.assert_close(x.grad, -0.7 * weights, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("strength", [0.0, 1e-3, 0.3, 0.46, 1.0, 10.0, -2.0])
def test_forward_is_exact_at_every_size(strength, dtype):
    x = (torch.randn(1000, dtype=torch.float64) * 10.0 ** torch.linspace(-30, 30, 1000)).to(dtype)
    x = x[torch.isfinite(x)].requires_grad_()
    for factor in (strength, torch.tensor(strength)):
        assert torch.equal(reverse_gradient(x, factor), x)


def test_the_strength_gets_no_gradient():
    strength = torch.tensor(0.5, requires_grad=True)
    x = torch.ones(2, requires_grad=True)
    reverse_gradient(x, strength).sum().backward()
    assert strength.grad is None


def test_strength_zero_stops_the_gradient():
    x = torch.ones(2, requires_grad=True)
    reverse_gradient(x, 0.0).sum().backward()
    assert torch.equal(x.grad, torch.zeros(2))


def test_twice_in_one_graph():
    x = torch.ones(2, requires_grad=True)
    (reverse_gradient(x, 1.0) + 3 * reverse_gradient(x, 0.5)).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((2,), -2.5))
    y = torch.ones(2, requires_grad=True)
    reverse_gradient(reverse_gradient(y, 2.0), 3.0).sum().backward()
    torch.testing.assert_close(y.grad, torch.full((2,), 6.0))


def test_func_transforms():
    gradient = torch.func.grad(lambda x: reverse_gradient(x, 0.5).square().sum())
    torch.testing.assert_close(gradient(torch.ones(2)), torch.full((2,), -1.0))
    torch.testing.assert_close(torch.func.vmap(gradient)(torch.ones(3, 2)), torch.full((3, 2), -1.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradient_has_the_dtype_of_the_input(dtype):
    x = torch.ones(2, dtype=dtype, requires_grad=True)
    GradientReversal(linear_ramp(2))(x).sum().backward()
    assert x.grad.dtype == dtype


def test_a_schedule_of_a_hundred_steps_compiles_at_most_two_graphs():
    graphs = 0

    def counting(graph, inputs):
        nonlocal graphs
        graphs += 1
        return graph

    reversal = GradientReversal(linear_ramp(100))
    compiled = torch.compile(reversal, backend=counting)
    for step in range(100):
        x = torch.ones(2, requires_grad=True)
        compiled(x).sum().backward()
        torch.testing.assert_close(x.grad, torch.full((2,), -step / 100))
        reversal.strength.advance()
    assert graphs <= 2


@pytest.mark.parametrize(
    ("x", "strength", "error", "message"),
    [
        (torch.arange(3), 1.0, TypeError, "x must have a floating-point dtype"),
        (torch.ones(3), float("nan"), ValueError, "strength must be finite, got nan"),
        (torch.ones(3), float("inf"), ValueError, "strength must be finite, got inf"),
        (torch.ones(3), "1", TypeError, "strength must be a number, got str"),
        (torch.ones(3), torch.ones(2, 3), ValueError, r"strength must be a number or a 0-d tensor, got shape \(2, 3\)"),
    ],
)
def test_what_cannot_be_reversed_is_refused(x, strength, error, message):
    with pytest.raises(error, match=message):
        reverse_gradient(x, strength)
