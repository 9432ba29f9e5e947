"""What the options of ``dalib run`` mean: methods, validators, device and protocol."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

import torch

from dalib import _checks
from dalib.benchmark.backbone_spec import backbone
from dalib.benchmark.checkpoint import Method
from dalib.benchmark.kinds import CLOSED
from dalib.benchmark.opt_in_scores import ALL_SCORES
from dalib.benchmark.protocol import Protocol
from dalib.benchmark.scores import SCORES, Score
from dalib.benchmark.sets import NamedSet, holds_vectors, nearest
from dalib.benchmark.target_supervised import TargetSupervised, target_supervised
from dalib.benchmark.together import torchrun_processes
from dalib.benchmark.trained import trained
from dalib.benchmark.usual_methods import USUAL_BY_KIND
from dalib.data import DomainSet
from dalib.methods import OPEN_RECIPES, RECIPES, importance_weighted, source_only
from dalib.training import joint_forward, separate_forward

_ALL_RECIPES = {**RECIPES, **OPEN_RECIPES}
FORWARD = {"joint": joint_forward, "separate": separate_forward}
AUTOCAST = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def chosen_methods(methods: str | None, chosen: NamedSet, kind: str) -> list[str]:
    """The names after ``--methods``, or the usual ones for a set and a kind of scenario."""
    if methods is None:
        return [*USUAL_BY_KIND[kind], *(chosen.methods if kind == CLOSED else ())]
    return _known(methods, [*_ALL_RECIPES, "target_supervised"], "--methods")


def chosen_validators(validators: str | None) -> tuple[Mapping[str, Score], list[str] | None]:
    """What is scored, the usual validators and the named ones; and the columns, ``None`` for the usual ones."""
    if validators is None:
        return SCORES, None
    names = _known(validators, list(ALL_SCORES), "--validators")
    return {**SCORES, **{name: ALL_SCORES[name] for name in names}}, names


def _known(text: str, known: list[str], option: str) -> list[str]:
    names = separated(text)
    for name in names:
        if name not in known:
            raise ValueError(f"{option} must be among {', '.join(known)}, got {name!r}{nearest(name, known)}")
    if not names:
        raise ValueError(f"{option} must name at least one of {', '.join(known)}, got none")
    return list(dict.fromkeys(names))


def separated(text: str) -> list[str]:
    """The words between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen_device(device: str) -> str:
    """The device that ``--device`` means on this machine."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device must be cpu or auto on this machine, got cuda without a CUDA device")
    return device


def chosen_protocol(options: argparse.Namespace, chosen: NamedSet, domain_set: DomainSet, device: str) -> Protocol:
    """The protocol of the options: what the set prescribes, and what was asked for beyond it."""
    settings = dict(chosen.protocol())
    if options.backbone is not None:
        if holds_vectors(domain_set):
            raise ValueError(f"--backbone must not be given for feature vectors, got {options.backbone!r}")
        settings |= {"backbone": backbone(options.backbone), "backbone_factor": 0.1}
    elif "backbone" not in settings and not holds_vectors(domain_set):
        raise ValueError("--backbone must be given for images, got none; for example timm:resnet50 or FILE.py:function")
    for name in ("steps", "batch_size", "checkpoints"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    return Protocol(
        **settings,
        forward=FORWARD[options.forward],
        device=device,
        autocast=AUTOCAST[options.autocast],
        channels_last=options.channels_last,
        compile=options.compile,
        processes=torchrun_processes(),
    )


def built_method(name: str, protocol: Protocol) -> Method | TargetSupervised:
    """A method by its name in the command line."""
    if name == "target_supervised":
        return target_supervised(trained(source_only, protocol))
    if _ALL_RECIPES[name] is importance_weighted:
        from dalib.weights import DomainClassifierWeights

        return trained(importance_weighted, protocol, weights=DomainClassifierWeights())
    return trained(_ALL_RECIPES[name], protocol)


def chosen_jobs(jobs: int | None, device: str) -> int:
    """How many runs go on at a time: one on CUDA, and under torchrun, whose processes share each run."""
    together = torchrun_processes() > 1
    if together and jobs not in (None, 1):
        raise ValueError(f"--jobs must be 1 under torchrun, whose processes train each run together, got {jobs}")
    if jobs is None:
        return 1 if device == "cuda" or together else cpus()
    _checks.at_least(jobs, 1, "--jobs")
    return jobs


def cpus() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
