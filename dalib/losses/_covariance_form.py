r"""The squared Frobenius distance of two covariances: the engine of CORAL.

.. math::
    V = \| C_s - C_t \|_F^2 = \Bigl\| \sum_i q_i z_i z_i^\top \Bigr\|_F^2 = \sum_{ij} q_i q_j (z_i \cdot z_j)^2

with the centred rows :math:`z` of both domains and :math:`q = a / (1 - \sum a^2)` for source, minus the same for target
rows. The middle form needs a matrix of d x d, the right one of (n + m) x (n + m): the smaller one is made. The gradient
:math:`4 q_i (C_s - C_t) z_i` is made together with the value; that of the mean within :math:`z` vanishes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def covariance_form(source: Tensor, target: Tensor, source_shares: Tensor, target_shares: Tensor) -> Tensor:
    """The value :math:`V`, differentiable in everything.

    Args:
        source: Shape ``(n, d)``, ``n >= 2``.
        target: Shape ``(m, d)``, ``m >= 2``.
        source_shares: Weights of the source rows that sum to one, shape ``(n,)``, at least two positive.
        target_shares: Same for the target rows, shape ``(m,)``.

    Returns:
        Scalar tensor, not negative; exactly zero for equal samples where d x d is formed.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> source = torch.tensor([[1.0], [-1.0]])
        >>> covariance_form(source, 2 * source, half, half)  # (2 - 8)^2
        tensor(36.)
    """
    inputs = (source, target, source_shares, target_shares)
    if torch.compiler.is_compiling():
        return _value_and_gradients(*inputs, False, False)[0]
    wrapped = any(map(torch._C._functorch.is_functorch_wrapped_tensor, inputs))
    wants_rows = torch.is_grad_enabled() and (wrapped or source.requires_grad or target.requires_grad)
    wants_shares = torch.is_grad_enabled() and (wrapped or source_shares.requires_grad or target_shares.requires_grad)
    value: Tensor = _CovarianceForm.apply(*inputs, wants_rows, wants_shares)[0]  # type: ignore[no-untyped-call]
    return value


class _CovarianceForm(torch.autograd.Function):
    """The gradient is made together with the value, so going backward is a scaling."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        source: Tensor, target: Tensor, a: Tensor, b: Tensor, wants_rows: bool, wants_shares: bool
    ) -> tuple[Tensor, ...]:
        return _value_and_gradients(source, target, a, b, wants_rows, wants_shares)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.wants_rows, ctx.wants_shares = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, of_value: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if of_value is None:
            return (None,) * 6
        source, target, a, b, *gradients = ctx.saved_tensors
        wants = (ctx.wants_rows, ctx.wants_shares)
        if torch.is_grad_enabled():  # a second derivative may follow: the gradient must itself be in the graph
            gradients = list(_value_and_gradients(source, target, a, b, *wants)[1:])
        made = [of_value * gradient if wants[i // 2] else None for i, gradient in enumerate(gradients)]
        return (*made, None, None)


def _value_and_gradients(
    source: Tensor, target: Tensor, a: Tensor, b: Tensor, wants_rows: bool, wants_shares: bool
) -> tuple[Tensor, ...]:
    """Value, gradients of the rows and of the shares, by operations that can be differentiated once more."""
    divisors = (1 - a @ a, 1 - b @ b)
    q = (a / divisors[0], -b / divisors[1])
    made = _from_products if len(a) + len(b) < source.shape[1] else _from_covariances
    value, of_source, of_target, *of_q = made(source, target, a, b, *q, wants_rows, wants_shares)
    if wants_shares:  # through q = a / (1 - a @ a)
        signs = (1, -1)
        of_q = [
            sign * (of_each + 2 * share * (share @ of_each) / divisor) / divisor
            for sign, of_each, share, divisor in zip(signs, of_q, (a, b), divisors, strict=True)
        ]
    return value, of_source, of_target, *of_q


def _from_products(
    source: Tensor, target: Tensor, a: Tensor, b: Tensor, q: Tensor, r: Tensor, wants_rows: bool, wants_shares: bool
) -> tuple[Tensor, ...]:
    """Through the inner products of all rows; what rounding leaves of the means is taken out of the products."""
    rows = torch.cat([source - source.detach().mean(dim=0), target - target.detach().mean(dim=0)])
    weights = torch.cat([q, r])
    zeros_a, zeros_b = torch.zeros_like(a), torch.zeros_like(b)
    means = torch.stack([torch.cat([a, zeros_b]), torch.cat([zeros_a, b])])  # (2, N): the mean of each domain
    own = torch.stack([torch.cat([zeros_a + 1, zeros_b]), torch.cat([zeros_a, zeros_b + 1])], dim=1)  # (N, 2)
    products = rows @ rows.mT
    products = products - own @ (means @ products)
    products = products - (products @ means.mT) @ own.mT
    quadratic = products.square() @ weights
    value = (weights * quadratic).sum().clamp_min(0)  # below zero only by rounding
    of_rows = torch.zeros_like(rows)
    if wants_rows:
        turn = 4 * weights[:, None] * products * weights  # its sums over a domain are zero, so uncentred rows will do
        of_rows = turn @ rows
    of_q = 2 * quadratic
    return value, of_rows[: len(a)], of_rows[len(a) :], of_q[: len(a)], of_q[len(a) :]


def _from_covariances(
    source: Tensor, target: Tensor, a: Tensor, b: Tensor, q: Tensor, r: Tensor, wants_rows: bool, wants_shares: bool
) -> tuple[Tensor, ...]:
    """Through the difference of the covariances."""
    x, y = _centred(source, a), _centred(target, b)
    weighted = (q[:, None] * x, r[:, None] * y)
    difference = weighted[0].mT @ x + weighted[1].mT @ y
    value = difference.square().sum()
    of_rows = (torch.zeros_like(source), torch.zeros_like(target))
    of_q = (torch.zeros_like(a), torch.zeros_like(b))
    if wants_rows:
        of_rows = (weighted[0] @ (4 * difference), weighted[1] @ (4 * difference))
    if wants_shares:
        of_q = (2 * ((x @ difference) * x).sum(dim=1), 2 * ((y @ difference) * y).sum(dim=1))
    return value, *of_rows, *of_q


def _centred(rows: Tensor, row_shares: Tensor) -> Tensor:
    rows = rows - rows.detach().mean(dim=0)  # far from zero this mean is rounded; the mean of what it leaves is not
    return rows - row_shares @ rows
