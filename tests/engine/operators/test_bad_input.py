"""What is wrong, with which value: for constructors and for pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lmaps.engine import operators
from lmaps.engine.operators import Operator

from .cases import pictures

Build = Callable[[], object]
NAN_KERNEL = torch.full((3, 3), math.nan)

CONSTRUCTORS: list[tuple[Build, str]] = [
    (lambda: operators.SuperResolution(0), "factor .* got 0"),
    (lambda: operators.SuperResolution(2.5), "factor .* got 2.5"),
    (lambda: operators.SuperResolution(True), "factor .* got True"),
    (lambda: operators.SuperResolution("4"), "factor .* got '4'"),
    (lambda: operators.Inpainting(torch.tensor([[0.0, 0.5]])), "other values such as 0.5"),
    (lambda: operators.Inpainting(torch.ones(4)), r"shape \(4,\)"),
    (lambda: operators.Inpainting(torch.ones(0, 4)), r"shape \(0, 4\)"),
    (lambda: operators.Inpainting(NAN_KERNEL), "9 values that are not finite"),
    (lambda: operators.Inpainting.box(0), "size .* got 0"),
    (lambda: operators.Inpainting.box(8, seed=-1), "seed .* got -1"),
    (lambda: operators.Inpainting.box(8, shape=(7, 9)), "size 8 does not fit in a picture of 7x9"),
    (lambda: operators.Inpainting.random(0), "keep .* got 0"),
    (lambda: operators.Inpainting.random(1.01), "keep .* got 1.01"),
    (lambda: operators.Inpainting.random(seed=2**32), "seed .* got 4294967296"),
    (lambda: operators.GaussianBlur(size=60), "odd.* got 60: use 61"),
    (lambda: operators.GaussianBlur(std=0), "std .* got 0"),
    (lambda: operators.GaussianBlur(std=math.nan), "std .* got nan"),
    (lambda: operators.GaussianBlur(padding="mirror"), "padding must be one of reflect, .* got 'mirror'"),
    (lambda: operators.MotionBlur(intensity=1.5), "intensity .* got 1.5"),
    (lambda: operators.MotionBlur(size=1), "size .* got 1"),
    (lambda: operators.Blur(torch.zeros(3, 3)), "zero everywhere"),
    (lambda: operators.Blur(torch.ones(3)), r"shape \(3,\)"),
    (lambda: operators.Blur(NAN_KERNEL), "kernel holds 9 values that are not finite"),
    (lambda: operators.Blur(np.ones((1, 2000))), r"shape \(1, 2000\)"),
    (lambda: operators.PhaseRetrieval(-1), "oversample .* got -1"),
    (lambda: operators.HDR(0), "scale .* got 0"),
    (lambda: operators.HDR(math.inf), "scale .* got inf"),
    (lambda: operators.HDR(gradient="none"), "gradient must be one of clip, identity, got 'none'"),
    (lambda: operators.Quantize(0), "bits .* got 0"),
    (lambda: operators.Quantize(17), "bits .* got 17"),
    (lambda: operators.NonlinearBlur(seed=1.5), "seed .* got 1.5"),
    (lambda: operators.JPEG(0), "quality .* got 0"),
    (lambda: operators.JPEG(101), "quality .* got 101"),
    (lambda: operators.JPEG(None), "quality .* got None"),
    (lambda: operators.JPEG(5, "4:1:0"), "subsampling must be one of .* got '4:1:0'"),
    (lambda: operators.JPEG(5, chroma="mean"), "chroma must be one of .* got 'mean'"),
    (lambda: operators.JPEG(tables=torch.ones(8, 8)), r"tables .* shape \(8, 8\)"),
    (lambda: operators.JPEG(tables=torch.zeros(3, 8, 8)), "from 1 to 65535, got 0 to 0"),
]


@pytest.mark.parametrize(("build", "message"), CONSTRUCTORS, ids=[m for _, m in CONSTRUCTORS])
def test_constructors_name_the_value(build: Build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_arrays_of_anything_else_are_refused() -> None:
    with pytest.raises(TypeError, match="kernel must be an array of numbers"):
        operators.Blur("kernel.png")
    with pytest.raises(TypeError, match="mask must be an array of numbers"):
        operators.Inpainting(None)


ALL: list[Operator] = [
    operators.Denoise(),
    operators.SuperResolution(2),
    operators.Inpainting.box(4),
    operators.Inpainting.random(),
    operators.GaussianBlur(5, 1.0),
    operators.MotionBlur(11),
    operators.PhaseRetrieval(),
    operators.HDR(),
    operators.JPEG(),
    operators.NonlinearBlur(),
    operators.Quantize(),
]


@pytest.mark.parametrize("operator", ALL, ids=lambda o: type(o).__name__)
def test_pictures_are_checked(operator: Operator) -> None:
    name = type(operator).__name__
    with pytest.raises(ValueError, match=rf"{name} takes .* got shape \(3, 8, 8\)"):
        operator(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match=r"no empty axis, got shape \(0, 3, 8, 8\)"):
        operator(torch.zeros(0, 3, 8, 8))
    with pytest.raises(TypeError, match=r"float32 or float64, got torch\.uint8"):
        operator(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="takes tensors, got ndarray"):
        operator(np.zeros((1, 3, 8, 8)))


def test_channels_are_checked() -> None:
    with pytest.raises(ValueError, match="mask has 3 channels, the picture 1"):
        operators.Inpainting(torch.ones(3, 4, 4))(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"NonlinearBlur .* got 1"):
        operators.NonlinearBlur()(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="got 4"):
        operators.JPEG()(torch.zeros(1, 4, 16, 16))


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"mask is 4x4 .*picture 4x5: resize"):
        operators.Inpainting(torch.ones(4, 4))(torch.zeros(1, 1, 4, 5))
    with pytest.raises(ValueError, match="box of size 128 does not fit in a picture of 64x256"):
        operators.Inpainting.box()(torch.zeros(1, 3, 64, 256))


@pytest.mark.parametrize("noise", [-0.1, math.nan])
def test_noise_is_checked(noise: float) -> None:
    with pytest.raises(ValueError, match="noise"):
        operators.Denoise().degrade(pictures((4, 4)), noise=noise)


def test_every_operator_runs_on_the_smallest_picture() -> None:
    for operator in ALL:
        size = (4, 4) if isinstance(operator, operators.Inpainting) else (2, 2)
        y = operator.degrade(pictures(size, torch.float32), noise=0.05, seed=1)
        assert torch.isfinite(y).all()
        assert operator.start(y).shape == (2, 3, *size)
