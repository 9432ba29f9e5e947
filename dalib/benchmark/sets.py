"""The data sets of the command line, each with the protocol that suits it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalib.benchmark.backbone import Backbone
from dalib.data import DomainSet, TensorInputs


@dataclass(frozen=True)
class NamedSet:
    """A data set that ``dalib run`` knows.

    Args:
        about: One line for ``dalib list``.
        read: ``(root, lists) -> DomainSet``.
        needs_root: What ``--root`` must be, or an empty string for a set that needs none.
        protocol: What of the protocol differs from the default.
        seeds: Number of seeds unless ``--seeds`` is given.
        methods: Methods that are run by default beyond the usual ones.
    """

    about: str
    read: Callable[[Path | None, Path | None], DomainSet]
    needs_root: str = ""
    protocol: Callable[[], Mapping[str, Any]] = field(default=dict)
    seeds: int = 3
    methods: Sequence[str] = ()


def _pictograms(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import pictograms

    return pictograms()


def _small_cnn() -> Mapping[str, Any]:
    """A small network from scratch, so its rate is the full one."""
    from dalib.training.backbones import small_cnn

    return {"backbone": Backbone("small_cnn", small_cnn), "backbone_factor": 1.0, "steps": 300}


def _office31(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import office31

    return office31(_given(root))


def _features(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import feature_file

    return feature_file(_given(root))


def _folder(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import image_folder

    return image_folder(_given(root))


def _list(root: Path | None, lists: Path | None) -> DomainSet:
    if lists is None:
        raise ValueError("--lists must be given for the set list: a folder of <domain>_list.txt or <domain>.txt")
    found = {path.stem.removesuffix("_list"): path for path in sorted(lists.glob("*.txt"))}
    if not found:
        raise ValueError(f"--lists must be a folder of <domain>_list.txt or <domain>.txt, got none in {str(lists)!r}")
    from dalib.data import image_list

    return image_list(found, root=_given(root))


def _given(root: Path | None) -> Path:
    assert root is not None  # read_set checked it
    return root


SETS: Mapping[str, NamedSet] = {
    "pictograms": NamedSet(
        "built in: 31 drawn objects in three acquisition styles; needs no files, ranks no method for real data",
        _pictograms,
        protocol=_small_cnn,
        seeds=1,
        methods=("target_supervised",),
    ),
    "office31": NamedSet(
        "Office-31: images (with --backbone) or features of them, checked against the published counts",
        _office31,
        needs_root="the image folder or the .npz of features",
    ),
    "features": NamedSet("any feature file: <domain>_x, <domain>_y and classes", _features, needs_root="the .npz file"),
    "folder": NamedSet(
        "any images: <domain>/<class>/* or <domain>/images/<class>/*", _folder, needs_root="the image folder"
    ),
    "list": NamedSet("any images named by lists: one 'path label' a line", _list, needs_root="the image folder"),
}


def named_set(name: str) -> NamedSet:
    """The set that ``name`` means.

    Raises:
        ValueError: If there is none; the nearest names are given.

    Example:
        >>> named_set("office")
        Traceback (most recent call last):
        ...
        ValueError: SET must be one of pictograms, office31, features, folder, list, got 'office'; nearest: office31
    """
    if name not in SETS:
        raise ValueError(f"SET must be one of {', '.join(SETS)}, got {name!r}{nearest(name, SETS)}")
    return SETS[name]


def read_set(name: str, root: Path | None, lists: Path | None = None) -> DomainSet:
    """Read a set of the command line.

    Raises:
        ValueError: If ``--root`` is missing, leads nowhere, or is given for a set without files.
    """
    chosen = named_set(name)
    if chosen.needs_root and root is None:
        raise ValueError(f"--root must be {chosen.needs_root} for the set {name}, got none")
    if root is not None and not chosen.needs_root:
        raise ValueError(f"--root must not be given for the set {name}, got {str(root)!r}; its rows are drawn")
    if root is not None and not root.exists():
        raise ValueError(f"--root must be {chosen.needs_root}, got {str(root)!r}, which does not exist")
    return chosen.read(root, lists)


def holds_vectors(domain_set: DomainSet) -> bool:
    """Whether the rows are feature vectors, which need no backbone."""
    inputs = next(iter(domain_set.domains.values())).inputs
    return isinstance(inputs, TensorInputs) and inputs.tensor.ndim == 2


def nearest(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """The end of an error message that names what was perhaps meant.

    Example:
        >>> nearest("dan", ["dann", "control"]), nearest("xyz", ["dann"])
        ('; nearest: dann', '')
    """
    found = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(found)}" if found else ""
