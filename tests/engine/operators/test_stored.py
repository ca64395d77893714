"""Every operator survives the way into a file and back, and says what it is in plain values."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

from lmaps.engine import operators
from lmaps.engine.operators import Operator

from .cases import HALF_MASK, ODD_KERNEL, pictures

OPERATORS: list[Operator] = [
    operators.Denoise(),
    operators.SuperResolution(2),
    operators.Inpainting(HALF_MASK),
    operators.Inpainting.box(5, seed=3),
    operators.Inpainting.random(0.4, seed=3),
    operators.GaussianBlur(9, 1.5, padding="zero"),
    operators.Blur(ODD_KERNEL, padding="circular"),
    operators.MotionBlur(11, 0.7, seed=2, padding="replicate"),
    operators.NonlinearBlur(seed=4),
    operators.PhaseRetrieval(1.0),
    operators.HDR(3.0, gradient="identity"),
    operators.Quantize(3),
    operators.JPEG(12, "4:2:2"),
    operators.InverseScattering(7, 3, side=12),
    operators.JPEG(tables=torch.full((2, 8, 8), 9), subsampling="4:4:4", chroma="average"),
]


def through_a_file(config: dict[str, object]) -> dict[str, object]:
    file = io.BytesIO()
    np.savez(file, **{k: v.numpy() if isinstance(v, torch.Tensor) else np.asarray(v) for k, v in config.items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as data:
        return dict(data)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_round_trip(operator: Operator) -> None:
    size = {OPERATORS[2]: (9, 14), OPERATORS[-2]: (12, 12)}.get(operator, (12, 14))
    x = pictures(size)
    again = operators.from_config(through_a_file(operator.config()))
    assert torch.equal(again(x), operator(x))
    assert torch.equal(again.surrogate_vjp(x, operator(x)), operator.surrogate_vjp(x, operator(x)))
    assert again.config().keys() == operator.config().keys()


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_description_is_plain(operator: Operator) -> None:
    described = json.loads(json.dumps(operator.describe()))
    assert described["operator"].split(".")[0] == type(operator).__name__


def test_a_motion_blur_is_stored_as_its_kernel() -> None:
    assert operators.MotionBlur(11).config()["operator"] == "Blur"
    assert operators.MotionBlur(11, seed=5).describe()["seed"] == 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "operator must be one of .*, got None"),
        ({"operator": "Sharpen"}, "got 'Sharpen'"),
        ({"operator": "HDR", "speed": 3}, "parameters of HDR do not fit .*speed"),
        ({"operator": "Blur"}, "parameters of Blur do not fit"),
        ({"operator": "Quantize", "bits": 0}, "bits .* got 0"),
    ],
)
def test_bad_config_is_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operators.from_config(config)
