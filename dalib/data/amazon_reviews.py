"""Amazon reviews: sentiment in four kinds of goods, as 400 features."""

from __future__ import annotations

from pathlib import Path

from dalib.data._feature_matrix import checked, folder, matlab_features, one_file
from dalib.data._scaling import row_shares, z_scores
from dalib.data.domain import DomainSet
from dalib.data.known_sets import MANIFESTS

_FILES = {
    "books": ("books_400.mat",),
    "dvd": ("dvd_400.mat",),
    "electronics": ("elec_400.mat", "electronics_400.mat"),
    "kitchen": ("kitchen_400.mat",),
}


def amazon_reviews(root: str | Path, *, normalize: bool = True) -> DomainSet:
    """Read the Amazon reviews [1]_ as bags of 400 words: four domains, two classes.

    The files do not say which class is the praise, so the classes keep their numbers as names, 0 and 1.

    Args:
        root: The folder with ``books_400.mat``, ``dvd_400.mat``, ``elec_400.mat`` and ``kitchen_400.mat``, each with
            ``fts`` of shape ``(n, 400)`` and ``labels`` 0 or 1.
        normalize: Divide every row by its sum (the published files have done so already), then z-score every column
            within its domain. Default True; False leaves the rows as they are.

    Returns:
        The :class:`~dalib.data.DomainSet` with books (2000 rows), dvd (1999), electronics (1998) and kitchen (1999).

    Raises:
        FileNotFoundError: If the folder or a file is not there.
        ValueError: If a file is damaged, or differs from what was published.

    References:
        .. [1] Blitzer, Dredze, Pereira. Biographies, Bollywood, Boom-boxes and Blenders: Domain Adaptation for
               Sentiment Classification. ACL 2007.

    Example:
        >>> amazon_reviews("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of the reviews (books_400.mat and three more), got no/such/folder...
    """
    place = folder(root, "the folder of the reviews (books_400.mat and three more)")
    manifest = MANIFESTS["amazon_reviews"]
    domains = {}
    for name, files in _FILES.items():
        x, labels = matlab_features(one_file(place, files), "fts", "labels", first=0, classes=2)
        domains[name] = (z_scores(row_shares(x)) if normalize else x, labels)
    how = "rows divided by their sums, columns z-scored in each domain" if normalize else "rows as published"
    return checked(manifest, domains, f"bags of words from {place.name}: {how}", place)
