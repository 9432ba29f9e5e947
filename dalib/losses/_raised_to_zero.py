"""Values that nothing but rounding makes negative."""

from __future__ import annotations

from torch import Tensor


def raised_to_zero(value: Tensor) -> Tensor:
    """The value, or zero where it is below; with its gradient also there, which a clamp would make zero.

    Example:
        >>> x = torch.tensor(-1e-8, requires_grad=True)
        >>> value = raised_to_zero(x)
        >>> value.item(), torch.autograd.grad(value, x)
        (0.0, (tensor(1.),))
    """
    return value + (value.clamp_min(0) - value).detach()
