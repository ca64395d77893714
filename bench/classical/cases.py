"""The ten restoration cases of the report: operator, the task whose preset fits it, and the classical methods for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lmaps.engine import operators
from lmaps.engine.operators import Operator

from . import deblurring, inpainting, pointwise, upscaling
from .measurement import Method

SIGMA_Y = 0.05


@dataclass(frozen=True)
class Case:
    """build: the picture's number -> operator; where it is `drawn`, masks and kernels differ from picture to picture."""

    name: str
    title: str
    task: str
    build: Callable[[int], Operator]
    methods: tuple[Method, ...]
    drawn: bool = False


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("sr4", "super-resolution x4", "sr4", lambda seed: operators.SuperResolution(4), upscaling.METHODS),
        Case(
            "box-64",
            "box, 64 px",
            "inpaint-box",
            lambda seed: operators.Inpainting.box(size=64, seed=seed),
            inpainting.HOLE,
            drawn=True,
        ),
        Case(
            "box-128",
            "box, 128 px",
            "inpaint-box",
            lambda seed: operators.Inpainting.box(size=128, seed=seed),
            inpainting.HOLE,
            drawn=True,
        ),
        Case(
            "random-70",
            "70 % of the pixels missing",
            "inpaint-random",
            lambda seed: operators.Inpainting.random(keep=0.3, seed=seed),
            inpainting.SCATTERED,
            drawn=True,
        ),
        Case(
            "gaussian",
            "Gaussian blur, std 3 px",
            "deblur-gaussian",
            lambda seed: operators.GaussianBlur(),
            deblurring.METHODS,
        ),
        Case(
            "motion",
            "motion blur, 61 px",
            "deblur-motion",
            lambda seed: operators.MotionBlur(seed=seed),
            deblurring.METHODS,
            drawn=True,
        ),
        Case("jpeg-5", "JPEG, quality 5", "jpeg", lambda seed: operators.JPEG(5), pointwise.JPEG_METHODS),
        Case("jpeg-10", "JPEG, quality 10", "jpeg", lambda seed: operators.JPEG(10), pointwise.JPEG_METHODS),
        Case(
            "quantize-2", "2 bits a channel", "quantize", lambda seed: operators.Quantize(2), pointwise.QUANTIZE_METHODS
        ),
        Case("hdr", "HDR, exposure x2 clipped", "hdr", lambda seed: operators.HDR(2.0), pointwise.HDR_METHODS),
    )
}


def get(name: str) -> Case:
    """The case `name`; ValueError for an unknown one."""
    if name not in CASES:
        raise ValueError(f"unknown case {name!r}, available: {', '.join(CASES)}")
    return CASES[name]
