"""Domains from lists of images, one ``path label`` a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dalib.data.domain import Domain, DomainSet
from dalib.data.images import ImageFiles


def image_list(
    lists: Mapping[str, str | Path | Sequence[str | Path]],
    *,
    root: str | Path,
    classes: Sequence[str] | None = None,
    name: str = "image_list",
) -> DomainSet:
    """Read one list of images a domain, in the field's format: ``path label`` a line, the label being an index.

    A line is split at its last space or tab, so a path may hold spaces. Lists often carry the folder of another machine:
    a path is looked up under ``root`` by its longest ending that exists there. Nothing outside ``root`` is read.

    Args:
        lists: The list file of every domain, by its name; or several files, such as those of training and test.
        root: Folder of the images.
        classes: Names of the classes; labels are positions in it. Default: the folder that the images of a label lie
            in, where it is one folder a label in all lists, sorted by name, so that lists and folders agree whatever
            order a list numbers its classes in; else the labels as text.
        name: Name of the set.

    Returns:
        The :class:`~dalib.data.DomainSet`.

    Raises:
        TypeError: If ``lists`` is no mapping.
        FileNotFoundError: If a list, the root or images are missing.
        TypeError: If ``lists`` is no mapping, or ``classes`` a single text.
        ValueError: If a line is no ``path label``, a path leaves ``root``, or a label is far too large.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "shop", "mug").mkdir(parents=True)
        ...     Image.new("RGB", (9, 9)).save(Path(folder, "shop", "mug", "1.png"))
        ...     _ = Path(folder, "shop.txt").write_text("/home/someone/office/shop/mug/1.png 0")
        ...     image_list({"shop": Path(folder, "shop.txt")}, root=folder).classes
        ('mug',)
    """
    if not isinstance(lists, Mapping):
        raise TypeError(f"lists must be a mapping from domain to list file, got {type(lists).__name__}")
    if isinstance(classes, str):
        raise TypeError("classes must be a sequence of names, got str")
    base = Path(root)
    if not base.is_dir():
        raise FileNotFoundError(
            f"root must be a folder, got {base}, which is {'a file' if base.exists() else 'not there'}"
        )
    files = {domain: _files(paths, domain) for domain, paths in lists.items()}
    rows = {domain: [row for path in paths for row in _rows(path, base)] for domain, paths in files.items()}
    positions = None
    if classes is None:
        classes, positions = _class_names(rows)
    domains = {}
    for domain, entries in rows.items():
        images = ImageFiles([path for path, _ in entries], root=base)
        labels = np.array([label for _, label in entries])
        domains[domain] = Domain(domain, images, labels if positions is None else positions[labels], tuple(classes))
    names = ", ".join(path.name for paths in files.values() for path in paths)
    return DomainSet(name, domains, f"images listed in {names}")


def _files(paths: str | Path | Sequence[str | Path], domain: str) -> list[Path]:
    found = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not found:
        raise ValueError(f"lists[{domain!r}] must name at least one file, got none")
    return found


def _rows(path: Path, root: Path) -> list[tuple[Path, int]]:
    if not path.is_file():
        raise FileNotFoundError(f"lists must name files that exist, got {path}")
    rows: list[tuple[Path, int]] = []
    missing = []
    starts: dict[str, list[int]] = {}
    lines = _text(path).split("\n")  # a name may hold the other signs that splitlines() knows
    most = max(100_000, 10 * len(lines))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image, *ending = line.strip().rsplit(maxsplit=1)
        label = "".join(ending)
        if not label.isdecimal():
            raise ValueError(f"{path}, line {number} must be 'path label' with an index as label, got {line!r}")
        found = _under(root, image, starts, f"{path}, line {number}")
        if found is None:
            missing.append(f"{image} (line {number})")
        else:
            rows.append((found, _index(label, f"{path}, line {number}", most)))
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the images in {path} are not under {root}, such as {', '.join(missing[:3])}; "
            "no ending of these paths exists there"
        )
    if not rows:
        raise ValueError(f"{path} must list at least one image, got none")
    return rows


def _index(label: str, place: str, most: int) -> int:
    """The label as a number: every index up to the largest becomes a class, so a stray number must not pass."""
    digits = label.lstrip("0") or "0"
    if len(digits) > 18 or int(digits) >= most:
        shown = label if len(label) <= 20 else f"{label[:20]}..."
        raise ValueError(f"{place} must have the index of a class as label, below {most}, got {shown}")
    return int(digits)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line} must be text in UTF-8, got byte 0x{error.object[error.start]:02x}; save it as UTF-8"
        ) from error


def _under(root: Path, image: str, starts: dict[str, list[int]], place: str) -> Path | None:
    """The longest ending of ``image`` that is a file under ``root``, relative to it.

    ``starts`` keeps of every folder in the list where its endings begin that are folders under ``root``.
    """
    pure = PurePosixPath(image.replace("\\", "/"))
    parts = [part for part in pure.parts if part not in (pure.anchor, ".")]
    if ".." in parts:
        raise ValueError(f"{place} must stay inside {root}, got {image!r}, which climbs out with '..'")
    folder = str(pure.parent)
    if folder not in starts:
        starts[folder] = [start for start in range(len(parts)) if root.joinpath(*parts[start:-1]).is_dir()]
    for start in starts[folder]:
        ending = Path(*parts[start:])
        if (root / ending).is_file():
            if not (root / ending).resolve().is_relative_to(root.resolve()):
                raise ValueError(f"{place} must stay inside {root}, got {image!r}, a link that leads out of it")
            return ending
    return None


def _class_names(rows: Mapping[str, list[tuple[Path, int]]]) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """Names of the classes, and the class of every label where the labels are in another order."""
    folders: dict[int, set[str]] = {}
    for entries in rows.values():
        for path, label in entries:
            folders.setdefault(label, set()).add(path.parent.name)
    number = max(folders, default=-1) + 1
    names = [next(iter(folders[label])) if len(folders.get(label, ())) == 1 else "" for label in range(number)]
    if not all(names) or len(set(names)) < number:
        return tuple(str(label) for label in range(number)), None
    return tuple(sorted(names)), np.argsort(np.argsort(names))
