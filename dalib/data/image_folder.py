"""Domains from a tree of folders: one folder a domain, in it one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dalib.data.domain import Domain, DomainSet, agreed_classes
from dalib.data.images import IMAGE_ENDINGS, ImageFiles


def image_folder(
    root: str | Path,
    *,
    name: str | None = None,
    domains: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> DomainSet:
    """Read ``<root>/<domain>/<class>/*`` or ``<root>/<domain>/images/<class>/*``, the two layouts of Office-31.

    Classes are sorted by name and rows by path. Hidden files and folders, and files that are no images by their
    ending, are passed over; a link that leads nowhere is not. Pictures are decoded later, batch by batch.

    Args:
        root: The folder.
        name: Name of the set. Default: the folder's name.
        domains: Names of the domains, in the order wanted. Default: all folders in ``root``, sorted.
        classes: Names of the classes; a domain may then lack some, but have no other.
            Default: the folders of the domains, which must agree.

    Returns:
        The :class:`~dalib.data.DomainSet`.

    Raises:
        FileNotFoundError: If the folder, a domain or what a link names is not there.
        TypeError: If ``domains`` or ``classes`` is a single text.
        ValueError: If there are no images, the nesting is wrong, or the domains differ in classes.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for place in ("shop/mug", "shop/pen", "desk/mug", "desk/pen"):
        ...         Path(folder, place).mkdir(parents=True)
        ...         Image.new("RGB", (9, 9)).save(Path(folder, place, "1.png"))
        ...     office = image_folder(folder)
        >>> list(office.domains), office.classes
        (['desk', 'shop'], ('mug', 'pen'))
    """
    for argument, given in (("domains", domains), ("classes", classes)):
        if isinstance(given, str):
            raise TypeError(f"{argument} must be a sequence of names, got str")
    if domains is not None and not len(domains):
        raise ValueError("domains must name at least one folder, got none")
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"root must be a folder, got {root}, which is {'a file' if root.exists() else 'not there'}"
        )
    names = tuple(domains) if domains is not None else tuple(path.name for path in folders_in(root))
    if not names:
        raise ValueError(f"root must hold one folder a domain, got {root} without folders")
    absent = [domain for domain in names if not (root / domain).is_dir()]
    if absent:
        raise FileNotFoundError(
            f"domains must be folders in {root}, got {', '.join(absent)}; "
            f"found: {', '.join(path.name for path in folders_in(root)) or 'none'}"
        )
    files = {domain: files_by_class(root / domain) for domain in names}
    wanted = _wanted(files, classes)
    built = {domain: folder_domain(domain, by_class, wanted, root) for domain, by_class in files.items()}
    return DomainSet(root.resolve().name if name is None else name, built, f"images in the folders of {root.name}")


def folders_in(path: Path) -> list[Path]:
    """The folders in ``path`` that are not hidden, sorted."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def files_by_class(domain: Path) -> dict[str, list[Path]]:
    """The images of a domain's folder, by the name of the class's folder.

    Raises:
        ValueError: If there is no folder or no image in one, or the nesting is another than the two that are known.
    """
    folders = folders_in(domain)
    if [folder.name for folder in folders] == ["images"] and folders_in(folders[0]):
        folders = folders_in(folders[0])
    places = {folder.name: folder for folder in folders}
    files = {label: _images(folder) for label, folder in places.items()}
    if not folders:
        raise ValueError(
            f"{domain} must hold one folder a class, got no folder in it; expected {domain}/<class>/<image>"
        )
    empty = [label for label, found in files.items() if not found]
    nested = [label for label in empty if folders_in(places[label])]
    if nested or list(files) == ["images"]:
        raise ValueError(
            f"{domain} must hold one folder of images a class, got the wrong nesting at "
            f"{places[(nested or ['images'])[0]]}; expected <domain>/<class>/<image> or <domain>/images/<class>/<image>"
        )
    if empty:
        raise ValueError(f"every class folder of {domain} must hold images, got none in {', '.join(empty)}")
    return files


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if not path.is_dir() and not path.name.startswith(".") and path.suffix.lower() in IMAGE_ENDINGS
    )


def _wanted(files: dict[str, dict[str, list[Path]]], classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is None:
        return agreed_classes({domain: tuple(by_class) for domain, by_class in files.items()})
    for domain, by_class in files.items():
        unknown = sorted(set(by_class) - set(classes))
        if unknown:
            raise ValueError(f"class folders of {domain} must be among classes, got {', '.join(unknown)}")
    return tuple(classes)


def folder_domain(domain: str, by_class: dict[str, list[Path]], classes: tuple[str, ...], root: Path) -> Domain:
    """A domain of the images found; paths are kept relative to ``root``."""
    rows = [(path, label) for label, name in enumerate(classes) for path in by_class.get(name, ())]
    paths = [path.relative_to(root) for path, _ in rows]
    return Domain(domain, ImageFiles(paths, root=root), np.array([label for _, label in rows]), classes)
