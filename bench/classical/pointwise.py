"""Clipped, quantised and compressed pictures: undo what can be undone, then smooth what is left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from lmaps.engine.operators import HDR, Quantize

from . import denoising
from .measurement import Measurement, Method, Pixels

Smooth = Callable[..., Pixels]
Undo = Callable[..., Pixels]
WEIGHTS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.45, 0.6, 0.9)
SIGMAS = (0.025, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4)
COLOURS, SPACES = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 0.9), (1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 13.0)


def unclipped(m: Measurement, y: Pixels, beyond: float) -> Pixels:
    """x = y / scale in [-1, 1] units up to |y| = 0.9; from there to |y| = 1 up to `beyond`, a guess at what was clipped."""
    if not isinstance(m.operator, HDR):
        raise TypeError(f"the inverse of a clip needs HDR, got {type(m.operator).__name__}")
    signed, knee = 2 * y - 1, 0.9
    curve = np.interp(np.abs(signed), (0, knee, 1), (0, knee / m.operator.scale, beyond))
    return (np.sign(signed) * curve + 1) / 2


def snapped(m: Measurement) -> Pixels:
    """Every value to the nearest level of the quantiser, which takes the noise away."""
    if not isinstance(m.operator, Quantize):
        raise TypeError(f"snapping to levels needs Quantize, got {type(m.operator).__name__}")
    levels = m.operator.intervals
    return np.rint(m.y * levels).clip(0, levels) / levels


def _measured(m: Measurement) -> Pixels:
    return m.y.clip(0, 1)


def _smoothed(m: Measurement, *, before: Callable[[Measurement], Pixels], smooth: Smooth, **settings: float) -> Pixels:
    return smooth(before(m), **settings)


def _hdr(m: Measurement, beyond: float, *, smooth: Smooth | None = None, **settings: float) -> Pixels:
    """Smoothed before the curve is undone, where the noise is still white."""
    return unclipped(m, m.y if smooth is None else smooth(m.y, **settings), beyond)


def _family(name: str, before: Callable[[Measurement], Pixels]) -> tuple[Method, ...]:
    return (
        Method(name, before),
        Method("TV", partial(_smoothed, before=before, smooth=denoising.tv), {"weight": WEIGHTS}),
        Method(
            "bilateral",
            partial(_smoothed, before=before, smooth=denoising.bilateral),
            {"sigma_colour": COLOURS, "sigma_space": SPACES},
            needs=("cv2",),
        ),
        Method("BM3D", partial(_smoothed, before=before, smooth=denoising.bm3d), {"sigma": SIGMAS}, needs=("bm3d",)),
    )


_BEYOND = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
JPEG_METHODS = _family("decoded", _measured)
QUANTIZE_METHODS = _family("nearest level", snapped)
HDR_METHODS = (
    Method("inverse", _hdr, {"beyond": _BEYOND}),
    Method("TV, inverse", partial(_hdr, smooth=denoising.tv), {"weight": WEIGHTS[:5], "beyond": _BEYOND}),
    Method(
        "BM3D, inverse", partial(_hdr, smooth=denoising.bm3d), {"sigma": SIGMAS[:3], "beyond": _BEYOND}, needs=("bm3d",)
    ),
)
