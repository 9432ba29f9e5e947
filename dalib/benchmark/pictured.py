"""Features of some rows of a run and its predictions, stored small beside its record for pictures."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dalib.benchmark.record import write_whole
from dalib.evaluation import Evaluation

_ROWS = 300
_COMPONENTS = 32
_NAMES = ("source", "target", "target_labels", "classes")
"""What every file has; older ones have no predictions."""


def save_features(
    folder: Path,
    stem: str,
    evaluation: Evaluation,
    predictions: NDArray[np.int64],
    target_labels: torch.Tensor,
    classes: tuple[str, ...],
) -> Path:
    """Store what pictures need under ``folder/features``: features of some rows, and what was predicted for the target.

    Of the features, the leading principal components of at most 300 rows a domain; the components are those of both
    domains together, so 32 numbers a row keep the picture of hundreds of features. Of the target rows, all predictions.

    Args:
        folder: Folder of the records.
        stem: Name of the record.
        evaluation: The last checkpoint's outputs.
        predictions: What was predicted for each target row.
        target_labels: Labels of the target rows, for pictures by class.
        classes: Names of the classes.

    Returns:
        Path of the ``.npz`` file.
    """
    source, target = evaluation.source, evaluation.target
    assert source.labels is not None  # Evaluation checked it
    first, second = _rows(len(source.features)), _rows(len(target.features))
    both = torch.cat([source.features[first], target.features[second]]).double()
    components = principal_components(both.nan_to_num().numpy(), _COMPONENTS).astype(np.float16)
    content = io.BytesIO()
    np.savez_compressed(
        content,
        source=components[: len(first)],
        target=components[len(first) :],
        source_labels=source.labels[first].numpy().astype(np.int16),
        target_labels=target_labels[second].numpy().astype(np.int16),
        labels=target_labels.numpy().astype(np.int16),
        predictions=predictions.astype(np.int16),
        classes=np.array(classes),
    )
    return write_whole(_path(folder, stem), content.getvalue())


def load_features(folder: Path, stem: str) -> dict[str, NDArray[Any]] | None:
    """What :func:`save_features` stored, or ``None`` if there is nothing that can be read."""
    try:
        return _read(_path(folder, stem))
    except ValueError:
        return None


def damaged_features(folder: Path, stems: Iterable[str]) -> list[str]:
    """One sentence for each file of :func:`save_features` that is there and cannot be read."""
    sentences = []
    for stem in stems:
        try:
            _read(_path(folder, stem))
        except ValueError as error:
            sentences.append(str(error))
    return sentences


def _path(folder: Path, stem: str) -> Path:
    return folder / "features" / f"{stem}.npz"


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except Exception as error:  # numpy, zipfile and zlib have many for damaged files
        raise ValueError(f"{path} must be the features of a run, got a file that cannot be read ({error})") from None
    missing = [name for name in _NAMES if name not in found]
    if missing:
        raise ValueError(f"{path} must be the features of a run, got a file without {', '.join(missing)}")
    return found


def principal_components(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The rows in the directions of their largest variance, at most ``count``, scaled so that the first has variance 1.

    Example:
        >>> np.abs(principal_components(np.array([[2.0, 0.0], [-2.0, 0.0]]), 2)).round(3)[:, 0]
        array([1., 1.])
    """
    centred = rows - rows.mean(axis=0)
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    largest = scales[0] if len(scales) and scales[0] > 0 else 1.0
    result: NDArray[np.float64] = left[:, :count] * (scales[:count] / largest) * np.sqrt(len(rows))
    return result


def _rows(rows: int) -> torch.Tensor:
    return torch.linspace(0, rows - 1, min(rows, _ROWS)).round().long()
