"""Mask, HDR and quantisation against float64 NumPy, K gradient steps each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lmaps import _native

from .twins import Array, Guarded, descend, quantized, random, relative, steady

STEPS = [0, 1, 7, 100]
SHAPES = [(1, 1, 1, 5), (2, 3, 17, 23), (1, 3, 64, 130)]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kept", [2, 3, 4])
def test_mask(isa: str, shape: tuple[int, ...], kept: int, steps: int) -> None:
    rng = np.random.default_rng(0)
    xhat, y, mask = random(rng, *shape), random(rng, *shape), random(rng, *shape[-kept:])
    mask[..., ::2] = 1
    out = Guarded(shape)
    x = out.check(_native.mask_steps(xhat, y, mask, 0.3, 1.5, 0.8, steps, out=out.inside))
    m = mask.astype(np.float64)
    assert relative(x, descend(xhat, lambda v: m * (m * v - y), 0.3, 1.5, 0.8, steps)) <= 2e-6


def test_many_tiny_steps_add_up(isa: str) -> None:
    """A step far below a unit in the last place of x still counts: the steps are taken on x - xhat."""
    rng = np.random.default_rng(0)
    xhat, y, mask = random(rng, 1, 1, 9, 9), random(rng, 1, 1, 9, 9), np.ones((9, 9), np.float32)
    x = _native.mask_steps(xhat, y, mask, 1.0, 1.0, 1e-8, 5000)
    moved = -math.expm1(5000 * math.log1p(-1e-8)) * (y.astype(np.float64) - xhat)
    assert relative(x.astype(np.float64) - xhat, moved) <= 2e-3  # float32 rounds x itself to 6e-8
    assert np.abs(x - xhat).max() > 0


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gradient", ["exact", "surrogate"])
def test_hdr(isa: str, shape: tuple[int, ...], gradient: str, steps: int) -> None:
    rng = np.random.default_rng(1)
    xhat, y = random(rng, *shape), np.clip(1.5 * random(rng, *shape), -1, 1)
    scale = 2.0

    def pull(v: Array) -> Array:
        slope = 1.0 if gradient == "surrogate" else np.where(np.abs(scale * v) <= 1, scale, 0.0)
        return slope * (np.clip(scale * v, -1, 1) - y)

    expected, calm = steady(xhat, np.random.default_rng(2), lambda v: descend(v, pull, 0.6, 0.4, 0.9, steps))
    out = Guarded(shape)
    x = out.check(_native.hdr_steps(xhat, y, scale, 0.6, 0.4, 0.9, steps, gradient=gradient, out=out.inside))
    assert calm.mean() > 0.99
    assert relative(x[calm], expected[calm]) <= 2e-6


def test_hdr_gradient_passes_at_the_ends_of_the_range(isa: str) -> None:
    """As in torch.clamp: at scale x = 1 exactly the slope is `scale`, just beyond it 0."""
    x = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], np.float32).reshape(1, 1, 1, 2)
    y = np.zeros_like(x)
    moved = _native.hdr_steps(x, y, 2.0, 1.0, 1.0, 0.125, 1)
    np.testing.assert_array_equal(moved.ravel(), [0.25, x[0, 0, 0, 1]])


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_quantize(isa: str, shape: tuple[int, ...], bits: int, steps: int) -> None:
    rng = np.random.default_rng(3)
    xhat, y = random(rng, *shape), random(rng, *shape)

    def run(v: Array) -> Array:
        return descend(v, lambda x: quantized(x, bits) - y, 0.2, 0.5, 0.3, steps)

    expected, calm = steady(xhat, np.random.default_rng(4), run)
    out = Guarded(shape)
    x = out.check(_native.quantize_steps(xhat, y, bits, 0.2, 0.5, 0.3, steps, out=out.inside))
    assert calm.mean() > 0.95
    assert relative(x[calm], expected[calm]) <= 2e-6


def test_levels_of_two_bits(isa: str) -> None:
    """y = H(x) leaves x alone, so the levels -1, -1/3, 1/3, 1 show as fixed points."""
    x = np.linspace(-1, 1, 40, dtype=np.float32).reshape(1, 1, 1, 40)
    levels = np.array([-1, -1 / 3, 1 / 3, 1])
    nearest = levels[np.abs(x.ravel()[:, None].astype(np.float64) - levels).argmin(1)]
    y = nearest.astype(np.float32).reshape(x.shape)
    assert np.abs(_native.quantize_steps(x, y, 2, 1.0, 1.0, 0.5, 3) - x).max() <= 2e-7
