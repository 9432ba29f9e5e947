"""A backbone as a benchmark needs it: a name, how to build it, and what its images pass through."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dalib.benchmark import identity
from dalib.benchmark.code import instructions
from dalib.benchmark.randomness import kept_randomness, seed_everything
from dalib.benchmark.variables import is_own, module_attributes

if TYPE_CHECKING:
    from dalib.data.transforms import ImageTransform


@dataclass(frozen=True)
class Backbone:
    """A network below the bottleneck, with the normalisation that its weights expect.

    Args:
        name: What records call it.
        build: Makes the module; called once a run, after seeding. Module-level functions and ``functools.partial`` of
            them can be sent to other processes.
        transform: What image files pass through on their way; ``None`` for feature vectors and images in memory.
        source: SHA-256 of the file that defines the network, where it is one of the user's.
        note: One sentence for people, for example on a normalisation that was assumed.

    Raises:
        TypeError: If ``name`` is no string or ``build`` cannot be called; in ``weights_hash`` and ``describe``, if it makes
            no module.

    Example:
        >>> Backbone("identity", nn.Identity).build()
        Identity()
    """

    name: str
    build: Callable[[], nn.Module]
    transform: ImageTransform | None = None
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, got {type(self.name).__name__}")
        if not callable(self.build):
            raise TypeError(f"build must be a function that makes the module, got {type(self.build).__name__}")

    def weights_hash(self) -> str:
        """SHA-256 of the initial weights, built under a fixed seed: pretrained ones are those of the run.

        Of the user's own classes what they hold beside the weights and what they do counts, too.
        """
        return self._weights_hash

    @functools.cached_property
    def _weights_hash(self) -> str:
        with kept_randomness():
            seed_everything(0)
            module = self.build()
        if not isinstance(module, nn.Module):
            raise TypeError(f"backbone {self.name} must build a torch.nn.Module, got {type(module).__name__}")
        digest = hashlib.sha256(repr(module).encode())
        for name, entry in module.state_dict().items():
            digest.update(
                name.encode() + entry.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
        own = {name: type(part) for name, part in module.named_modules() if is_own(type(part))}
        if own:
            held = {name: entry for name, entry in module_attributes(module).items() if name in own}
            done = [] if self.source else sorted({instructions(kind) for kind in own.values()})
            digest.update(json.dumps([identity.describe(held), done], sort_keys=True).encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What records keep of it and run keys depend on."""
        return {
            "name": self.name,
            "weights": self.weights_hash(),
            "transform": None if self.transform is None else identity.describe(dataclasses.asdict(self.transform)),
            "source": self.source,
            "note": self.note,
        }


IDENTITY = Backbone("identity", nn.Identity)
"""For feature vectors: the bottleneck sees them as they are."""
