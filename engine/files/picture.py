"""A picture in memory: its pixels, and what its file carried beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """pixels: [3, H, W] or, for a grey picture, [1, H, W], float32 in [0, 1].

    alpha:  [H, W] float32 in [0, 1] (0 is transparent), or None.
    bits:   8 or 16, the depth to write a channel with.
    icc:    the colour profile's bytes, or None.  exif: the EXIF block's bytes without its orientation, or None.
    format: "PNG", "JPEG", "WEBP" or "TIFF", where it came from; "" for a picture made here.
    notes:  what reading could not keep: predicates for a sentence that begins with the file's name.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    bits: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    format: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[0] not in (1, 3) or 0 in self.pixels.shape:
            raise ValueError(f"pixels must be [3, H, W] or [1, H, W], got {list(self.pixels.shape)}")
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[1:]:
            raise ValueError(
                f"alpha must be {list(self.pixels.shape[1:])} like its picture, got {list(self.alpha.shape)}"
            )
        if self.bits not in (8, 16):
            raise ValueError(f"bits must be 8 or 16, got {self.bits}")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def grey(self) -> bool:
        return self.pixels.shape[0] == 1

    def rgb(self) -> Pixels:
        """[3, H, W]: what an RGB prior restores. A grey picture becomes three equal channels."""
        return np.repeat(self.pixels, 3, axis=0) if self.grey else self.pixels

    def with_rgb(self, rgb: NDArray[Any]) -> Picture:
        """This picture with other pixels, [3, h, w] in [0, 1]; a grey one takes the mean of the three channels.

        The size may change (super-resolution does); alpha then follows by bicubic interpolation.
        """
        pixels = np.asarray(rgb, np.float32)
        if self.grey:
            pixels = pixels.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return replace(self, pixels=pixels, alpha=_resized(self.alpha, (pixels.shape[1], pixels.shape[2])))


def upright(pixels: NDArray[Any], turn: int) -> NDArray[Any]:
    """[C, H, W] stored under EXIF orientation `turn` (1..8), as it should be seen."""
    swapped, rows, columns = turning(turn)
    if swapped:
        pixels = pixels.transpose(0, 2, 1)
    if rows:
        pixels = pixels[:, ::-1]
    if columns:
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def turning(turn: int) -> tuple[bool, bool, bool]:
    """What makes a picture under EXIF orientation `turn` (1..8) upright: axes swapped, then rows, columns mirrored."""
    return turn in (5, 6, 7, 8), turn in (3, 4, 7, 8), turn in (2, 3, 6, 7)


def _resized(alpha: Pixels | None, size: tuple[int, int]) -> Pixels | None:
    if alpha is None or alpha.shape == size:
        return alpha
    from PIL import Image

    image = Image.fromarray(alpha).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).clip(0, 1)
