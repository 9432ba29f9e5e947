"""Domains from one table: a row of numbers, a domain and a class a line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalib.data.arrays import arrays
from dalib.data.domain import DomainSet


def table_file(
    path: str | Path,
    *,
    domain: str = "domain",
    label: str = "label",
    classes: Sequence[str] | None = None,
    name: str | None = None,
) -> DomainSet:
    r"""Read a ``.csv`` or ``.parquet`` file in which one column names the domain, one the class, and all others are numbers.

    Args:
        path: The file. CSV: text in UTF-8, commas, a first line with the names of the columns. Parquet: read by pandas.
        domain: Name of the column with the domain of every row.
        label: Name of the column with the class of every row, whole numbers or texts. Numbers written with leading zeros
            are texts, and keep them.
        classes: Names of the classes; a domain may then lack some. Default: the values in the column, sorted, which
            must be the same in every domain.
        name: Name of the set. Default: the file's name without its ending.

    Returns:
        The :class:`~dalib.data.DomainSet`, domains in the order of their first row.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the file is of Parquet and pandas, or what it needs for that, is not installed.
        ValueError: If the file cannot be read, a column is missing, a cell is no finite number, or two labels are one
            number, such as 1 and 01; the line is named, or the row of Parquet.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "tiny.csv")
        ...     _ = file.write_text("domain,width,label\nshop,1,mug\nshop,2,pen\ndesk,3,pen\ndesk,5,mug\n")
        ...     tiny = table_file(file)
        >>> tiny.classes, tiny.domains["desk"].inputs.tensor.tolist()
        (('mug', 'pen'), [[3.0], [5.0]])
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"path must be a .csv or .parquet file, got {path}, which is {'a folder' if path.is_dir() else 'not there'}"
        )
    endings = {".csv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in endings:
        raise ValueError(f"path must end in .csv or .parquet, got {path}; read .npz and .mat files with feature_file")
    columns, places = endings[path.suffix.lower()](path)
    for wanted, argument in ((domain, "domain"), (label, "label")):
        if wanted not in columns:
            raise ValueError(f"{path} must have a column {wanted!r}, got {_some(columns)}; name it with {argument}=")
    features = [column for column in columns if column not in (domain, label)]
    if not features:
        raise ValueError(f"{path} must have columns of numbers beside {domain!r} and {label!r}, got none")
    if "" in features:
        raise ValueError(
            f"{path} must name every column in its first line, got an empty name in column {list(columns).index('') + 1}; "
            "the index of a data frame is left out by to_csv(index=False)"
        )
    names = _texts(columns[domain], domain, path, places)
    x = np.column_stack([_numbers(columns[column], column, path, places) for column in features])
    y = _labels(columns[label], label, path, places)
    domains = {str(key): (x[names == key], y[names == key]) for key in dict.fromkeys(names.tolist())}
    try:
        as_names = y.astype(str) if classes is not None else y
        domains = {key: (x[names == key], as_names[names == key]) for key in domains}
        read = arrays(domains, classes=classes, name=path.stem if name is None else name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not usable: {error}") from error
    return DomainSet(read.name, read.domains, f"features from {path.name}")


@dataclass(frozen=True)
class _Places:
    """Where the rows stand in the file."""

    word: str
    numbers: Sequence[int]

    def first(self, where: NDArray[np.bool_]) -> str:
        return f"{self.word} {self.numbers[int(np.flatnonzero(where)[0])]}"


def _csv(path: Path) -> tuple[dict[str, NDArray[Any]], _Places]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            if len(names) == 1:
                raise ValueError(
                    f"{path} must have columns with commas between them, got the one column {names[0]!r:.80}"
                )
            rows, numbers = [], []
            for row in lines:
                if row and len(row) != len(names):
                    raise ValueError(
                        f"{path}, line {lines.line_num} must have {len(names)} values as the first line has, "
                        f"got {len(row)}"
                    )
                if row:
                    rows.append(row)
                    numbers.append(lines.line_num)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8, got byte 0x{error.object[error.start]:02x}") from error
    except csv.Error as error:
        raise ValueError(f"{path}, line {lines.line_num} must be CSV: {error}") from error
    if len(set(names)) < len(names):
        raise ValueError(f"{path} must name every column once in its first line, got {_some(names)}")
    if not rows:
        raise ValueError(f"{path} must have a first line with the names of the columns, and rows below it, got none")
    return dict(zip(names, np.array(rows, dtype=str).T, strict=True)), _Places("line", numbers)


def _parquet(path: Path) -> tuple[dict[str, NDArray[Any]], _Places]:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("reading Parquet needs pandas and pyarrow: pip install 'dalib[parquet]'") from error
    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise ImportError("reading Parquet needs pandas and pyarrow: pip install 'dalib[parquet]'") from error
    except Exception as error:  # a damaged file can break the parser anywhere
        raise ValueError(f"{path} must be a readable file of Parquet: {error}") from error
    if not len(frame):
        raise ValueError(f"{path} must have rows, got none")
    columns = {str(column): frame[column].to_numpy() for column in frame.columns}
    return columns, _Places("row", range(1, len(frame) + 1))


def _texts(column: NDArray[Any], name: str, path: Path, places: _Places) -> NDArray[Any]:
    texts = np.array([str(cell) if _given(cell) else "" for cell in column.tolist()])
    if (texts == "").any():
        raise ValueError(
            f"column {name!r} of {path} must have a value in every row, got none in {places.first(texts == '')}"
        )
    return texts


def _given(cell: object) -> bool:
    """Whether a cell of Parquet holds something: None, NaN and pandas' NA stand for nothing."""
    try:
        return cell is not None and bool(cell == cell)
    except TypeError:  # NA is neither
        return False


def _labels(column: NDArray[Any], name: str, path: Path, places: _Places) -> NDArray[Any]:
    """Whole numbers if all cells are, as numbers, so that 10 comes after 9; else texts, those with leading zeros too."""
    texts = _texts(column, name, path, places)
    different = dict.fromkeys(texts.tolist())
    if all(text.isascii() and text.removeprefix("-").isdecimal() for text in different):
        ways: dict[str, str] = {}
        for text in different:
            other = ways.setdefault(_shortest(text), text)
            if other != text:
                raise ValueError(
                    f"column {name!r} of {path} must write a number in one way, got {other!r}, and {text!r} in "
                    f"{places.first(texts == text)}"
                )
        if all(text == short and len(text) <= 18 for short, text in ways.items()):  # 18 digits fit into 64 bits
            return texts.astype(np.int64)
    if column.dtype.kind == "f":
        raise ValueError(f"column {name!r} of {path} must hold whole numbers or texts, got numbers with fractions")
    return texts


def _shortest(text: str) -> str:
    """A whole number without leading zeros."""
    digits = text.removeprefix("-").lstrip("0")
    return f"{'-' * text.startswith('-')}{digits}" if digits else "0"


def _numbers(column: NDArray[Any], name: str, path: Path, places: _Places) -> NDArray[np.float64]:
    if column.dtype.kind in "mMc":
        raise ValueError(f"column {name!r} of {path} must hold numbers, got {column.dtype}")
    try:
        values = np.asarray(column).astype(np.float64)
    except (TypeError, ValueError) as error:
        bad = np.array([not _is_number(cell) for cell in column.tolist()])
        got = f"{column[bad][0]!s:.40}" if bad.any() else str(error)
        place = f" in {places.first(bad)}" if bad.any() else ""
        raise ValueError(f"column {name!r} of {path} must hold numbers, got {got!r}{place}") from error
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(f"column {name!r} of {path} must be finite, got {column[bad][0]} in {places.first(bad)}")
    return values


def _is_number(cell: object) -> bool:
    try:
        np.asarray(cell).astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _some(names: Any) -> str:
    every = [repr(name) for name in names]
    return ", ".join(every[:6]) + (", ..." if len(every) > 6 else "")
