"""Progress of a benchmark with the time that is left: a bar on a terminal, lines in a log."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import TextIO

from dalib.benchmark.engine import Progress
from dalib.benchmark.kinds import WORDS

Show = Callable[[Progress], None]


@contextlib.contextmanager
def shown_progress(stream: TextIO) -> Iterator[Show]:
    r"""A function for ``benchmark(..., progress=...)`` that reports on ``stream``.

    Args:
        stream: Where to write: a bar if it is a terminal and rich is installed, otherwise one line a run.

    Example:
        >>> import io
        >>> log = io.StringIO()
        >>> with shown_progress(log) as show:
        ...     show(Progress(None, done=3, total=8, served=3, left=None))
        >>> log.getvalue()
        '[3/8] 3 runs are finished already\n'
    """
    if stream.isatty() and importlib.util.find_spec("rich") is not None:
        with _bar(stream) as show:
            yield show
    else:

        def write(progress: Progress) -> None:
            line = _line(progress)
            if line:
                stream.write(f"[{progress.done}/{progress.total}] {line}\n")
                stream.flush()

        yield write


def _line(progress: Progress) -> str:
    if progress.run is None:
        served = progress.served
        return f"{served} run{'s are' if served > 1 else ' is'} finished already" if served else ""
    run = progress.run
    accuracy, seconds = 100 * run.checkpoints[-1][run.headline], sum(run.seconds.values())
    named = "" if run.headline == "accuracy" else f" {WORDS[run.headline].noun}"
    mode = f" ({run.mode})" if run.mode in ("joint", "separate") else ""
    done = f"{run.scenario} {run.method}{mode} seed {run.seed}: {accuracy:.1f} %{named} in {duration(seconds)}"
    return done if not progress.left else f"{done}; {duration(progress.left)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(4.2), duration(75), duration(7300)
        ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextlib.contextmanager
def _bar(stream: TextIO) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total, description=_line(progress))

        yield show
