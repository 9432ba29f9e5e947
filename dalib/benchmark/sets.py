"""The data sets of the command line, each with the protocol that suits it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalib.benchmark.backbone import Backbone
from dalib.data import DomainSet, TensorInputs, duplicates


@dataclass(frozen=True)
class NamedSet:
    """A data set that ``dalib run`` knows.

    Args:
        about: One line for ``dalib list``.
        read: ``(root, lists) -> DomainSet``.
        needs_root: What ``--root`` must be, or an empty string for a set that needs none.
        protocol: What of the protocol differs from the default.
        seeds: Number of seeds unless ``--seeds`` is given.
        pairs: What ``--pairs`` is unless it is given; ``None`` for all.
        methods: Methods that are run by default beyond the usual ones.
    """

    about: str
    read: Callable[[Path | None, Path | None], DomainSet]
    needs_root: str = ""
    protocol: Callable[[], Mapping[str, Any]] = field(default=dict)
    seeds: int = 3
    pairs: str | None = None
    methods: Sequence[str] = ()


def _pictograms(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import pictograms

    return pictograms()


def _small_cnn() -> Mapping[str, Any]:
    """A small network from scratch, so its rate is the full one."""
    from dalib.training.backbones import small_cnn

    return {"backbone": Backbone("small_cnn", small_cnn), "backbone_factor": 1.0}


def _few_steps() -> Mapping[str, Any]:
    return {**_small_cnn(), "steps": 300}


def _digits(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import digits

    return digits(_given(root), size=32, channels=3)


def _wisdm(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import wisdm

    nine = {name: range(first, first + 9) for name, first in zip("abcd", range(1, 37, 9), strict=True)}
    return wisdm(_given(root), groups=nine)


def _by_name(reader: str) -> Callable[[Path | None, Path | None], DomainSet]:
    """The reader of dalib.data of that name, looked up when it is needed."""

    def read(root: Path | None, lists: Path | None) -> DomainSet:
        from dalib import data

        found: Callable[[Path], DomainSet] = getattr(data, reader)
        return found(_given(root))

    return read


def _features(root: Path | None, lists: Path | None) -> DomainSet:
    from dalib.data import feature_file, table_file

    path = _given(root)
    return table_file(path) if path.suffix.lower() in (".csv", ".parquet") else feature_file(path)


def _list(root: Path | None, lists: Path | None) -> DomainSet:
    if lists is None:
        raise ValueError("--lists must be given for the set list: a folder of <domain>_list.txt or <domain>.txt")
    files = (path for path in sorted(lists.glob("*.txt")) if not path.name.startswith("."))
    found = {path.stem.removesuffix("_list"): path for path in files}
    if not found:
        raise ValueError(f"--lists must be a folder of <domain>_list.txt or <domain>.txt, got none in {str(lists)!r}")
    from dalib.data import image_list

    return image_list(found, root=_given(root))


def _given(root: Path | None) -> Path:
    assert root is not None  # read_set checked it
    return root


def _images(about: str, reader: str, *, pairs: str | None = None) -> NamedSet:
    return NamedSet(about, _by_name(reader), needs_root="the image folder or a file of features", pairs=pairs)


SETS: Mapping[str, NamedSet] = {
    "pictograms": NamedSet(
        "built in: 31 drawn objects in three acquisition styles; needs no files, ranks no method for real data",
        _pictograms,
        protocol=_few_steps,
        seeds=1,
        methods=("target_supervised",),
    ),
    "office31": _images("Office-31: 3 domains, 31 classes; images or features", "office31"),
    "office_home": _images("Office-Home: 4 domains, 65 classes; images or features", "office_home"),
    "office_caltech10": _images("Office-Caltech10: 4 domains, 10 classes; images or features", "office_caltech10"),
    "visda2017": _images("VisDA-2017: rendered to real, 12 classes; images or features", "visda2017", pairs="T-V"),
    "domainnet": _images("DomainNet: 6 domains, 345 classes; images and lists, or features", "domainnet"),
    "domainnet126": _images("DomainNet-126: 4 domains, 126 classes; images and lists, or features", "domainnet126"),
    "image_clef_da": _images("ImageCLEF-DA: 3 domains, 12 classes; images or features", "image_clef_da"),
    "pacs": _images("PACS: 4 domains, 7 classes; images or features", "pacs"),
    "adaptiope": _images("Adaptiope: 3 domains, 123 classes; images or features", "adaptiope"),
    "office_caltech_surf": NamedSet(
        "Office-Caltech10 as SURF features, z-scored in each domain",
        _by_name("office_caltech_surf"),
        needs_root="the folder of the *_SURF_L10.mat files",
    ),
    "digits": NamedSet(
        "USPS and MNIST as images of 32 x 32; a small network from scratch",
        _digits,
        needs_root="the folder of usps.h5 and MNIST's *-ubyte files",
        protocol=_small_cnn,
    ),
    "digits_jda": NamedSet(
        "USPS and MNIST as 256 grey values, rows of length one",
        _by_name("digits_jda"),
        needs_root="the file USPS_vs_MNIST.mat",
    ),
    "amazon_reviews": NamedSet(
        "Amazon reviews as 400 features, z-scored in each domain",
        _by_name("amazon_reviews"),
        needs_root="the folder of the *_400.mat files",
    ),
    "wisdm": NamedSet(
        "WISDM: movements of 36 people in four groups of nine, 43 features, z-scored in each domain",
        _wisdm,
        needs_root="the file WISDM_ar_v1.1_transformed.arff",
    ),
    "features": NamedSet(
        "your features: .npz or .mat with <domain>_x, <domain>_y, classes; .csv or .parquet with domain, label",
        _features,
        needs_root="the file of features",
    ),
    "folder": NamedSet(
        "your images: <domain>/<class>/* or <domain>/images/<class>/*",
        _by_name("image_folder"),
        needs_root="the image folder",
    ),
    "list": NamedSet("your images named by lists: one 'path label' a line", _list, needs_root="the image folder"),
}


def named_set(name: str) -> NamedSet:
    """The set that ``name`` means.

    Raises:
        ValueError: If there is none; the nearest names are given.

    Example:
        >>> named_set("office")
        Traceback (most recent call last):
        ...
        ValueError: SET must be one of pictograms, office31, ..., got 'office'; nearest: office31...
    """
    if name not in SETS:
        raise ValueError(f"SET must be one of {', '.join(SETS)}, got {name!r}{nearest(name, SETS)}")
    return SETS[name]


def read_set(name: str, root: Path | None, lists: Path | None = None, *, option: str = "--root") -> DomainSet:
    """Read a set of the command line; ``option`` is what errors call the root.

    Raises:
        ValueError: If ``--root`` is missing, leads nowhere, or is given for a set without files; or ``--lists`` is
            given for a set that is not read from lists.
    """
    chosen = named_set(name)
    if chosen.needs_root and root is None:
        raise ValueError(f"{option} must be {chosen.needs_root} for the set {name}, got none")
    if root is not None and not chosen.needs_root:
        raise ValueError(f"{option} must not be given for the set {name}, got {str(root)!r}; its rows are drawn")
    if root is not None and not root.exists():
        raise ValueError(f"{option} must be {chosen.needs_root}, got {str(root)!r}, which does not exist")
    if lists is not None and name != "list":
        raise ValueError(f"--lists must be given for the set list alone, got {str(lists)!r} for the set {name}")
    return chosen.read(root, lists)


def named_pairs(domain_set: DomainSet, pairs: str | None) -> list[tuple[str, str]] | None:
    """The pairs that ``--pairs`` names, such as ``A-W,W-A``; a domain's name may itself hold dashes and commas.

    Raises:
        ValueError: If a pair does not look like one, or can be read as two different ones.

    Example:
        >>> from dalib.data import pictograms
        >>> named_pairs(pictograms(rows=31), "C-D,desk-webcam")
        [('C', 'D'), ('desk', 'webcam')]
    """
    if pairs is None:
        return None
    known = {name.lower() for names in domain_set.short_names.items() for name in names}
    parts = pairs.split(",")
    readings = list(itertools.islice(_readings(parts, known), 2))
    if len(readings) > 1:
        ways = " and ".join("; ".join(each) for each in readings)
        raise ValueError(f"--pairs must be readable in one way, got {pairs!r}, which can mean {ways}")
    found = []
    # Where no reading names domains alone, the parts say what is wrong.
    for pair in readings[0] if readings else filter(None, map(str.strip, parts)):
        cuts = _cuts(pair)
        if not cuts:
            raise ValueError(f"--pairs must look like A-W,W-A (source-target), got {pair!r}")
        fitting = _fitting(pair, known)
        if len(fitting) > 1:
            ways = " and ".join(f"{source} to {target}" for source, target in fitting)
            raise ValueError(
                f"--pairs must name two domains each, got {pair!r}, which can mean {ways}; use short names"
            )
        found.append((fitting or cuts)[0])
    if not found:
        raise ValueError("--pairs must name at least one pair such as A-W, got none")
    return list(dict.fromkeys(found))


def _cuts(pair: str) -> list[tuple[str, str]]:
    """What is before and behind each dash of a text."""
    cuts = [(pair[:k].strip(), pair[k + 1 :].strip()) for k, sign in enumerate(pair) if sign == "-"]
    return [cut for cut in cuts if all(cut)]


def _readings(parts: Sequence[str], known: Collection[str]) -> Iterator[list[str]]:
    """The ways to join parts of a text that was cut at its commas to pairs of known domains."""
    if not parts:
        yield []
    elif not parts[0].strip():
        yield from _readings(parts[1:], known)
    commas = 2 * max(name.count(",") for name in known)
    for count in range(1, min(len(parts), commas + 1) + 1):
        pair = ",".join(parts[:count]).strip()
        if _fitting(pair, known):
            yield from ([pair, *rest] for rest in _readings(parts[count:], known))


def _fitting(pair: str, known: Collection[str]) -> list[tuple[str, str]]:
    return [cut for cut in _cuts(pair) if cut[0].lower() in known and cut[1].lower() in known]


def duplicate_note(domain_set: DomainSet, pairs: Sequence[tuple[str, str]]) -> str:
    """One sentence on rows that lie in two of the domains of ``pairs``, or nothing.

    Example:
        >>> from dalib.data import arrays
        >>> rows = [[1.0], [2.0]], ["mug", "pen"]
        >>> duplicate_note(arrays({"shop": rows, "desk": rows}), [("shop", "desk")])
        '2 groups of equal rows lie in two domains, the first: shop row 0, desk row 0; see dalib.data.duplicates'
    """
    used = {name for pair in pairs for name in pair}
    groups = duplicates(
        DomainSet(domain_set.name, {name: own for name, own in domain_set.domains.items() if name in used})
    )
    if not groups:
        return ""
    first = ", ".join(f"{name} row {row}" for name, row in groups[0][:4])
    count = f"{len(groups)} groups of equal rows lie" if len(groups) > 1 else "1 group of equal rows lies"
    return f"{count} in two domains, the first: {first}; see dalib.data.duplicates"


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
