"""Office-31, from images or from a file of features, checked against its manifest."""

from __future__ import annotations

from pathlib import Path

from dalib.data.domain import DomainSet
from dalib.data.feature_file import feature_file
from dalib.data.image_folder import image_folder
from dalib.data.known_sets import MANIFESTS, OFFICE31_COUNTS


def office31(root: str | Path) -> DomainSet:
    """Read Office-31 [1]_ and check that it is complete: 2817, 498 and 795 rows of 31 classes.

    Args:
        root: The folder with ``amazon``, ``dslr`` and ``webcam`` (:func:`~dalib.data.image_folder`), or a ``.npz`` file
            of features (:func:`~dalib.data.feature_file`).

    Returns:
        The :class:`~dalib.data.DomainSet` ``office31``.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Saenko, Kulis, Fritz, Darrell. Adapting Visual Category Models to New Domains. ECCV 2010.

    Example:
        >>> office31("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of Office-31 or a .npz file of its features, got no/such/folder...
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(
            f"root must be the folder of Office-31 or a .npz file of its features, got {root}, which is not there; "
            "name it with --root on the command line"
        )
    if root.is_dir():
        read = image_folder(root, name="office31", domains=tuple(OFFICE31_COUNTS))
    else:
        read = feature_file(root, name="office31")
    MANIFESTS["office31"].check(read)
    return read
