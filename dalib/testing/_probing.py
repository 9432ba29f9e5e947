"""What the checks of a game ask of its losses: whom they teach, and whether they fall where the features follow them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def taught(loss: Tensor) -> list[nn.Parameter]:
    """The parameters that a backward pass of ``loss`` would give a gradient.

    Example:
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> taught(layer(torch.ones(3, 2, requires_grad=True)).sum())[0] is layer.weight
        True
    """
    parameters: list[nn.Parameter] = []
    met, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in met:
            continue
        met.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, nn.Parameter):
            parameters.append(leaf)
        waiting += [parent for parent, _ in node.next_functions]
    return parameters


def rise(value: Callable[[list[Tensor]], float], at: list[Tensor], gradients: list[Tensor], size: float) -> float:
    """How much ``value`` grows from ``size`` behind a point to ``size`` ahead of it, along some gradients.

    The gradients are scaled together, the longest to length one. ``value`` must draw the same dropout at each call.

    Example:
        >>> at = [torch.zeros(1), torch.zeros(1)]
        >>> rise(lambda x: float(x[0] + 2 * x[1]), at, [torch.tensor([2.0]), torch.tensor([1.0])], 0.5)
        2.0
    """
    longest = max(max(gradient.norm().item() for gradient in gradients), 1e-12)
    ahead, behind = (
        value([x.detach() + sign * size / longest * gradient for x, gradient in zip(at, gradients, strict=True)])
        for sign in (1, -1)
    )
    return ahead - behind
