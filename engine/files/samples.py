"""Whole-number samples of 8 or 16 bits, as files store them, and the floats of a `Picture`.

value in [0, 1] = sample / (2^bits - 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .picture import Picture, Pixels
from .problem import FileProblem

UNUSUAL = "has samples in an unusual layout; save it as plain grey or RGB with 8 or 16 bits"


def from_samples(samples: NDArray[Any], size: tuple[int, int]) -> tuple[Pixels, Pixels | None]:
    """[1..4, H, W] uint8 or uint16 -> pixels [1 or 3, H, W] and alpha [H, W] or None, float32 in [0, 1].

    Raises FileProblem for another layout than `size` (H, W) promised.
    """
    if samples.dtype not in (np.uint8, np.uint16) or samples.ndim != 3 or samples.shape[1:] != size:
        raise FileProblem(UNUSUAL)
    if samples.shape[0] not in (1, 2, 3, 4):
        raise FileProblem(UNUSUAL)
    values = samples.astype(np.float32) / np.float32(np.iinfo(samples.dtype).max)
    return (values, None) if samples.shape[0] in (1, 3) else (values[:-1], values[-1])


def to_samples(picture: Picture, bits: int) -> NDArray[Any]:
    """[H, W], [H, W, 2], [H, W, 3] or [H, W, 4]: the channels, then alpha; rounded to the nearest level."""
    channels = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha[None]])
    kind = np.uint16 if bits == 16 else np.uint8
    levels = np.rint(channels.clip(0, 1) * np.iinfo(kind).max).astype(kind).transpose(1, 2, 0)
    return np.ascontiguousarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
