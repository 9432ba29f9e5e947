"""The global generators of torch, numpy and Python: seeded, kept and restored together."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed all global generators; numpy's and Python's for recipes and backbones that draw from them."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


def randomness() -> dict[str, Any]:
    """The state of all global generators, in types that ``torch.load(weights_only=True)`` reads."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],  # type: ignore[no-untyped-call]
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "python": random.getstate(),
    }


def restore(state: Mapping[str, Any]) -> None:
    """Put the global generators back into a state that :func:`randomness` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])


@contextlib.contextmanager
def kept_randomness() -> Iterator[None]:
    """Leave the global generators as they were before.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> with kept_randomness():
        ...     first = torch.rand(())
        >>> bool(torch.rand(()) == first)
        True
    """
    before = randomness()
    try:
        yield
    finally:
        restore(before)
