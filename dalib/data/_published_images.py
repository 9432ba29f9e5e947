"""One reader for all published sets of images: folders, lists or features, whatever the manifest names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dalib.data.domain import Domain, DomainSet, agreed_classes
from dalib.data.feature_file import feature_file
from dalib.data.image_folder import files_by_class, folder_domain, folders_in
from dalib.data.image_list import image_list
from dalib.data.manifest import Manifest


def published_images(manifest: Manifest, root: str | Path, domains: Sequence[str] | None) -> DomainSet:
    """Read the domains that the manifest names, under its names, and check them.

    Raises:
        FileNotFoundError: If the root, a domain or a listed image is not there.
        ValueError: If the set cannot be read, or is another than the manifest says.
    """
    manifest = manifest.only(domains)
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(
            f"root must be the folder of {manifest.title} or a file of its features, got {root}, which is not there; "
            "name it with --root on the command line"
        )
    if root.is_file():
        read = _features(manifest, root)
    else:
        lists = _lists(manifest, root)
        read = _listed(manifest, root, lists) if lists else _folders(manifest, root)
    try:
        manifest.check(read)
    except ValueError as error:
        raise ValueError(f"{root} is not usable: {error}{_without_lists(manifest, root)}") from error
    return read


def _without_lists(manifest: Manifest, root: Path) -> str:
    if not manifest.lists or root.is_file() or _lists(manifest, root):
        return ""
    names = " or ".join(" and ".join(convention) for convention in manifest.lists).replace("{domain}", "<domain>")
    return f"; {manifest.title} is defined by its lists {names}, which are not in {root}"


def _plain(name: str) -> str:
    """A name without case and signs: 'Real World', 'Real_World' and 'RealWorld' are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _features(manifest: Manifest, path: Path) -> DomainSet:
    read = feature_file(path, name=manifest.name)
    names = [name for name in manifest.rows if name in read.domains]
    if len(names) < len(manifest.rows):
        return read  # the check says what is missing
    return DomainSet(read.name, {name: read.domains[name] for name in names}, read.description)


def _lists(manifest: Manifest, root: Path) -> dict[str, list[Path]]:
    """The lists of every domain, by the first convention of which all files are there."""
    places = [root, *folders_in(root)]
    for convention in manifest.lists:
        found = {}
        for domain in manifest.rows:
            names = (domain, *manifest.folders.get(domain, ()))
            options = [[place / file.format(domain=name) for file in convention] for place in places for name in names]
            found[domain] = next((files for files in options if all(file.is_file() for file in files)), [])
        if all(found.values()):
            return found
    return {}


def _listed(manifest: Manifest, root: Path, lists: dict[str, list[Path]]) -> DomainSet:
    read = image_list(lists, root=root, name=manifest.name)
    known = manifest.classes
    if known and read.classes == tuple(str(number) for number in range(len(known))):
        # no folder a class: the list's numbers are positions in the manifest
        read = image_list(lists, root=root, classes=known, name=manifest.name)
    return read


def _folders(manifest: Manifest, root: Path) -> DomainSet:
    there = {_plain(folder.name): folder for folder in folders_in(root)}
    found = {}
    for domain in manifest.rows:
        names = (domain, *manifest.folders.get(domain, ()))
        found[domain] = next((there[_plain(name)] for name in names if _plain(name) in there), None)
    missing = [domain for domain, folder in found.items() if folder is None]
    if missing:
        raise FileNotFoundError(
            f"root must hold a folder {', '.join(missing)} of {manifest.title}, got {root} with "
            f"{', '.join(folder.name for folder in there.values()) or 'no folder'}{_mend(manifest, root)}"
        )
    files = {domain: files_by_class(folder) for domain, folder in found.items() if folder is not None}
    if manifest.classes:
        plain = {_plain(label): label for label in manifest.classes}
        files = {
            domain: {plain.get(_plain(label), label): paths for label, paths in by_class.items()}
            for domain, by_class in files.items()
        }
        extra = {label for by_class in files.values() for label in by_class} - set(manifest.classes)
        classes = (*manifest.classes, *sorted(extra))
    else:
        classes = agreed_classes({domain: tuple(by_class) for domain, by_class in files.items()})
    built: dict[str, Domain] = {
        domain: folder_domain(domain, by_class, classes, root) for domain, by_class in files.items()
    }
    return DomainSet(manifest.name, built, f"images in the folders of {root.name}")


def _mend(manifest: Manifest, root: Path) -> str:
    """What the root should perhaps have been: a folder in it, or the one that it lies in."""
    wanted = {_plain(name) for domain in manifest.rows for name in (domain, *manifest.folders.get(domain, ()))}
    for folder in folders_in(root):
        if {_plain(inner.name) for inner in folders_in(folder)} & wanted:
            return f"; {folder} looks like it"
    if _plain(root.resolve().name) in wanted:
        return f"; {root.resolve().parent} looks like it"
    return ""
