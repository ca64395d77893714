"""Bicubic reduction against the definition, pixel by pixel in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lmaps.engine.operators import SuperResolution

from .cases import pictures, relative


def cubic(t: float) -> float:
    """Keys' kernel with a = -1/2."""
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def reduced(signal: np.ndarray, factor: int) -> np.ndarray:
    """One axis, one output at a time: weights of the stretched kernel on the mirrored signal, normalised."""
    n = len(signal)
    out = []
    for i in range(n // factor):
        centre = (i + 0.5) * factor - 0.5
        total = weight = 0.0
        for j in range(int(centre) - 3 * factor, int(centre) + 3 * factor + 1):
            w = cubic((centre - j) / factor)
            k = j
            while not 0 <= k < n:
                k = -1 - k if k < 0 else 2 * n - 1 - k
            total, weight = total + w * signal[k], weight + w
        out.append(total / weight)
    return np.asarray(out)


@pytest.mark.parametrize(("factor", "size"), [(4, (32, 20)), (2, (6, 14)), (3, (9, 12)), (8, (16, 8)), (4, (4, 4))])
def test_is_the_plain_loop(factor: int, size: tuple[int, int]) -> None:
    x = pictures(size, batch=1)
    y = SuperResolution(factor)(x)
    for channel in range(3):
        rows = np.apply_along_axis(reduced, 0, x[0, channel].numpy(), factor)
        expected = np.apply_along_axis(reduced, 1, rows, factor)
        np.testing.assert_allclose(y[0, channel].numpy(), expected, atol=1e-13)


def test_interior_is_that_of_pillow() -> None:
    """Pillow's bicubic is the same kernel with another border (it cuts the kernel off there)."""
    x = pictures((64, 96), torch.float32, batch=1)
    y = SuperResolution(4)(x)[0, 0].numpy()
    theirs = np.asarray(Image.fromarray(x[0, 0].numpy()).resize((24, 16), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(y[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=2e-6)


def test_a_constant_stays() -> None:
    x = torch.full((1, 3, 256, 256), -0.7, dtype=torch.float64)
    assert float((SuperResolution()(x) + 0.7).abs().max()) <= 1e-14
    assert relative(SuperResolution().start(SuperResolution()(x)), x) <= 0.05


def test_sixteen_taps() -> None:
    x = torch.zeros((1, 1, 64, 64), dtype=torch.float64)
    x[0, 0, 32, 32] = 1
    y = SuperResolution(4)(x)
    assert int((y.abs() > 1e-12).any(-1).sum()) == 4
    assert SuperResolution(4)(pictures((256, 256), torch.float32)).shape == (2, 3, 64, 64)


def test_sides_must_be_multiples() -> None:
    with pytest.raises(ValueError, match=r"multiples of 4, got 31: crop to 28 or pad to 32"):
        SuperResolution(4)(pictures((32, 31)))
