"""Enlarging a small noisy picture: interpolation, of the measurement as it is or after denoising it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from . import denoising
from .measurement import Measurement, Method, Pixels
from .variational import tv_inverse


def enlarged(x: Pixels, size: tuple[int, int], kind: Image.Resampling) -> Pixels:
    """x [h, w, C] at size (H, W) by Pillow, in float32."""
    height, width = size
    planes = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), kind))
        for plane in x.transpose(2, 0, 1)
    ]
    return np.stack(planes, -1).astype(np.float64)


def _interpolation(kind: Image.Resampling) -> Callable[[Measurement], Pixels]:
    return lambda m: enlarged(m.y, m.size, kind)


def _bicubic_of_tv(m: Measurement, weight: float) -> Pixels:
    return enlarged(denoising.tv(m.y, weight), m.size, Image.Resampling.BICUBIC)


def _bicubic_of_bm3d(m: Measurement, sigma: float) -> Pixels:
    return enlarged(denoising.bm3d(m.y, sigma), m.size, Image.Resampling.BICUBIC)


METHODS = (
    Method("bicubic", _interpolation(Image.Resampling.BICUBIC)),
    Method("Lanczos", _interpolation(Image.Resampling.LANCZOS)),
    Method("TV, bicubic", _bicubic_of_tv, {"weight": (0.0005, 0.001, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05)}),
    Method("BM3D, bicubic", _bicubic_of_bm3d, {"sigma": (0.01, 0.015, 0.02, 0.025, 0.03)}, needs=("bm3d",)),
    Method("TV inverse", tv_inverse, {"weight": (0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008), "iterations": (60, 200)}),
)
