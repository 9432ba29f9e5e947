"""USPS and MNIST as small vectors, as the shallow methods' papers use them."""

from __future__ import annotations

from pathlib import Path

from dalib.data._feature_matrix import checked, matlab_features
from dalib.data._scaling import unit_rows
from dalib.data.domain import DomainSet
from dalib.data.known_sets import MANIFESTS


def digits_jda(path: str | Path, *, normalize: bool = True) -> DomainSet:
    """Read the digits that the JDA paper [1]_ sampled: 1800 of USPS and 2000 of MNIST, as 256 grey values.

    Args:
        path: The file ``USPS_vs_MNIST.mat`` with ``X_src`` of shape ``(256, 1800)``, ``X_tar`` of shape
            ``(256, 2000)`` and the labels ``Y_src`` and ``Y_tar`` in 1..10, or the folder that it lies in.
        normalize: Divide every row by its Euclidean length, as the published tables do. Default True; False leaves the
            grey values.

    Returns:
        The :class:`~dalib.data.DomainSet` with usps and mnist, classes 0 to 9.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or differs from what was published.

    Note:
        The nearest neighbour in the source gives 44.70 for usps to mnist and 65.94 back.

    References:
        .. [1] Long, Wang, Ding, Sun, Yu. Transfer Feature Learning with Joint Distribution Adaptation. ICCV 2013.

    Example:
        >>> digits_jda("no/such/file.mat")
        Traceback (most recent call last):
        FileNotFoundError: path must be a .mat file, got no/such/file.mat, which is not there
    """
    file = Path(path) / "USPS_vs_MNIST.mat" if Path(path).is_dir() else Path(path)
    domains = {}
    for name, part in (("usps", "src"), ("mnist", "tar")):
        columns, labels = matlab_features(file, f"X_{part}", f"Y_{part}", first=1, classes=10)
        domains[name] = (unit_rows(columns.T) if normalize else columns.T, labels)
    how = "rows of length one" if normalize else "grey values"
    return checked(MANIFESTS["digits_jda"], domains, f"digits of the JDA paper: {how}", file)
