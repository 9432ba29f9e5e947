"""The report of a folder of records: pictures as files, and one page that holds everything."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dalib.benchmark.group import Group, groups
from dalib.benchmark.html import Picture, page
from dalib.benchmark.pictures.accuracy import accuracy_figure
from dalib.benchmark.pictures.confusion import confusion_figure
from dalib.benchmark.pictures.cost import cost_figure
from dalib.benchmark.pictures.curves import curves_figure
from dalib.benchmark.pictures.distance import distance_figure
from dalib.benchmark.pictures.features import EMBEDDINGS, features_figure
from dalib.benchmark.pictures.ranks import ranks_figure
from dalib.benchmark.pictures.regret import regret_figure
from dalib.benchmark.pictures.stored import check_pair, stored_runs
from dalib.benchmark.record import Run, write_whole

_DPI = 130


def report(
    runs: Sequence[Run],
    folder: Path,
    *,
    pair: str | None = None,
    embedding: str = "tsne",
    damaged: Sequence[str] = (),
) -> list[Path]:
    """Write ``folder/report``: pictures as PNG and SVG files, and ``index.html``, which needs no other file.

    Args:
        runs: Records; those with features stored beside them are drawn before and after adaptation.
        folder: Folder of the records.
        pair: Scenario whose features and confusions are drawn. Default: the first with stored features of
            ``source_only`` and another method.
        embedding: ``"tsne"``, ``"pca"`` or ``"umap"``.
        damaged: Sentences on records that could not be read, for the page.

    Returns:
        Paths of the PNG files, and of the page last.

    Raises:
        ImportError: If matplotlib is not installed, or umap-learn if it is asked for.
        ValueError: If there are no runs, the pair has no stored features, or ``embedding`` is another.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from dalib.benchmark import Protocol, benchmark, scenarios, trained
        >>> from dalib.data import arrays
        >>> from dalib.methods import source_only
        >>> x, y = np.eye(4).repeat(8, axis=0), np.arange(4).repeat(8)
        >>> pair = scenarios(arrays({"amazon": (x, y), "webcam": (2 * x, y)}))
        >>> runs = benchmark({"source_only": trained(source_only, Protocol(steps=30))}, pair, seeds=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = report(runs, Path(folder))
        >>> [path.name for path in paths]
        ['accuracy.png', 'curves.png', 'regret.png', 'cost.png', 'index.html']
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise ImportError("pictures need matplotlib; pip install 'dalib[bench]'") from None
    if embedding not in EMBEDDINGS:
        raise ValueError(f"embedding must be one of {', '.join(EMBEDDINGS)}, got {embedding!r}")
    target = folder / "report"
    found = groups(runs)
    if pair is not None:
        check_pair(found, folder, pair)
    paths: list[Path] = []
    chapters: list[tuple[Group, list[Picture]]] = []
    # the same file for the same records; a $ in a name is a $
    with mpl.rc_context({"svg.hashsalt": "dalib", "svg.fonttype": "none", "text.parse_math": False}):
        for number, group in enumerate(found, start=1):
            suffix = "" if len(found) == 1 else f"-{number}"
            pictures = []
            for name, heading, figure in _figures(group, folder, pair, embedding):
                png = _saved(figure, target / f"{name}{suffix}", "png")
                figure.set_layout_engine("none")  # it is laid out
                _saved(figure, target / f"{name}{suffix}", "svg")
                paths.append(png)
                pictures.append(Picture(png.name, heading, png.read_bytes()))
            chapters.append((group, pictures))
    index = write_whole(target / "index.html", page(chapters, damaged=damaged).encode())
    return [*paths, index]


def _figures(group: Group, folder: Path, pair: str | None, embedding: str) -> Iterator[tuple[str, str, Any]]:
    """Name of the file, heading and figure of each picture that the records allow."""
    stored = stored_runs(group, folder, pair)
    noun = group.words.noun[0].upper() + group.words.noun[1:]
    made = (
        ("accuracy", f"{noun} by pair", accuracy_figure(group)),
        ("ranks", "Average ranks", ranks_figure(group)),
        ("curves", "Along the training", curves_figure(group)),
        ("regret", "Which validator picks well", regret_figure(group)),
        ("distance", f"Distance of the domains and {group.words.noun}", distance_figure(group)),
        ("features", "Features before and after adaptation", features_figure(stored, embedding)),
        ("confusion", "What is taken for what", confusion_figure(stored)),
        ("cost", "Time and memory", cost_figure(group)),
    )
    yield from ((name, heading, figure) for name, heading, figure in made if figure is not None)


def _saved(figure: Any, stem: Path, kind: str) -> Path:
    content = io.BytesIO()
    undated = {"metadata": {"Date": None}} if kind == "svg" else {}
    figure.savefig(content, format=kind, dpi=_DPI, **undated)
    return write_whole(stem.with_name(f"{stem.name}.{kind}"), content.getvalue())
