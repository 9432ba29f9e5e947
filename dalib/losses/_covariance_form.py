r"""The squared Frobenius distance of two covariances, over four times their size: the engine of CORAL.

.. math::
    4 d^2 V = \Bigl\| \sum_i u_i z_i z_i^\top - \sum_j v_j z_j z_j^\top \Bigr\|_F^2
      = \| Z^\top Q Z \|_F^2 = \sum_{ij} q_i q_j (z_i \cdot z_j)^2

with the rows :math:`Z` of both domains, each domain centred by its weights, and :math:`q = (u, -v)`. The middle form needs
a matrix of d x d, the right one of (n + m) x (n + m): the smaller one is made. The gradient :math:`\tfrac{1}{d^2} Q Z (Z^\top
Q Z) = \tfrac{1}{d^2} (Q Z Z^\top Q) Z` is a product of what the value has made; that of the means within :math:`Z` vanishes.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from dalib.losses._piled import piled
from dalib.losses._raised_to_zero import raised_to_zero


def covariance_form(
    source: Tensor, target: Tensor, source_weights: Tensor, target_weights: Tensor, *, even: bool = False
) -> Tensor:
    """The value :math:`V`, differentiable in everything.

    Args:
        source: Shape ``(n, d)``.
        target: Shape ``(m, d)``.
        source_weights: What each source row counts in its covariance, shape ``(n,)``, with a positive sum.
        target_weights: Same for the target rows, shape ``(m,)``.
        even: Whether all rows of a domain count the same, which spares a copy of the rows.

    Returns:
        Scalar tensor, not negative; exactly zero for equal samples where d x d is formed.

    Example:
        >>> ones = torch.ones(2)
        >>> source = torch.tensor([[1.0], [-1.0]])
        >>> covariance_form(source, 2 * source, ones, ones)  # (2 - 8)^2 / 4
        tensor(9.)
    """
    inputs = (source, target, source_weights, target_weights)
    if torch.compiler.is_compiling():
        return raised_to_zero(_value(*inputs))
    value: Tensor = _CovarianceForm.apply(*inputs, even)[0]  # type: ignore[no-untyped-call]
    return value


class _CovarianceForm(torch.autograd.Function):
    """The value leaves behind two factors whose product is the gradient of the rows."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, ...]:  # unnamed: torch binds the names anew in every call
        source, target, u, v, even = arguments
        wrapped = any(torch._C._functorch.is_functorch_wrapped_tensor(x) for x in arguments[:4])
        rows = (_centred if wrapped else _centred_in_place)(source, target, u, v)
        value, left, right = _value_and_factors(rows, u, v, even)
        return value.clamp_min(0), left, right  # below zero only by rounding

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.even = inputs[-1]
        ctx.save_for_backward(*inputs[:-1], *output[1:])

    @staticmethod
    def backward(ctx: Any, of_value: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if of_value is None:
            return None, None, None, None, None
        *inputs, left, right = ctx.saved_tensors
        if torch.is_grad_enabled() or any(ctx.needs_input_grad[2:]):
            # A second derivative may follow, or the rare gradient of the weights: through the graph of the value.
            gradients: tuple[Tensor, ...] = torch.func.vjp(_value, *inputs)[1](of_value)
            return *gradients, None
        factor = 4 * of_value
        n, m = (len(each) for each in inputs[:2])
        if ctx.even and n + m > right.shape[1]:  # the weights are still to come
            u, v = (weights[0] / (2 * right.shape[1]) for weights in inputs[2:])
            return left[:n] @ (factor * u * right), left[n:] @ (-factor * v * right), None, None, None
        of_rows = (factor * left) @ right if left.numel() < right.numel() else left @ (factor * right)
        return *of_rows.split_with_sizes([n, m]), None, None, None


# Looked up by torch in every call; without this it is made anew each time, at a tenth of the time of a small batch.
_CovarianceForm.forward.__signature__ = inspect.signature(_CovarianceForm.forward)  # type: ignore[attr-defined]


def _value(source: Tensor, target: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The value by operations that autograd, ``torch.func`` and the compiler can take apart."""
    return _value_and_factors(_centred(source, target, u, v), u, v)[0]


def _value_and_factors(rows: Tensor, u: Tensor, v: Tensor, even: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The value of centred rows, and two matrices whose product is a quarter of their gradient.

    Where covariances of ``even`` weights are made, these are still to be multiplied into it.
    """
    n, d = len(u), rows.shape[1]
    if even and len(rows) > d:
        u, v = u[0] / (2 * d), v[0] / (2 * d)
        right = u * (rows[:n].mT @ rows[:n]) - v * (rows[n:].mT @ rows[n:])
        return right.square().sum(), rows, right
    weights = torch.cat([u, -v]) / (2 * d)  # here a number costs least
    if len(rows) <= d:
        products = rows @ rows.mT
        left = weights.unsqueeze(1) * products * weights
        return (left * products).sum(), left, rows
    left = weights.unsqueeze(1) * rows
    # Two products: of equal samples their difference is exactly zero.
    right = left[:n].mT @ rows[:n] + left[n:].mT @ rows[n:]
    return right.square().sum(), left, right


def _centred(source: Tensor, target: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The rows of both domains, each minus the weighted mean of its domain.

    Twice: far from zero the first mean is rounded; the mean of what it leaves is not.
    """
    parts = []
    for part, weights in ((source, u), (target, v)):
        shares = (weights / weights.sum()).unsqueeze(0)
        once = part - (shares @ part).detach()
        parts.append(once - shares @ once)
    return torch.cat(parts)


def _centred_in_place(source: Tensor, target: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """What :func:`_centred` makes, with one copy of the rows, outside of any graph."""
    rows = piled([source, target])
    for part, weights in ((rows[: len(source)], u), (rows[len(source) :], v)):
        shares = (weights / weights.sum()).unsqueeze(0)
        for _ in range(2):
            part.sub_(shares @ part)
    return rows
