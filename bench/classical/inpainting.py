"""Filling what a mask hides, where the known pixels are noisy: fill, denoise, and for large holes fill once more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic

from lmaps.engine.operators import Inpainting

from . import denoising
from .measurement import Measurement, Method, Pixels
from .variational import tv_inverse

Fill = Callable[[Pixels, NDArray[np.bool_]], Pixels]
SIGMAS = (0.015, 0.02, 0.025, 0.03, 0.04, 0.055, 0.08, 0.11, 0.15)
WEIGHTS = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)


def missing(m: Measurement) -> NDArray[np.bool_]:
    """[H, W], true where the mask hides the pixel."""
    if not isinstance(m.operator, Inpainting):
        raise TypeError(f"inpainting needs a mask, got {type(m.operator).__name__}")
    return m.operator.mask(*m.size)[0].numpy() == 0


def biharmonic(x: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """The smoothest surface through the known pixels (scikit-image; Damelin and Hoang 2018)."""
    known = np.where(hole[..., None], 0, x)
    return np.asarray(inpaint_biharmonic(known, hole, channel_axis=-1), np.float64)


def telea(x: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """OpenCV's fast marching (Telea 2004), in 8 bits."""
    import cv2

    return _opencv(x, hole, cv2.INPAINT_TELEA)


def navier_stokes(x: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """OpenCV's transport of isophotes (Bertalmio, Bertozzi, Sapiro 2001), in 8 bits."""
    import cv2

    return _opencv(x, hole, cv2.INPAINT_NS)


def filled(m: Measurement, *, fill: Fill) -> Pixels:
    """The hole filled, the noise of the known pixels left as it is."""
    return fill(m.y, missing(m))


def scattered_with_bm3d(m: Measurement, sigma: float, *, fill: Fill) -> Pixels:
    """For single missing pixels: fill, then BM3D over all."""
    return denoising.bm3d(fill(m.y, missing(m)), sigma)


def hole_with_bm3d(m: Measurement, sigma: float, *, fill: Fill) -> Pixels:
    """For a large hole: BM3D of the known part (the hole filled for the time being), then the hole filled from that."""
    hole = missing(m)
    return fill(denoising.bm3d(telea(m.y, hole), sigma), hole)


def _opencv(x: Pixels, hole: NDArray[np.bool_], kind: int) -> Pixels:
    import cv2

    levels = np.rint(x.clip(0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.inpaint(levels, hole.astype(np.uint8), 3, kind), np.float64) / 255


_FILLS: tuple[tuple[str, Fill, tuple[str, ...]], ...] = (
    ("biharmonic", biharmonic, ()),
    ("Telea", telea, ("cv2",)),
    ("Navier-Stokes", navier_stokes, ("cv2",)),
)


def _methods(with_bm3d: Callable[..., Pixels], name: str) -> tuple[Method, ...]:
    plain = [Method(kind, partial(filled, fill=fill), needs=needs) for kind, fill, needs in _FILLS]
    denoised = [
        Method(name.format(kind), partial(with_bm3d, fill=fill), {"sigma": SIGMAS}, needs=("bm3d", "cv2"))
        for kind, fill, _ in _FILLS
    ]
    return (*plain, *denoised, Method("TV inverse", tv_inverse, {"weight": WEIGHTS, "iterations": (60, 200, 500)}))


HOLE = _methods(hole_with_bm3d, "BM3D, {}")
SCATTERED = _methods(scattered_with_bm3d, "{}, BM3D")
