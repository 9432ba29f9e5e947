"""The command line: ``dalib run``, ``dalib table``, ``dalib report``, ``dalib features``, ``dalib list``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from dalib import _checks
from dalib.benchmark.backbone_spec import backbone
from dalib.benchmark.checkpoint import Method
from dalib.benchmark.cli_options import (
    AUTOCAST,
    FORWARD,
    built_method,
    chosen_device,
    chosen_jobs,
    chosen_methods,
    chosen_protocol,
    chosen_validators,
    separated,
)
from dalib.benchmark.engine import Progress, benchmark
from dalib.benchmark.extraction import Extracted, extract_features
from dalib.benchmark.kinds import CLOSED, KINDS
from dalib.benchmark.listing import listing
from dalib.benchmark.open_scenarios import published_scenarios
from dalib.benchmark.parts import PARTS
from dalib.benchmark.pictured import damaged_features
from dalib.benchmark.pictures.features import EMBEDDINGS
from dalib.benchmark.progress import duration, shown_progress
from dalib.benchmark.protocol import Protocol
from dalib.benchmark.record import Run, load_runs
from dalib.benchmark.report import report
from dalib.benchmark.scenario import Scenario, check_share
from dalib.benchmark.sets import (
    SETS,
    duplicate_note,
    named_pairs,
    named_set,
    read_set,
)
from dalib.benchmark.table import USUAL_PARTS, table
from dalib.benchmark.target_supervised import TargetSupervised
from dalib.benchmark.tensorboard import TensorBoard
from dalib.benchmark.together import follow, process_group, torchrun_processes, torchrun_rank
from dalib.benchmark.usual_methods import USUAL, USUAL_BY_KIND
from dalib.data import DomainSet


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"dalib: error: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Default: those of the process.

    Returns:
        The exit status: 0; 2 for an error of the user, told in one sentence on stderr; 130 after Ctrl-C, 143 after
        SIGTERM.
    """
    options = _parser().parse_args(arguments)
    with _terminated_as_interrupted():
        return _status(options)


