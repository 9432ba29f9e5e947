"""The loop: pairs of batches in, mean losses out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from dalib import _checks
from dalib.objective import Losses
from dalib.outputs import Batch
from dalib.training.step import Step


def as_batch(item: Any) -> Batch:
    """A batch from what a loader yields.

    That may be a ``Batch``, inputs, ``(inputs, labels)``, ``(inputs, labels, weights)`` or a dictionary.
    Of a dictionary the keys ``labels``, ``weights`` and ``index`` are taken out; what is left is the model's input
    (its only value, if one is left under the name ``inputs``).

    Args:
        item: What the loader yields.

    Returns:
        The batch.

    Raises:
        TypeError: If it is none of these.

    Example:
        >>> as_batch((torch.zeros(2, 3), torch.tensor([0, 1]))).labels
        tensor([0, 1])
    """
    if isinstance(item, Batch):
        return item
    if isinstance(item, Tensor):
        return Batch(item)
    if isinstance(item, Mapping):
        rest = dict(item)
        about = {name: rest.pop(name, None) for name in ("labels", "weights", "index")}
        return Batch(rest["inputs"] if rest.keys() == {"inputs"} else rest, **about)
    if isinstance(item, list | tuple) and 1 <= len(item) <= 3:
        return Batch(*item)
    raise TypeError(
        f"a loader must yield Batch, inputs, (inputs, labels), (inputs, labels, weights) or a dictionary, got "
        f"{type(item).__name__}{f' of length {len(item)}' if isinstance(item, list | tuple) else ''}"
    )


def pair_batches(source: Iterable[Any], target: Iterable[Any]) -> Iterator[tuple[Batch, Batch]]:
    """Endless pairs of a source and a target batch; each loader starts again when it is used up.

    Target labels are dropped here, once, for every method.

    Args:
        source: A loader that can be iterated again, such as a ``DataLoader``; see :func:`as_batch` for what it yields.
        target: The same for the target domain. Its length may differ.

    Returns:
        An iterator without end.

    Raises:
        ValueError: If a loader yields nothing.

    Example:
        >>> source = [(torch.zeros(2, 1), torch.tensor([0, 1]))]
        >>> target = [torch.ones(3, 1), torch.ones(1, 1)]
        >>> pairs = pair_batches(source, target)
        >>> [len(next(pairs)[1].inputs) for _ in range(3)]
        [3, 1, 3]
    """
    for first, second in zip(_endless(source, "source"), _endless(target, "target"), strict=True):
        yield first, second._replace(labels=None)


def _endless(loader: Iterable[Any], name: str) -> Iterator[Batch]:
    while True:
        empty = True
        for item in loader:
            empty = False
            yield as_batch(item)
        if empty:
            raise ValueError(
                f"{name} must yield at least one batch each time it is iterated, got none; a generator is used up after one pass"
            )


def train(step: Step, pairs: Iterator[tuple[Batch, Batch]], *, steps: int) -> Losses:
    """Run ``steps`` training steps; call it again with the same iterator to go on.

    Args:
        step: What one step does: :func:`~dalib.training.gradient_step`, or any function of two batches, for methods with
            phases of their own.
        pairs: Pairs of batches, see :func:`pair_batches`.
        steps: Number of calls of ``step``, at least 1.

    Returns:
        The losses averaged over these steps, detached. A term that some steps lack, as in the two stages of ADDA, counts
        as zero in them, so that the terms sum to the total. Nothing is read back from the device.

    Raises:
        TypeError: If ``pairs`` is not an iterator.
        ValueError: If ``steps`` is below 1 or the pairs end early.

    Example:
        >>> step = lambda source, target: Losses(source.inputs.mean(), {"mean": source.inputs.mean()})
        >>> pairs = iter([(Batch(torch.ones(1)), Batch(torch.ones(1))), (Batch(torch.zeros(1)), Batch(torch.ones(1)))])
        >>> train(step, pairs, steps=2).total
        tensor(0.5000)
    """
    _checks.at_least(steps, 1, "steps")
    if not isinstance(pairs, Iterator):
        raise TypeError(
            f"pairs must be an iterator of pairs of batches, got {type(pairs).__name__}; build it by "
            f"pair_batches(source_loader, target_loader)"
        )
    total: Tensor | float = 0.0
    terms: dict[str, Tensor | float] = {}
    for done in range(steps):
        pair = next(pairs, None)
        if pair is None:
            raise ValueError(f"pairs must last for {steps} steps, got {done}; pair_batches(...) is endless")
        losses = step(*pair)
        total = total + losses.total
        for name, term in losses.terms.items():
            terms[name] = terms.get(name, 0.0) + term
    return Losses(total / steps, {name: term / steps for name, term in terms.items()})  # type: ignore[arg-type,misc]
