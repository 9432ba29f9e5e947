"""Batches of the rows of one domain, in an order that can be repeated and resumed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dalib import _checks
from dalib.data._given import float32
from dalib.data.domain import Inputs, TensorInputs
from dalib.outputs import Batch


def row_batches(
    inputs: Inputs,
    *,
    labels: ArrayLike | Tensor | None = None,
    weights: ArrayLike | Tensor | None = None,
    batch_size: int = 32,
    seed: int = 0,
    device: torch.device | str = "cpu",
    training: bool = True,
    part: tuple[int, int] = (0, 1),
) -> RowBatches:
    """Batches of ``inputs``; every ``iter()`` is one epoch, in an order that depends on ``seed`` and the epoch alone.

    In training the rows are shuffled, images are augmented, and the last incomplete batch is dropped, unless all rows
    are fewer than a batch: then an epoch is one batch of all rows. Otherwise the rows come in their order, all of them.

    Rows in memory are put on ``device`` once. Others are loaded ahead by a few threads; what is drawn for a batch
    depends on ``seed``, the epoch and the number of the batch, never on the timing of threads.

    Args:
        inputs: The rows.
        labels: Class indices, shape ``(n,)``. Default: batches without labels.
        weights: Non-negative numbers, shape ``(n,)``. Default: batches without weights.
        batch_size: Rows a batch.
        seed: Seed of order and augmentation, at least 0.
        device: Where the batches lie.
        training: Whether to shuffle, augment and drop the incomplete batch.
        part: ``(rank, processes)``: of every batch its own part alone, for a training on several processes; the parts of
            all, in order of rank, are the batch.

    Returns:
        The batches; ``len()`` is their number in an epoch.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If labels or weights are not one a row, or a number is out of range.

    Example:
        >>> rows = row_batches(TensorInputs(torch.arange(5.0)[:, None]), labels=[0, 1, 0, 1, 0], batch_size=2)
        >>> len(rows), [len(batch.labels) for batch in rows]
        (2, [2, 2])
        >>> first, second = [batch.index.tolist() for batch in rows], [batch.index.tolist() for batch in rows]
        >>> first == second  # two epochs, two orders
        False
    """
    if not isinstance(inputs, Inputs):
        raise TypeError(f"inputs must have the methods of dalib.data.Inputs, got {type(inputs).__name__}")
    if len(inputs) == 0:
        raise ValueError("inputs must have at least one row, got none")
    _checks.at_least(batch_size, 1, "batch_size")
    _checks.at_least(seed, 0, "seed")
    return RowBatches(
        inputs,
        _labels(labels, len(inputs)),
        _weights(weights, len(inputs)),
        batch_size=batch_size,
        seed=seed,
        device=torch.device(device),
        training=training,
        part=_part(part, len(inputs)),
    )


class RowBatches:
    """What :func:`row_batches` returns: iterate over it for one epoch, as often as you like.

    ``state_dict()`` is where the iterator stands that moved last. After ``load_state_dict()`` the next ``iter()``
    goes on from there, in the middle of an epoch too; every later one begins an epoch.

    Args:
        inputs: The rows.
        labels: Class indices, shape ``(n,)``, or ``None``.
        weights: One weight a row, shape ``(n,)``, or ``None``.
        batch_size: Rows a batch.
        seed: Seed of order and augmentation.
        device: Where the batches lie.
        training: Whether to shuffle, augment and drop the incomplete batch.
        part: Which part of every batch, and of how many.

    Example:
        >>> rows = row_batches(TensorInputs(torch.zeros(6, 1)), batch_size=2)
        >>> first = next(iter(rows))
        >>> rows.state_dict()
        {'epoch': 0, 'position': 1}
    """

    def __init__(
        self,
        inputs: Inputs,
        labels: Tensor | None,
        weights: Tensor | None,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        training: bool,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self._inputs = inputs
        self._stored = inputs.tensor.to(device) if isinstance(inputs, TensorInputs) else None
        self._labels = None if labels is None else labels.to(device)
        self._weights = None if weights is None else weights.to(device)
        self._batch_size = batch_size
        self._seed = seed
        self._device = device
        self._training = training
        self._part = part
        self._epoch, self._position = 0, 0
        self._goes_on = True

    def __len__(self) -> int:
        if self._training:
            return max(1, len(self._inputs) // self._batch_size)
        return -(-len(self._inputs) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if not self._goes_on:
            self._epoch, self._position = self._epoch + 1, 0
        self._goes_on = False
        return self._batches(self._epoch, self._position)

    def state_dict(self) -> dict[str, int]:
        """Epoch, and number of batches yielded in it."""
        if self._position == len(self):
            return {"epoch": self._epoch + 1, "position": 0}
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next ``iter()`` go on from ``state``.

        Raises:
            ValueError: If ``state`` is not a state of batches like these.
        """
        if set(state) != {"epoch", "position"}:
            raise ValueError(f"state must have the keys epoch and position, got {sorted(state)}")
        _checks.at_least(state["epoch"], 0, "epoch")
        _checks.at_least(state["position"], 0, "position")
        if state["position"] >= len(self):
            raise ValueError(
                f"position must be below the {len(self)} batches of an epoch, got {state['position']}; "
                "was the state saved with other rows or another batch_size?"
            )
        self._epoch, self._position = state["epoch"], state["position"]
        self._goes_on = True

    def _batches(self, epoch: int, position: int) -> Iterator[Batch]:
        order = self._order(epoch)
        first = position
        chunks = [order[k * self._batch_size : (k + 1) * self._batch_size] for k in range(first, len(self))]
        rank, processes = self._part
        chunks = [chunk.tensor_split(processes)[rank] for chunk in chunks]
        for number, (index, rows) in enumerate(self._loaded(epoch, first, chunks), start=first):
            self._epoch, self._position = epoch, number + 1
            yield Batch(
                rows,
                None if self._labels is None else self._labels.index_select(0, index),
                None if self._weights is None else self._weights.index_select(0, index),
                index,
            )

    def _order(self, epoch: int) -> Tensor:
        if not self._training:
            return torch.arange(len(self._inputs))
        return torch.randperm(len(self._inputs), generator=_generator(self._seed, epoch))

    def _loaded(self, epoch: int, first: int, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        if self._stored is not None:
            for index in chunks:
                moved = index.to(self._device)
                yield moved, self._stored.index_select(0, moved)
            return
        workers = min(8, os.cpu_count() or 1)
        waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="row_batches") as pool:
            try:
                for number, index in enumerate(chunks, start=first):
                    waiting.append((index, pool.submit(self._load, index, epoch, number)))
                    if len(waiting) > workers:
                        yield self._moved(*waiting.popleft())
                while waiting:
                    yield self._moved(*waiting.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, index: Tensor, epoch: int, number: int) -> Tensor:
        rank = self._part[:1] if self._part[0] else ()  # so that images of two parts are augmented differently
        generator = _generator(self._seed, epoch, number, *rank)
        return self._inputs.load(index, training=self._training, generator=generator)

    def _moved(self, index: Tensor, rows: Future[Tensor]) -> tuple[Tensor, Tensor]:
        return index.to(self._device), rows.result().to(self._device, non_blocking=True)


def _part(part: tuple[int, int], rows: int) -> tuple[int, int]:
    rank, processes = part
    if not 0 <= rank < processes <= rows:
        raise ValueError(f"part must be (rank, processes) with 0 <= rank < processes <= {rows} rows, got {part}")
    return rank, processes


def _generator(*numbers: int) -> torch.Generator:
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator().manual_seed(seed)


def _labels(labels: ArrayLike | Tensor | None, rows: int) -> Tensor | None:
    if labels is None:
        return None
    if not isinstance(labels, Tensor):
        array = np.asarray(labels)
        if array.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, got {array.dtype}")
        labels = torch.from_numpy(array.astype(np.int64))
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if labels.shape != (rows,):
        raise ValueError(f"labels must have shape ({rows},), one a row, got {tuple(labels.shape)}")
    return labels.detach().cpu().to(torch.int64)


def _weights(weights: ArrayLike | Tensor | None, rows: int) -> Tensor | None:
    if weights is None:
        return None
    tensor = float32(weights, "weights").clone()
    _checks.row_weights(tensor, torch.empty(rows, 0), "weights")
    return tensor
