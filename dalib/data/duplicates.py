"""Rows that occur more than once in a set of domains."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch

from dalib.data.domain import DomainSet, Inputs, TensorInputs
from dalib.data.images import ImageFiles


def duplicates(domain_set: DomainSet, *, across_domains: bool = True) -> list[list[tuple[str, int]]]:
    """Groups of rows with the same content: the same bytes of a picture's file, or the same numbers.

    A row that lies in both domains of a pair is a target row whose label the source tells. That is no error, for sets
    are what was published (the Amazon reviews have one such pair, Office-31 has 49 groups, each within one domain), but
    a result should say it. Equal rows that were z-scored within their domains differ afterwards and are not found: read
    the reviews with ``normalize=False`` to see theirs.

    Args:
        domain_set: The domains.
        across_domains: Only groups that lie in two domains or more. Default True; False adds those within one.

    Returns:
        The groups, each a list of ``(domain, row)``, in the order of their first row.

    Raises:
        TypeError: If ``domain_set`` is no :class:`~dalib.data.DomainSet`.

    Example:
        >>> from dalib.data import arrays
        >>> both = arrays({"shop": (np.eye(2), ["mug", "pen"]), "desk": (np.eye(2)[[1, 1]], ["pen", "mug"])})
        >>> duplicates(both)
        [[('shop', 1), ('desk', 0), ('desk', 1)]]
    """
    if not isinstance(domain_set, DomainSet):
        raise TypeError(f"domain_set must be a DomainSet, got {type(domain_set).__name__}")
    groups: dict[str, list[tuple[str, int]]] = {}
    for name, domain in domain_set.domains.items():
        for row, content in enumerate(_contents(domain.inputs)):
            groups.setdefault(content, []).append((name, row))
    least = 2 if across_domains else 1
    return [group for group in groups.values() if len(group) > 1 and len({name for name, _ in group}) >= least]


def _contents(inputs: Inputs) -> Iterator[str]:
    """A hash of every row."""
    if isinstance(inputs, ImageFiles):
        yield from inputs.digests()
        return
    block = len(inputs) if isinstance(inputs, TensorInputs) and not inputs.tensor[0].numel() > 1e5 else 64
    for start in range(0, len(inputs), block):
        rows = inputs.load(np.arange(start, min(start + block, len(inputs)))) + 0.0  # -0 is 0
        content = rows.reshape(len(rows), -1).contiguous().view(torch.uint8).numpy()
        yield from (hashlib.sha256(row.tobytes()).hexdigest() for row in content)
