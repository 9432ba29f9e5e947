"""One run on several processes whose losses see the rows of all of them.

A discrepancy of 32 rows on each of four devices is not the discrepancy of 128 rows: its estimate is noisier and biased
otherwise. Here the outputs are gathered before the objective, so a term has the value and the gradient that one process
with the whole batch would give it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dalib.outputs import Batch, Outputs
from dalib.training.step import Forward, outputs_of, separate_forward

Module = TypeVar("Module", bound=nn.Module)


class _Gather(torch.autograd.Function):
    """Rows of all processes, in the order of their ranks; see :func:`gathered` for the gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        rank = dist.get_rank()
        ctx.first, ctx.last = sum(counts[:rank]), sum(counts[: rank + 1])
        return _all_rows(rows, counts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.first : ctx.last] * dist.get_world_size(), None


def _all_rows(rows: Tensor, counts: list[int]) -> Tensor:
    longest = max(counts)
    padded = rows.new_zeros((longest, *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def gathered(outputs: Outputs) -> Outputs:
    r"""The outputs of all processes, in the order of their ranks, on every one of them.

    A loss of them is the same number everywhere. Its gradient comes back to each process for its own rows, times the
    number of processes: ``DistributedDataParallel`` averages gradients over the processes, so the model gets

    .. math:: \frac1W \sum_r W\, \frac{\partial L}{\partial f_r} \frac{\partial f_r}{\partial \theta}

    which is the gradient of the one global loss. Processes may have different numbers of rows. Without a process group,
    or with one process, the outputs are returned as they are.

    Args:
        outputs: Outputs of this process. Labels, weights and index must be there on all processes or on none.

    Returns:
        The outputs of all rows; the head is this process's own.

    Example:
        >>> outputs = Outputs(torch.zeros(2, 3), torch.zeros(2, 4))
        >>> gathered(outputs) is outputs  # one process
        True
    """
    if not _several():
        return outputs
    counts = [torch.zeros(1, dtype=torch.int64, device=outputs.features.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(outputs.features)], device=outputs.features.device))
    rows = [int(count) for count in counts]
    plain: dict[str, Any] = {
        name: _all_rows(part, rows)
        for name in ("labels", "weights", "index")
        if (part := getattr(outputs, name)) is not None
    }
    return dataclasses.replace(
        outputs,
        features=_Gather.apply(outputs.features, rows),  # type: ignore[no-untyped-call]
        logits=_Gather.apply(outputs.logits, rows),  # type: ignore[no-untyped-call]
        **plain,
    )


@dataclasses.dataclass(frozen=True)
class GlobalForward:
    """A forward mode whose outputs are those of all processes: ``gradient_step(..., forward=GlobalForward())``.

    Give every process its own rows (``torch.utils.data.DistributedSampler``), wrap the model in
    ``DistributedDataParallel(model, broadcast_buffers=False)`` and the objective in :func:`synchronised`. Batch norm in the
    model normalises by the rows of its process, unless it is converted by ``torch.nn.SyncBatchNorm``.

    Args:
        forward: How the model sees two batches: :func:`~dalib.training.separate_forward` or
            :func:`~dalib.training.joint_forward`.

    Example:
        >>> from dalib.training import FeatureClassifier
        >>> model = FeatureClassifier(torch.nn.Identity(), 3, width=2)
        >>> source, target = GlobalForward()(model, Batch(torch.zeros(4, 2)), Batch(torch.ones(5, 2)))
        >>> len(source.features), len(target.features)
        (4, 5)
    """

    forward: Forward = separate_forward

    def __call__(self, model: nn.Module, source: Batch, target: Batch) -> tuple[Outputs, Outputs]:
        """Forward this process's rows, gather those of all."""
        first, second = self.forward(model, source, target)
        return gathered(first), gathered(second)

    def alone(self, model: nn.Module, source: Batch) -> Outputs:
        """The source rows of all processes by themselves, for an objective that does not need the target."""
        return gathered(outputs_of(model, source))


def synchronised(module: Module) -> Module:
    """Keep the parameters of a module the same on all processes: for objectives, whose adversaries learn too.

    Parameters and buffers, the steps of schedules among them, are taken over from the process of rank 0 now, and every
    gradient is averaged over the processes when it is complete. A model that is trained by an objective with phases (MCD,
    ADDA) is synchronised by this instead of ``DistributedDataParallel``, which waits for the gradients of all parameters at
    once. With :class:`GlobalForward` the gradients are equal already, up to the order of sums
    and to what a module draws for itself, such as dropout.

    Args:
        module: The module, such as an ``Objective``, on its device, after its state has been loaded.

    Returns:
        The same module. Without a process group it is left as it is.

    Example:
        >>> discriminator = torch.nn.Linear(2, 1)
        >>> synchronised(discriminator) is discriminator
        True
    """
    if _several():
        for part in (*module.parameters(), *module.buffers()):
            dist.broadcast(part.data, src=0)
        module.load_state_dict(module.state_dict())  # schedules count their steps on the host, too
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(_averaged)  # type: ignore[no-untyped-call]
    return module


def _averaged(parameter: Tensor) -> None:
    assert parameter.grad is not None  # the hook runs when it has been accumulated
    dist.all_reduce(parameter.grad)
    parameter.grad /= dist.get_world_size()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
