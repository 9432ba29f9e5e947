"""WISDM: what 36 people do, from the accelerometer of a telephone; every person is a domain."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dalib.data._scaling import z_scores
from dalib.data.arrays import arrays
from dalib.data.domain import DomainSet

_CLASSES = ("Downstairs", "Jogging", "Sitting", "Standing", "Upstairs", "Walking")
_FEATURES = 43
_USERS = range(1, 37)
_WINDOWS = 5418


def wisdm(path: str | Path, *, groups: Mapping[str, Sequence[int]] | None = None, normalize: bool = True) -> DomainSet:
    """Read WISDM v1.1 [1]_: 5418 windows of ten seconds as 43 features, six activities, 36 people.

    The file has no line for its last column, the activity, and a ``?`` where a window has no two peaks to measure
    between. A ``?`` becomes the mean of the known values of its column in its domain, or 0 if the domain has none.
    Most people did not do all six activities, so a domain may lack classes.

    Args:
        path: The file ``WISDM_ar_v1.1_transformed.arff``, packed (``.gz``) or not, or the folder that it lies in.
        groups: People of every domain by its name, numbered from 1; one person in at most one domain.
            Default: each person is a domain, ``user01`` to ``user36``.
        normalize: Z-score every column within its domain (with the standard deviation of the population; constant
            columns become 0). Default True; False leaves the values, which span four orders of magnitude.

    Returns:
        The :class:`~dalib.data.DomainSet`.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If ``groups`` is no mapping to sequences of integers.
        ValueError: If the file is damaged or differs from what was published, or ``groups`` does not fit.

    References:
        .. [1] Kwapisz, Weiss, Moore. Activity Recognition Using Cell Phone Accelerometers.
               SIGKDD Explorations 12(2), 2011.

    Example:
        >>> wisdm("no/such/file.arff")
        Traceback (most recent call last):
        FileNotFoundError: path must be the file WISDM_ar_v1.1_transformed.arff, got no/such/file.arff...
    """
    chosen = {f"user{user:02}": (user,) for user in _USERS} if groups is None else _people(groups)
    file = _file(Path(path))
    x, users, labels = _table(_lines(file), file)
    domains = {}
    for name, people in chosen.items():
        rows = np.isin(users, people)
        filled = _filled(x[rows])
        domains[name] = (z_scores(filled) if normalize else filled, labels[rows])
    read = arrays(domains, classes=_CLASSES, name="wisdm")
    how = ", columns z-scored in each domain" if normalize else ""
    return DomainSet("wisdm", read.domains, f"features of windows from {file.name}, unknown values filled in{how}")


def _people(groups: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a mapping from domain to people, got {type(groups).__name__}")
    seen: dict[int, str] = {}
    for name, people in groups.items():
        if isinstance(people, str) or not isinstance(people, Sequence | range):
            raise TypeError(f"groups[{name!r}] must be a sequence of integers, got {type(people).__name__}")
        for user in people:
            if isinstance(user, bool) or not isinstance(user, int):
                raise TypeError(f"groups[{name!r}] must hold integers, got {user!r}")
            if user not in _USERS:
                raise ValueError(f"groups[{name!r}] must hold people from 1 to {_USERS[-1]}, got {user}")
            if user in seen:
                raise ValueError(f"groups must have every person once, got {user} in {seen[user]} and {name}")
            seen[user] = name
        if not people:
            raise ValueError(f"groups[{name!r}] must name at least one person, got none")
    return {name: tuple(people) for name, people in groups.items()}


def _file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("WISDM_ar_v1.1_transformed.arff*"))
        if found:
            return found[0]
    elif path.is_file():
        return path
    raise FileNotFoundError(
        f"path must be the file WISDM_ar_v1.1_transformed.arff, got {path}, which is "
        f"{'a folder without it' if path.is_dir() else 'not there'}"
    )


def _lines(file: Path) -> list[str]:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be text in UTF-8, got other bytes at position {error.start}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} must be a whole gzip file, got one that breaks: {error}") from error


def _table(lines: list[str], file: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    start = next((number for number, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if start is None or not any(re.match(r'@attribute\s+"?user\b', line, re.I) for line in lines[:start]):
        raise ValueError(f"{file} must be the ARFF file of WISDM, got no line @data, or no attribute user before it")
    x, users, labels = [], [], []
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        cells = [cell.strip().strip("\"'") for cell in line.split(",")]
        if cells == [""] or line.lstrip().startswith("%"):
            continue
        place = f"{file}, line {number}"
        if len(cells) != _FEATURES + 3:
            raise ValueError(f"{place} must have {_FEATURES + 3} values, got {len(cells)}")
        if cells[-1] not in _CLASSES:
            raise ValueError(f"{place} must end in one of {', '.join(_CLASSES)}, got {cells[-1]!r}")
        if not cells[1].isdecimal() or int(cells[1]) not in _USERS:
            raise ValueError(f"{place} must name a person from 1 to {_USERS[-1]}, got {cells[1]!r}")
        x.append([_number(cell, place) for cell in cells[2:-1]])
        users.append(int(cells[1]))
        labels.append(_CLASSES.index(cells[-1]))
    if len(x) != _WINDOWS:
        raise ValueError(f"{file} must hold {_WINDOWS} windows, got {len(x)}; is it cut off?")
    return np.array(x), np.array(users), np.array(labels)


def _number(cell: str, place: str) -> float:
    """The value of a cell; NaN for a ``?`` alone."""
    if cell == "?":
        return float("nan")
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{place} must hold numbers or '?', got {cell!r}")
    return value


def _filled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(x)
    means = np.where(known, x, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, x, means)
