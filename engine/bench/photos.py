"""The pictures of a comparison: a folder's, or the bundled photographs, cut to one square size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..demo import photographs
from ..files import SUFFIXES, read_image


@dataclass(frozen=True)
class Photo:
    """pixels [3, size, size] float32 in [0, 1]; digest: of the pixels as compared."""

    name: str
    pixels: Tensor
    digest: str


def load(folder: Path | None, size: int, count: int | None = None) -> list[Photo]:
    """The first `count` pictures of a folder by name (all for None), or of the bundled ones for None.

    The middle square of each, shrunk to size x size. Raises ValueError where there is none or one is too small.
    """
    sources = photographs() if folder is None else _folder(folder, count)
    if not sources:
        raise ValueError(f"the folder {folder} holds no picture ({', '.join(sorted(SUFFIXES))})")
    return [_photo(name, pixels, size) for name, pixels in list(sources.items())[:count]]


def _folder(folder: Path, count: int | None) -> dict[str, Tensor]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of pictures")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    return {path.name: torch.from_numpy(read_image(path).rgb().copy()) for path in files[:count]}


def _photo(name: str, pixels: Tensor, size: int) -> Photo:
    height, width = pixels.shape[-2:]
    side = min(height, width)
    if side < size:
        raise ValueError(
            f"{name} is {width}x{height}, too small for --size {size}: take a smaller size or leave it out"
        )
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[None, :, top : top + side, left : left + side]
    if side != size:
        square = F.interpolate(square, size=(size, size), mode="bicubic", antialias=True)
    cut = square[0].clamp(0, 1).contiguous()
    return Photo(name, cut, hashlib.sha256(cut.numpy().tobytes()).hexdigest()[:16])
