"""Images in files, decoded when they are asked for."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalib.data._given import positions
from dalib.data.transforms import ImageTransform

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
"""Endings of file names, in lower case, that are taken for images."""


class ImageFiles:
    """Rows that are image files: an :class:`~dalib.data.Inputs` that keeps paths and decodes on demand.

    Args:
        paths: One file a row, absolute or relative to ``root``.
        transform: What makes a tensor of a picture.
        root: Folder that relative paths start from. Default: the current one.

    Raises:
        ImportError: If Pillow is not installed.
        TypeError: If ``transform`` is no :class:`~dalib.data.ImageTransform`.
        ValueError: If there is no path.
        FileNotFoundError: If files are missing; the first ones are named.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (300, 280)).save(Path(folder, "black.png"))
        ...     ImageFiles(["black.png"], root=folder).load(np.array([0])).shape
        torch.Size([1, 3, 224, 224])
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        transform: ImageTransform | None = None,
        root: str | Path | None = None,
    ) -> None:
        _pillow()
        self.transform = _checked(ImageTransform() if transform is None else transform)
        self.root = Path(root) if root is not None else Path()
        self.paths = tuple(self.root / path for path in paths)
        if not self.paths:
            raise ValueError("paths must name at least one image, got none")
        missing = [str(path) for path in self.paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"paths must be files that exist, got {len(missing)} of {len(self.paths)} that do not, "
                f"such as {', '.join(missing[:3])}"
            )
        self._digests: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def with_transform(self, transform: ImageTransform) -> ImageFiles:
        """The same files with another transform."""
        changed = copy.copy(self)
        changed.transform = _checked(transform)
        return changed

    def load(
        self,
        index: NDArray[np.int64] | Tensor,
        *,
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The pictures ``index``, shape ``(k, 3, crop, crop)``.

        Raises:
            TypeError: If ``index`` holds no integers; a mask is none.
            ValueError: If a position is out of range, or a file is no image or is cut off; it is named.
        """
        chosen = positions(index, len(self)).tolist()
        return torch.stack([self._picture(self.paths[k], training, generator) for k in chosen])

    def fingerprint(self) -> str:
        """SHA-256 of the bytes of all files, in order, and of the transform; reads every file once.

        Raises:
            ValueError: If a file is no picture, or one that is cut off; it is named, before any training.
        """
        content = hashlib.sha256("\n".join(self.digests()).encode()).hexdigest()
        return hashlib.sha256(f"{content} {self.transform}".encode()).hexdigest()

    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the bytes of every file, in order; reads every file once.

        Raises:
            ValueError: If a file is no picture, or one that is cut off.
        """
        if not self._digests:
            with ThreadPoolExecutor(8) as pool:
                self._digests = tuple(pool.map(_digest, self.paths))
        return self._digests

    def _picture(self, path: Path, training: bool, generator: torch.Generator | None) -> Tensor:
        return self.transform(_decoded(path), training=training, generator=generator)


def _digest(path: Path) -> str:
    """SHA-256 of a file that is a whole picture; JPEG and PNG that end as they should are not decoded for that."""
    content = path.read_bytes()
    whole = False
    if content[:2] == b"\xff\xd8":  # JPEG: the marker FF D9 ends it, after the last scan, which starts with FF DA
        whole = _has_scan(content) and content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        whole = b"IEND" in content[-4096:]
    if not whole:
        _decoded(path)
    return hashlib.sha256(content).hexdigest()


def _has_scan(jpeg: bytes) -> bool:
    """Whether the picture itself begins: not cut off before, behind the small one that a camera puts into the head."""
    position = 2
    while jpeg[position : position + 1] == b"\xff":
        marker = jpeg[position + 1 : position + 2]
        if marker == b"\xda":
            return True
        position += 1 if marker == b"\xff" else 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return False


def _decoded(path: Path) -> Any:
    """The picture in a file; it is read from memory, so that it knows nothing of the path, whose folder is the class."""
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        reason = "no picture" if isinstance(error, pillow.UnidentifiedImageError) else error  # it would name the memory
        raise ValueError(f"paths must be readable images, got {path}: {reason}; replace or remove the file") from error
    return _eight_bits(image, path)


def _eight_bits(image: Any, path: Path) -> Any:
    """A grey picture of 16 bits scaled to 8; Pillow's own conversion would clip it to white. Others stay."""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))  # no more in them
    if sixteen:
        return _pillow().fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(
            f"paths must be images of 8 or 16 bits, got {path} of mode {image.mode}, whose range is not known; "
            "save it with 8 bits"
        )
    return image


def _checked(transform: ImageTransform) -> ImageTransform:
    if not isinstance(transform, ImageTransform):
        raise TypeError(f"transform must be an ImageTransform, got {type(transform).__name__}")
    return transform


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reading images needs Pillow: pip install 'dalib[images]'") from error
    module: ModuleType = Image
    return module
