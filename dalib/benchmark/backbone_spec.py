"""Backbones by specification: ``timm:NAME``, ``torchvision:NAME``, ``transformers:NAME`` or ``FILE.py:function``."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import nn

from dalib.benchmark.backbone import Backbone

if TYPE_CHECKING:
    from dalib.data.transforms import ImageTransform

_LIBRARIES = ("timm", "torchvision", "transformers")
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def backbone(spec: str, *, pretrained: bool = True) -> Backbone:
    r"""The backbone that a specification names, with the normalisation of its weights.

    ===================== ==================================================================================
    ``timm:NAME``         normalisation and size of the pretrained configuration
    ``torchvision:NAME``  normalisation and sizes of the default weights
    ``transformers:NAME`` a model of the hub or a local folder; normalisation of its image processor
    ``FILE.py:function``  ``function()`` returns the module; normalisation from ``MEAN`` and ``STD`` of the file
    ===================== ==================================================================================

    Where a file or folder declares no normalisation, mean = std = 0.5 is assumed (images in [-1, 1]) and noted.
    ``?pretrained=false`` at the end of ``spec`` means random weights.

    Args:
        spec: The specification.
        pretrained: Whether weights are loaded.

    Returns:
        The backbone.

    Raises:
        TypeError: If ``spec`` is no string.
        ValueError: If it names no backbone (the nearest names are given), or its library is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.py"
        >>> _ = path.write_text("import torch\nMEAN = STD = (0.4, 0.4, 0.4)\ndef net(): return torch.nn.Flatten()")
        >>> found = backbone(f"{path}:net")
        >>> found.build(), found.transform.mean
        (Flatten(start_dim=1, end_dim=-1), (0.4, 0.4, 0.4))
    """
    if not isinstance(spec, str):
        raise TypeError(f"backbone must be a string such as 'timm:resnet50', got {type(spec).__name__}")
    where, _, option = spec.partition("?")
    if option:
        values = {"pretrained=false": False, "pretrained=true": True}
        if option.lower() not in values:
            raise ValueError(f"backbone must have ?pretrained=true or ?pretrained=false as its option, got {option!r}")
        pretrained = values[option.lower()]
    library, _, name = where.partition(":")
    if library in _LIBRARIES and name:
        build = {"timm": _timm, "torchvision": _torchvision, "transformers": _transformers}[library]
        return build(name, pretrained)
    path, _, function = where.rpartition(":")
    if path.endswith(".py") and function:
        return _file(Path(path), function, pretrained)
    near = f"; did you mean {', '.join(_nearest(library, _LIBRARIES))}?" if _nearest(library, _LIBRARIES) else ""
    raise ValueError(
        f"backbone must be timm:NAME, torchvision:NAME, transformers:NAME or FILE.py:function, got {spec!r}{near}"
    )


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)


def _unknown(library: str, name: str, known: Iterable[str]) -> ValueError:
    near = _nearest(name, known)
    mend = f"; nearest: {', '.join(near)}" if near else ""
    return ValueError(f"backbone must be a model that {library} knows, got {name!r}{mend}")


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f"backbone {name}:... must have {name} installed, got none; pip install {name}") from None
    except RuntimeError as error:  # a torchvision build that does not fit the installed torch
        raise ValueError(f"backbone must be importable beside this torch, got an error from {name}: {error}") from None


def _named(name: str, pretrained: bool) -> str:
    return name if pretrained else f"{name}?pretrained=false"


def _transform(mean: Any, std: Any, crop: int = 224) -> ImageTransform:
    """The field's usual transform: shorter side to 8/7 of the crop (256 for 224), centre crop; in training a random one."""
    from dalib.data import ImageTransform  # Pillow is behind it

    return ImageTransform(mean=tuple(mean), std=tuple(std), resize=round(crop * 8 / 7), crop=crop)


def _timm(name: str, pretrained: bool) -> Backbone:
    timm = _library("timm")
    if not timm.is_model(name.split(".")[0]):
        raise _unknown("timm", name, timm.list_models())
    settings = timm.get_pretrained_cfg(name)
    mean, std = (settings.mean, settings.std) if settings is not None else _IMAGENET
    crop = settings.input_size[-1] if settings is not None else 224
    build = functools.partial(_build_timm, name, pretrained)
    return Backbone(_named(f"timm:{name}", pretrained), build, _transform(mean, std, crop))


def _build_timm(name: str, pretrained: bool) -> nn.Module:
    timm = _library("timm")
    model: nn.Module = _fetched(
        f"timm:{name}", pretrained, lambda: timm.create_model(name, pretrained=pretrained, num_classes=0)
    )
    return model


