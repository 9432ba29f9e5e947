"""From a picture to the tensor that a backbone expects: the field's usual training and test transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib import _checks

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class ImageTransform:
    """Resize, crop, flip and normalise a Pillow image.

    In the test the shorter side is resized to ``resize`` and the centre ``crop`` is taken. In training a random part of
    the picture is resized to ``crop`` and mirrored with probability 1/2. Then the values, in ``[0, 1]``, become
    ``(value - mean) / std``. The mean and std belong to the backbone: with others its features are wrong.

    Args:
        mean: Mean of red, green and blue.
        std: Their standard deviations.
        resize: Length of the shorter side in the test, at least ``crop``.
        crop: Height and width of the result.
        squash: Resize to ``resize`` x ``resize`` first, in training too, and lose the aspect ratio, as TLlib does.
        scale: Range of the random part's area, as a fraction of the picture.
        ratio: Range of the random part's width over its height, drawn uniformly in the logarithm.
        flip: Probability of mirroring in training.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is out of range.

    Example:
        >>> from PIL import Image
        >>> ImageTransform(resize=4, crop=2)(Image.new("RGB", (8, 6), "white"))[:, 0, 0]
        tensor([1., 1., 1.])
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resize: int = 256
    crop: int = 224
    squash: bool = False
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def __post_init__(self) -> None:
        _checks.at_least(self.crop, 1, "crop")
        _checks.at_least(self.resize, self.crop, "resize")
        _checks.number(self.flip, "flip")
        if not isinstance(self.squash, bool):
            raise TypeError(f"squash must be True or False, got {self.squash!r}")
        for name, kind in (("crop", int), ("resize", int), ("flip", float)):  # equal ones have one fingerprint
            object.__setattr__(self, name, kind(getattr(self, name)))
        for name, length in (("mean", 3), ("std", 3), ("scale", 2), ("ratio", 2)):
            object.__setattr__(self, name, _numbers(getattr(self, name), name, length))
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be a range within (0, 1], got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be a range of positive numbers, got {self.ratio}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip must lie in [0, 1], got {self.flip:g}")

    def __call__(self, image: Any, *, training: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """The tensor ``(3, crop, crop)`` of a Pillow image; what is random is drawn from ``generator`` alone.

        Raises:
            ValueError: If ``training`` without a ``generator``.
        """
        image = image.convert("RGB")
        if self.squash:
            image = image.resize((self.resize, self.resize), _bilinear())
        if not training:
            return self._tensor(self._centre(image))
        if generator is None:
            raise ValueError("generator must be a torch.Generator in training, got None")
        image = image.resize((self.crop, self.crop), _bilinear(), box=self._part(image.size, generator))
        mirrored = float(torch.rand((), generator=generator)) < self.flip
        return self._tensor(image, mirrored=mirrored)

    def _centre(self, image: Any) -> Any:
        width, height = image.size
        factor = self.resize / min(width, height)
        size = tuple(max(self.resize, round(side * factor)) for side in (width, height))
        if size != (width, height):
            image = image.resize(size, _bilinear())
        left, top = round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)
        return image.crop((left, top, left + self.crop, top + self.crop))

    def _part(self, size: tuple[int, int], generator: torch.Generator) -> Corners:
        """A random part of the picture; after ten parts that do not fit, the largest central one of an allowed ratio."""
        width, height = size
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for area, ratio, x, y in torch.rand((10, 4), generator=generator, dtype=torch.float64).tolist():
            pixels = width * height * (self.scale[0] + (self.scale[1] - self.scale[0]) * area)
            aspect = math.exp(low + (high - low) * ratio)
            w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
                return left, top, left + w, top + h
        aspect = min(max(width / height, self.ratio[0]), self.ratio[1])
        half_width, half_height = min(width, height * aspect) / 2, min(height, width / aspect) / 2
        return width / 2 - half_width, height / 2 - half_height, width / 2 + half_width, height / 2 + half_height

    def _tensor(self, image: Any, *, mirrored: bool = False) -> Tensor:
        values: NDArray[Any] = np.asarray(image, dtype=np.float32)
        values = values[:, ::-1] if mirrored else values
        values = (values / 255 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _bilinear() -> Any:
    from PIL import Image

    return Image.Resampling.BILINEAR


def _numbers(values: object, name: str, length: int) -> tuple[float, ...]:
    if not isinstance(values, tuple | list) or not all(isinstance(value, int | float) for value in values):
        raise TypeError(f"{name} must be {length} numbers, got {values!r}")
    if len(values) != length or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{name} must be {length} finite numbers, got {values!r}")
    return tuple(float(value) for value in values)
