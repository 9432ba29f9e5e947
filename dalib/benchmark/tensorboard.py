"""Records as TensorBoard scalars: one run of the viewer for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dalib.benchmark.engine import Progress
from dalib.benchmark.record import Run, safe_name


class TensorBoard:
    """Writes the checkpoints of finished runs under a folder that ``tensorboard --logdir`` reads.

    The target accuracy is among the scalars: it is for the reader, no method sees it. A run that is there already is
    not written twice.

    Args:
        folder: Where to write; made if it is missing.

    Raises:
        ImportError: If tensorboard is not installed.

    Example:
        >>> log = TensorBoard("logs")  # doctest: +SKIP
        >>> benchmark(methods, pairs, progress=log)  # doctest: +SKIP
    """

    def __init__(self, folder: Path | str) -> None:
        self._writer = _summary_writer()
        self.folder = Path(folder)

    def __call__(self, progress: Progress) -> None:
        """Write the run that ended; for ``benchmark(..., progress=...)``."""
        if progress.run is not None:
            self.write([progress.run])

    def write(self, runs: Sequence[Run]) -> list[Path]:
        """Write these runs; the folders of those that were not there."""
        written = []
        for run in runs:
            mode = f"-{run.mode}" if run.mode in ("joint", "separate") else ""
            parts = (run.dataset or "benchmark", f"{run.method}{mode}", f"{run.scenario}-{run.seed}-{run.key[:8]}")
            place = self.folder.joinpath(*map(safe_name, parts))
            if any(place.glob("events.*")):
                continue
            with self._writer(str(place)) as writer:
                for tag, value, step in _scalars(run):
                    writer.add_scalar(tag, value, step)
            written.append(place)
        return written


def _scalars(run: Run) -> Iterator[tuple[str, float, int]]:
    """Tag, value and step of every number of the checkpoints."""
    for checkpoint in run.checkpoints:
        step = int(checkpoint["step"])
        for name in dict.fromkeys(("accuracy", "class_accuracy", run.headline)):
            if checkpoint.get(name) is not None:
                yield f"target/{name}", float(checkpoint[name]), step
        for part in ("scores", "descriptions", "losses", "notes"):
            for name, value in checkpoint.get(part, {}).items():
                if isinstance(value, int | float):
                    yield f"{part}/{name}", float(value), step


def _summary_writer() -> Callable[[str], Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError("--tensorboard needs tensorboard; pip install 'dalib[tensorboard]'") from None
    writer: Callable[[str], Any] = SummaryWriter
    return writer
