"""The same losses of other libraries, where they are installed: an absent one is left out of the tables."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import torch


def found() -> dict[str, str]:
    """The installed peers and their versions."""
    versions = {}
    for name in ("pytorch-adapt", "skada", "POT", "geomloss"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _make_torchvision_importable() -> None:
    # pytorch-adapt imports torchvision, whose published build asks a CPU-only torch for operators that it lacks.
    # Declaring them is enough for the import; nothing here calls them.
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
    except ImportError:
        return


_KEPT: list[Any] = []


def mmd() -> dict[str, Callable[..., Any]]:
    """Multi-kernel MMD in its quadratic form."""
    losses: dict[str, Callable[..., Any]] = {}
    if "pytorch-adapt" in found():
        _make_torchvision_importable()
        from pytorch_adapt.layers import MMDLoss
        from pytorch_adapt.layers.utils import get_kernel_scales

        losses["pytorch-adapt"] = MMDLoss(get_kernel_scales(low=-2, high=2, num_kernels=5), mmd_type="quadratic")
    if "skada" in found():
        from skada.deep.losses import dan_loss

        losses["skada, 5 kernels"] = lambda s, t: dan_loss(s, t, sigmas=[0.25, 0.5, 1.0, 2.0, 4.0])
    return losses


def coral() -> dict[str, Callable[..., Any]]:
    """Deep CORAL."""
    losses: dict[str, Callable[..., Any]] = {}
    if "pytorch-adapt" in found():
        _make_torchvision_importable()
        from pytorch_adapt.layers import CORALLoss

        losses["pytorch-adapt"] = CORALLoss()
    if "skada" in found():
        from skada.deep.losses import deepcoral_loss

        losses["skada"] = deepcoral_loss
    return losses


def joint_mmd() -> dict[str, Callable[..., Any]]:
    """Joint MMD of two layers."""
    if "pytorch-adapt" not in found():
        return {}
    _make_torchvision_importable()
    from pytorch_adapt.layers import MMDLoss
    from pytorch_adapt.layers.utils import get_kernel_scales

    loss = MMDLoss(get_kernel_scales(low=-2, high=2, num_kernels=5), mmd_type="quadratic")
    return {"pytorch-adapt": lambda s, t: loss(list(s), list(t))}


def sliced_wasserstein(projections: int) -> dict[str, Callable[..., Any]]:
    """Sliced Wasserstein distance."""
    losses: dict[str, Callable[..., Any]] = {}
    if "POT" in found():
        import ot

        losses["POT"] = lambda s, t: ot.sliced_wasserstein_distance(s, t, n_projections=projections)
    if "pytorch-adapt" in found():
        _make_torchvision_importable()
        from pytorch_adapt.layers import SlicedWasserstein

        losses["pytorch-adapt"] = SlicedWasserstein(m=projections)
    return losses


def sinkhorn(epsilon: float, iterations: int) -> dict[str, Callable[..., Any]]:
    """Debiased entropic transport."""
    losses: dict[str, Callable[..., Any]] = {}
    if "POT" in found():
        import ot

        losses["POT"] = lambda s, t: ot.bregman.empirical_sinkhorn_divergence(
            s, t, epsilon, numIterMax=iterations, stopThr=0, warn=False
        )
    if "geomloss" in found():
        from geomloss import SamplesLoss

        losses["geomloss"] = SamplesLoss("sinkhorn", p=2, blur=(epsilon / 2) ** 0.5, scaling=0.9, backend="tensorized")
    return losses
