"""Where a run was made: versions, commit, device, machine."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("dalib", "torch", "numpy", "scipy", "scikit-learn", "timm", "torchvision", "transformers")


def environment(device: str) -> dict[str, Any]:
    """What a record says of the place where it was made.

    Args:
        device: Where the model was trained, such as ``"cpu"`` or ``"cuda"``.

    Example:
        >>> environment("cpu")["device"]
        'cpu'
    """
    named = torch.cuda.get_device_name(device) if device.startswith("cuda") and torch.cuda.is_available() else device
    return {
        "versions": dict(_versions()),
        "commit": commit(),
        "device": named,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "threads": torch.get_num_threads(),
    }


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


@functools.cache
def commit() -> str | None:
    """Commit of the checkout that dalib is imported from, with ``+changes`` if files differ; ``None`` outside of git."""
    folder = Path(__file__).parent
    try:
        if not _git(folder, "ls-files", "--", Path(__file__).name):
            return None  # dalib lies inside somebody else's repository
        return _git(folder, "rev-parse", "HEAD") + (
            "+changes" if _git(folder, "status", "--porcelain", "--", "..") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
