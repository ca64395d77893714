"""JPEG and its inner problem against float64 NumPy and SciPy's DCT."""

from __future__ import annotations

import numpy as np
import pytest

from lmaps import _native

from .twins import Array, Guarded, descend, jpeg, random, relative, steady

SAMPLING = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2), "4:4:0": (2, 1), "4:1:1": (1, 4)}
STEPS = [0, 1, 7, 100]
# 33 x 50 is cut by the edge in both directions for every sampling; 32 x 64 by none.
SHAPES = [(2, 3, 32, 64), (1, 3, 33, 50), (1, 3, 5, 3)]


def tables(rng: np.random.Generator) -> tuple[Array, Array]:
    """Unequal everywhere, so that a transposed table or swapped chroma would show."""
    return rng.integers(5, 60, (8, 8)).astype(np.float32), rng.integers(5, 90, (2, 8, 8)).astype(np.float32)


def smooth(rng: np.random.Generator, *shape: int) -> Array:
    ramp = np.linspace(-0.8, 0.8, shape[-1]) * np.linspace(0.3, 1, shape[-2])[:, None]
    return (ramp + 0.1 * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("chroma", ["decimate", "average"])
def test_forward(isa: str, shape: tuple[int, ...], sampling: str, chroma: str) -> None:
    rng = np.random.default_rng(0)
    luma, both = tables(rng)
    x = random(rng, *shape)
    down, across = SAMPLING[sampling]

    def run(v: Array) -> Array:
        return jpeg(v, luma, both, down, across, chroma == "average")

    expected, calm = steady(x, np.random.default_rng(1), run)
    out = Guarded(shape)
    seen = out.check(_native.jpeg_forward(x, luma, both, sampling, chroma=chroma, out=out.inside))
    assert calm.mean() > 0.9
    assert relative(seen[calm], expected[calm]) <= 2e-6


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("chroma", ["decimate", "average"])
def test_steps(shape: tuple[int, ...], sampling: str, chroma: str, steps: int) -> None:
    rng = np.random.default_rng(2)
    luma, both = tables(rng)
    xhat = smooth(rng, *shape)
    y = jpeg(xhat + 0.05 * rng.standard_normal(shape), luma, both, *SAMPLING[sampling]).astype(np.float32)
    down, across = SAMPLING[sampling]

    def run(v: Array) -> Array:
        pull = lambda x: jpeg(x, luma, both, down, across, chroma == "average") - y  # noqa: E731
        return descend(v, pull, 0.3, 0.9, 0.5, steps)

    expected, calm = steady(xhat, np.random.default_rng(3), run)
    for name in _native.available_isas():
        _native.force_isa(name)
        out = Guarded(shape)
        x = out.check(
            _native.jpeg_steps(xhat, y, luma, both, sampling, 0.3, 0.9, 0.5, steps, chroma=chroma, out=out.inside)
        )
        assert calm.mean() > 0.7
        assert relative(x[calm], expected[calm]) <= 2e-6


@pytest.mark.parametrize("shape", [(2, 1, 16, 24), (1, 1, 13, 9)])
def test_grey(isa: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    luma, both = tables(rng)
    xhat, y = smooth(rng, *shape), smooth(rng, *shape)
    expected, calm = steady(
        xhat,
        np.random.default_rng(5),
        lambda v: descend(v, lambda x: jpeg(x, luma, both, 1, 1) - y, 0.5, 0.8, 0.6, 9),
    )
    x = _native.jpeg_steps(xhat, y, luma, None, "4:2:0", 0.5, 0.8, 0.6, 9)
    assert calm.mean() > 0.7
    assert relative(x[calm], expected[calm]) <= 2e-6


def test_lost_chroma_grows_with_the_steps(isa: str) -> None:
    """With J = I and no pull of the prior (r = 1) what H cannot show of y adds up step by step: K eta k2 of it."""
    rng = np.random.default_rng(6)
    luma = np.full((8, 8), 1e-2, np.float32)
    xhat = np.zeros((1, 3, 16, 16), np.float32)
    y = 0.1 * random(rng, 1, 3, 16, 16)
    kept = jpeg(y.astype(np.float64), luma, np.stack([luma, luma]), 2, 2)
    x = _native.jpeg_steps(xhat, y, luma, luma, "4:2:0", 1.0, 1.0, 0.5, 100)
    assert relative(x, kept + 100 * 0.5 * (y - kept)) <= 1e-3  # the fine table still rounds


def test_one_chroma_table_serves_both(isa: str) -> None:
    rng = np.random.default_rng(7)
    luma, both = tables(rng)
    x = random(rng, 1, 3, 16, 16)
    twice = np.stack([both[0], both[0]])
    np.testing.assert_array_equal(
        _native.jpeg_forward(x, luma, both[0].copy(), "4:2:0"), _native.jpeg_forward(x, luma, twice, "4:2:0")
    )