def _status(options: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        if torchrun_processes() > 1 and command is not _run:
            raise ValueError("torchrun must start dalib run, got another command; it needs one process")
        command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        if options.traceback:
            raise
        where = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        if torchrun_rank() > 0 and not torch.distributed.is_initialized():
            return 2  # a wrong option, which rank 0 tells
        print(f"dalib: error: {' '.join(str(error).split()) or type(error).__name__}{where}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("dalib: interrupted", file=sys.stderr)
        return 143 if isinstance(error, _Terminated) else 130
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM stop the workers as Ctrl-C does; torchrun ends its processes itself, which may wait in a call."""
    here = threading.current_thread() is threading.main_thread()
    if not here or torchrun_processes() > 1 or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not stop the stopping
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dalib", description="Domain adaptation: run benchmarks that never look at target labels.")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _run_parser(commands.add_parser("run", help="run methods on a data set and print the table"))
    shown = commands.add_parser("table", help="print the tables of a folder of records")
    shown.add_argument("folder", metavar="DIR")
    shown.add_argument("--format", choices=("text", "markdown"), default="text")
    shown.add_argument(
        "--parts", metavar="a,b", help=f"which tables: {', '.join(PARTS)} (default: all but validators_by_method)"
    )
    shown.add_argument("--validators", metavar="a,b", help="validators that have a column (default: five usual ones)")
    shown.set_defaults(command=_table)
    drawn = commands.add_parser("report", help="write pictures and one page on a folder of records")
    drawn.add_argument("folder", metavar="DIR")
    drawn.add_argument("--pair", metavar="A-W", help="pair whose features are drawn (default: the first)")
    drawn.add_argument("--embedding", choices=EMBEDDINGS, default="tsne", help="how features are laid in the plane")
    drawn.set_defaults(command=_report)
    _features_parser(commands.add_parser("features", help="extract features of images once, for dalib run features"))
    commands.add_parser("list", help="list data sets, methods, validators and backbones").set_defaults(command=_list)
    return parser


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", metavar="SET", help=f"data set: {', '.join(SETS)}")
    parser.add_argument("--root", type=Path, metavar="PATH", help="folder or file of the data")
    parser.add_argument("--lists", type=Path, metavar="PATH", help="folder of image lists, for the set list")
    parser.add_argument("--methods", metavar="a,b", help=f"methods, separated by commas (default: {','.join(USUAL)})")
    parser.add_argument(
        "--scenario",
        choices=tuple(KINDS),
        default=CLOSED,
        help="which classes the domains have (default: closed, the same)",
    )
    parser.add_argument("--pairs", metavar="A-W,..", help="source-target pairs (default: all)")
    parser.add_argument("--seeds", type=int, metavar="N", help="number of seeds (default: 3; 1 for pictograms)")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps (default: 1000; 300 for pictograms)")
    parser.add_argument(
        "--backbone", metavar="SPEC", help="timm:NAME, torchvision:NAME, transformers:NAME, FILE.py:function"
    )
    parser.add_argument(
        "--forward", choices=tuple(FORWARD), default="separate", help="both domains through the network"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: number of CPUs; 1 on cuda)")
    parser.add_argument("--out", metavar="DIR", help="folder of the records (default: runs/SET, or runs/SET_SCENARIO)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="rows a batch, of each domain (default: 32)")
    parser.add_argument("--checkpoints", type=int, metavar="N", help="evaluations a run (default: 5)")
    parser.add_argument(
        "--holdout", type=float, default=0.0, metavar="SHARE", help="source rows held out for validators"
    )
    parser.add_argument(
        "--target-test",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="target rows that no method sees and accuracy is measured on (default: 0, all are seen)",
    )
    parser.add_argument(
        "--validators", metavar="a,b", help="validators that have a column, and are scored if they are not usual"
    )
    parser.add_argument("--tensorboard", metavar="DIR", help="write the runs as TensorBoard scalars there, too")
    parser.add_argument("--autocast", choices=tuple(AUTOCAST), default="none", help="precision of the forward pass")
    parser.add_argument("--channels-last", action="store_true", help="memory layout that tensor cores prefer")
    parser.add_argument("--compile", metavar="BACKEND", help="torch.compile the training steps, for example inductor")
    parser.set_defaults(command=_run)


def _features_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the images")
    parser.add_argument("--set", default="folder", metavar="SET", help="data set that ROOT holds (default: folder)")
    parser.add_argument("--lists", type=Path, metavar="PATH", help="folder of image lists, for the set list")
    parser.add_argument("--backbone", required=True, metavar="SPEC", help="as for dalib run")
    parser.add_argument(
        "--out", required=True, metavar="FILE.npz", help="the file; the same command goes on after a stop"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images a forward pass (default: 64)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--autocast", choices=tuple(AUTOCAST), default="none", help="precision of the forward pass")
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes that decode (default: 0, this one)"
    )
    parser.set_defaults(command=_features)


def _features(options: argparse.Namespace) -> None:
    named_set(options.set)
    device = chosen_device(options.device)
    made = backbone(options.backbone)
    if made.note:
        print(f"note: {made.note}", file=sys.stderr)
    path = extract_features(
        read_set(options.set, options.root, options.lists),
        made,
        options.out,
        batch_size=options.batch_size,
        device=device,
        autocast=AUTOCAST[options.autocast],
        workers=options.workers,
        progress=lambda done: print(_extracted(done), file=sys.stderr),
    )
    print(f"features: {path}")


def _extracted(done: Extracted) -> str:
    left = "" if done.left is None else f"; {duration(done.left)} left"
    return f"[{done.rows}/{done.total}] rows{left}"


def _run(options: argparse.Namespace) -> None:
    chosen = named_set(options.set)
    names = chosen_methods(options.methods, chosen, options.scenario)
    device = chosen_device(options.device)
    log = None if options.tensorboard is None else TensorBoard(options.tensorboard)
    domain_set = read_set(options.set, options.root, options.lists)
    pairs = published_scenarios(domain_set, options.scenario, named_pairs(domain_set, options.pairs or chosen.pairs))
    protocol = chosen_protocol(options, chosen, domain_set, device)
    methods = {name: built_method(name, protocol) for name in names}
    scores, columns = chosen_validators(options.validators)
    where = options.set if options.scenario == CLOSED else f"{options.set}_{options.scenario}"
    out = options.out if options.out is not None else f"runs/{where}"
    jobs = chosen_jobs(options.jobs, device)
    seeds = options.seeds if options.seeds is not None else chosen.seeds
    _checks.at_least(seeds, 1, "--seeds")
    check_share(options.holdout, "--holdout")
    check_share(options.target_test, "--target-test")
    with process_group(device):
        if torchrun_rank() > 0:
            return follow(methods, pairs)
        _note(domain_set, pairs, protocol)
        count = len(methods) * len(pairs) * seeds
        share = f"{protocol.processes}, which share each run" if protocol.processes > 1 else str(jobs)
        print(
            f"{domain_set.name}: {count} runs ({len(methods)} methods, {len(pairs)} pairs, seeds: {seeds}), "
            f"{protocol.steps} steps on {device}, processes: {share}; records in {out}",
            file=sys.stderr,
        )
        runs = _benchmark(
            methods,
            pairs,
            seeds=seeds,
            out=out,
            jobs=jobs,
            holdout=options.holdout,
            target_test=options.target_test,
            scores=scores,
            log=log,
        )
    if log is not None:
        log.write(runs)  # those too that were finished before
    print(table(runs, validators=columns))
    return _draw(runs, Path(out))


def _note(domain_set: DomainSet, pairs: Sequence[Scenario], protocol: Protocol) -> None:
    equal = duplicate_note(domain_set, [(pair.source.name, pair.target.name) for pair in pairs])
    for note in filter(None, (protocol.backbone.note, equal)):
        print(f"note: {note}", file=sys.stderr)


def _benchmark(
    methods: Mapping[str, Method | TargetSupervised],
    pairs: list[Scenario],
    *,
    out: str,
    log: TensorBoard | None,
    **options: Any,
) -> list[Run]:
    last: list[Progress] = []
    try:
        with shown_progress(sys.stderr) as show:

            def note(progress: Progress) -> None:
                last[:] = [progress]
                show(progress)
                if log is not None:
                    log(progress)

            return benchmark(methods, pairs, out=out, progress=note, **options)
    except (KeyboardInterrupt, OSError):  # Ctrl-C, or a full disk
        done = f"{last[0].done} of {last[0].total}" if last else "no"
        print(f"{done} runs are finished in {out}; the same command goes on from there", file=sys.stderr)
        raise


def _table(options: argparse.Namespace) -> None:
    runs, damaged = load_runs(options.folder)
    _warn(damaged)
    parts = USUAL_PARTS if options.parts is None else [name.strip() for name in options.parts.split(",")]
    columns = None if options.validators is None else separated(options.validators)
    print(table(runs, style=options.format, parts=parts, validators=columns))


def _report(options: argparse.Namespace) -> None:
    runs, damaged = load_runs(options.folder)
    _warn(damaged)
    _draw(runs, Path(options.folder), pair=options.pair, embedding=options.embedding, damaged=damaged)


def _draw(runs: Sequence[Run], folder: Path, *, damaged: Sequence[str] = (), **options: Any) -> None:
    unread = damaged_features(folder, [run.stem for run in runs])
    _warn(unread)
    try:
        *pictures, page = report(runs, folder, damaged=[*damaged, *unread], **options)
    except ImportError as error:
        print(f"note: {error}", file=sys.stderr)
        return
    for path in pictures:
        print(f"picture: {path}")
    print(f"report: {page}")


def _warn(damaged: Sequence[str]) -> None:
    for sentence in damaged:
        print(f"note: {sentence}", file=sys.stderr)


def _list(options: argparse.Namespace) -> None:
    print(listing(USUAL_BY_KIND))


if __name__ == "__main__":
    sys.exit(main())
