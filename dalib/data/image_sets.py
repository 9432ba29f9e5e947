"""The published sets of images, each read from its published layout and checked against its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dalib.data._published_images import published_images
from dalib.data.domain import DomainSet
from dalib.data.known_sets import MANIFESTS


def office31(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read Office-31 [1]_ and check that it is complete: 2817, 498 and 795 rows of 31 classes.

    Args:
        root: The folder with ``amazon``, ``dslr`` and ``webcam``, each ``<class>/*`` or ``images/<class>/*``, or a file
            of features (:func:`~dalib.data.feature_file`).
        domains: Some of the domains, in the order wanted. Default: all.

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
        FileNotFoundError: root must be the folder of Office-31 or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["office31"], root, domains)


def office_caltech10(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read Office-Caltech10 [1]_ and check that it is complete: 1123, 958, 295 and 157 images of 10 classes.

    Args:
        root: The folder with ``caltech``, ``amazon``, ``webcam`` and ``dslr``, each ``<class>/*`` or
            ``images/<class>/*``, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``office_caltech10``, classes sorted by name.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Gong, Shi, Sha, Grauman. Geodesic Flow Kernel for Unsupervised Domain Adaptation. CVPR 2012.

    Example:
        >>> office_caltech10("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of Office-Caltech10 or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["office_caltech10"], root, domains)


def office_home(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read Office-Home [1]_ and check that it is complete: 2427, 4365, 4439 and 4357 images of 65 classes.

    Some published lists number the classes in an order of their own; here it is that of the names, for folders and
    for lists alike.

    Args:
        root: The folder with ``Art``, ``Clipart``, ``Product`` and ``Real World`` (also ``Real_World``, ``RealWorld``), each
            ``<class>/*``, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``office_home``, classes sorted by name, capitals first.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Venkateswara, Eusebio, Chakraborty, Panchanathan. Deep Hashing Network for Unsupervised Domain Adaptation.
               CVPR 2017.

    Example:
        >>> office_home("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of Office-Home or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["office_home"], root, domains)


def visda2017(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read VisDA-2017 [1]_ and check that it is complete: 152397 and 55388 images of 12 classes.

    Papers adapt from the rendered pictures (``train``) to the photographs (``validation``), and report the mean of
    the accuracies of the classes, not the accuracy: see ``MANIFESTS["visda2017"].metric``. The folder ``test`` is
    not read.

    Args:
        root: The folder with ``train`` and ``validation``, each ``<class>/*``, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``visda2017``, classes sorted by name.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Peng, Usman, Kaushik, Hoffman, Wang, Saenko. VisDA: The Visual Domain Adaptation Challenge. 2017.

    Example:
        >>> visda2017("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of VisDA-2017 or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["visda2017"], root, domains)


def domainnet(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read DomainNet [1]_ and check that it is complete: 586575 images of 345 classes in six domains.

    The set is defined by its lists (of the cleaned version): the archives hold some pictures that no list names.
    Training and test list of a domain are read as one domain.

    Args:
        root: The folder with ``clipart``, ``infograph``, ``painting``, ``quickdraw``, ``real`` and ``sketch``, each
            ``<class>/*``, and the lists ``<domain>_train.txt`` and ``<domain>_test.txt`` in it or in a folder of
            it, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``domainnet``, classes sorted by name, capitals first.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Peng, Bai, Xia, Huang, Saenko, Wang. Moment Matching for Multi-Source Domain Adaptation. ICCV 2019.

    Example:
        >>> domainnet("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of DomainNet or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["domainnet"], root, domains)


def domainnet126(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read DomainNet-126 [1]_ and check that it is complete: 145145 images of 126 classes in four domains.

    The part of DomainNet whose labels are cleanest, defined by its lists.

    Args:
        root: The folder of DomainNet with ``clipart``, ``painting``, ``real`` and ``sketch``, and the lists
            ``labeled_source_images_<domain>.txt`` or ``<domain>_list.txt`` in it or in a folder of it, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``domainnet126``, classes sorted by name, capitals first.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Saito, Kim, Sclaroff, Darrell, Saenko. Semi-supervised Domain Adaptation via Minimax Entropy. ICCV 2019.

    Example:
        >>> domainnet126("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of DomainNet-126 or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["domainnet126"], root, domains)


def image_clef_da(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read ImageCLEF-DA [1]_ and check that it is complete: 600 images of 12 classes in each of three domains.

    Of the 600 lines of the published list of Pascal nine are reported to repeat a picture, under another label; papers use
    the list, so it is read as it is. The fourth domain of the challenge, Bing, is left out, as papers do.

    Args:
        root: The folder with ``c``, ``i`` and ``p`` and the lists ``cList.txt``, ``iList.txt`` and ``pList.txt`` in it or in a
            folder of it; without lists each ``<class>/*``, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``image_clef_da``, domains caltech, imagenet and pascal.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Caputo, Mueller, Martinez-Gomez, et al. ImageCLEF 2014: Overview and Analysis of the Results. CLEF 2014.

    Example:
        >>> image_clef_da("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of ImageCLEF-DA or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["image_clef_da"], root, domains)


def pacs(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read PACS [1]_ and check that it is complete: 2048, 2344, 1670 and 3929 images of 7 classes.

    Args:
        root: The folder with ``art_painting``, ``cartoon``, ``photo`` and ``sketch``, each ``<class>/*``, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``pacs``, classes sorted by name.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Li, Yang, Song, Hospedales. Deeper, Broader and Artier Domain Generalization. ICCV 2017.

    Example:
        >>> pacs("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of PACS or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["pacs"], root, domains)


def adaptiope(root: str | Path, *, domains: Sequence[str] | None = None) -> DomainSet:
    """Read Adaptiope [1]_ and check that it is complete: 100 images of each of 123 classes in each of three domains.

    Args:
        root: The folder with ``product_images``, ``real_life`` and ``synthetic``, each ``<class>/*``, or a file of features.
        domains: Some of the domains, in the order wanted. Default: all.

    Returns:
        The :class:`~dalib.data.DomainSet` ``adaptiope``, classes sorted by name.

    Raises:
        FileNotFoundError: If there is no such folder or file, or a domain is missing.
        ValueError: If it cannot be read, or differs from the manifest; the differences are named.

    References:
        .. [1] Ringwald, Stiefelhagen. Adaptiope: A Modern Benchmark for Unsupervised Domain Adaptation. WACV 2021.

    Example:
        >>> adaptiope("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: root must be the folder of Adaptiope or a file of its features, got no/such/folder...
    """
    return published_images(MANIFESTS["adaptiope"], root, domains)