def _torchvision(name: str, pretrained: bool) -> Backbone:
    models = _library("torchvision.models")
    if name not in models.list_models(module=models):
        raise _unknown("torchvision", name, models.list_models(module=models))
    usual = models.get_model_weights(name).DEFAULT.transforms()
    build = functools.partial(_build_torchvision, name, pretrained)
    transform = _transform(usual.mean, usual.std, usual.crop_size[0])
    return Backbone(_named(f"torchvision:{name}", pretrained), build, transform)


def _build_torchvision(name: str, pretrained: bool) -> nn.Module:
    models = _library("torchvision.models")
    weights = "DEFAULT" if pretrained else None
    model: nn.Module = _fetched(f"torchvision:{name}", pretrained, lambda: models.get_model(name, weights=weights))
    for head in ("fc", "classifier", "heads", "head"):
        if isinstance(getattr(model, head, None), nn.Module):
            setattr(model, head, nn.Identity())
            return model
    raise ValueError(
        f"backbone torchvision:{name} must have a head to take off, got none; bring it as FILE.py:function"
    )


def _transformers(name: str, pretrained: bool) -> Backbone:
    transformers = _library("transformers")
    _fetched(f"transformers:{name}", True, lambda: transformers.AutoConfig.from_pretrained(name))
    mean_std, note = _HALF, f"{name} declares no normalisation of images: mean = std = 0.5 is assumed"
    try:
        processor, _ = transformers.image_processing_utils.ImageProcessingMixin.get_image_processor_dict(name)
        mean_std, note = (processor["image_mean"], processor["image_std"]), ""
    except (OSError, KeyError, ValueError):
        processor = {}
    sizes = (processor.get("crop_size"), processor.get("size"))
    crop = next((size["height"] for size in sizes if isinstance(size, dict) and "height" in size), 224)
    build = functools.partial(_build_transformers, name, pretrained)
    return Backbone(_named(f"transformers:{name}", pretrained), build, _transform(*mean_std, crop), note=note)


def _build_transformers(name: str, pretrained: bool) -> nn.Module:
    transformers = _library("transformers")

    def build() -> nn.Module:
        if pretrained:
            return transformers.AutoModel.from_pretrained(name)  # type: ignore[no-any-return]
        return transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(name))  # type: ignore[no-any-return]

    return _fetched(f"transformers:{name}", pretrained, build)  # type: ignore[no-any-return]


def _fetched(spec: str, fetches: bool, build: Callable[[], Any]) -> Any:
    """What ``build`` makes; one sentence if something that must be fetched is not there."""
    if not fetches:
        return build()
    try:
        return build()
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"backbone {spec} must have its weights on this machine or within reach, got: {reason}; fetch them once where "
            f"there is a connection, or use random weights: {spec}?pretrained=false"
        ) from error


def _file(path: Path, function: str, pretrained: bool) -> Backbone:
    if not path.is_file():
        raise ValueError(f"backbone must be in an existing file, got {str(path)!r}")
    module = _module(path)
    found = getattr(module, function, None)
    if not callable(found):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise _unknown(path.name, function, known)
    declared = hasattr(module, "MEAN") and hasattr(module, "STD")
    mean, std = (module.MEAN, module.STD) if declared else _HALF
    try:
        transform = _transform(mean, std, getattr(module, "CROP", 224))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"backbone file {path.name} must declare MEAN and STD as three numbers each, CROP as a whole one: {error}"
        ) from error
    note = "" if declared else f"{path.name} declares no MEAN and STD: mean = std = 0.5 is assumed (images in [-1, 1])"
    return Backbone(
        _named(f"{path.name}:{function}", pretrained),
        functools.partial(_build_from_file, path.resolve(), function, pretrained),
        transform,
        source=hashlib.sha256(path.read_bytes()).hexdigest(),
        note=note,
    )


def _build_from_file(path: Path, function: str, pretrained: bool) -> nn.Module:
    build = getattr(_module(path), function)
    takes = "pretrained" in inspect.signature(build).parameters
    if not takes and not pretrained:
        raise ValueError(f"backbone {path.name}:{function} must take pretrained= for ?pretrained=false, got none")
    try:
        return build(pretrained=pretrained) if takes else build()  # type: ignore[no-any-return]
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"backbone {path.name}:{function} must build a module, got {type(error).__name__}: {error}"
        ) from error


def _module(path: Path) -> ModuleType:
    """The file as a module, loaded once for each content."""
    name = f"_dalib_backbone_{hashlib.sha256(path.read_bytes() + str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"backbone must be in a Python file, got {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise ValueError(f"backbone file {path.name} must run, got {type(error).__name__}: {error}") from error
    return module
