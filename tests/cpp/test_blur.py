"""Blurs against dense matrices made from SciPy's correlation, every padding, odd sizes and kernels wider than the picture."""

from __future__ import annotations

import numpy as np
import pytest

from lmaps import _native

from .twins import Array, Guarded, blur_matrix, descend, random, relative

PADDINGS = ["reflect", "circular", "replicate", "zero"]
KERNELS = [(1, 1), (3, 5), (1, 9), (7, 1), (9, 13)]
HEIGHT, WIDTH = 11, 37


def through(matrix: Array, x: Array) -> Array:
    return (x.reshape(*x.shape[:2], -1).astype(np.float64) @ matrix.T).reshape(x.shape)


def kernels(rng: np.random.Generator, size: tuple[int, int], separable: bool) -> tuple[object, Array]:
    """What the binding takes, and the weights."""
    if not separable:
        weights = random(rng, *size) / 4
        return weights, weights
    column, row = random(rng, size[0]), random(rng, size[1]) / 2
    return (column, row), np.outer(column.astype(np.float64), row)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", KERNELS)
@pytest.mark.parametrize("separable", [False, True])
def test_forward_and_adjoint(padding: str, size: tuple[int, int], separable: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 2, HEIGHT, WIDTH)
    kernel, weights = kernels(rng, size, separable)
    matrix = blur_matrix(weights, padding, HEIGHT, WIDTH)
    x, u = random(rng, *shape), random(rng, *shape)
    seen, back = through(matrix, x), through(matrix.T, u)
    for name in _native.available_isas():
        _native.force_isa(name)
        out = Guarded(shape)
        hx = out.check(_native.blur_forward(x, kernel, padding, out=out.inside))
        assert relative(hx, seen) <= 2e-6
        out = Guarded(shape)
        htu = out.check(_native.blur_adjoint(u, kernel, padding, out=out.inside))
        assert relative(htu, back) <= 2e-6
        inner = np.vdot(hx.astype(np.float64), u), np.vdot(x, htu.astype(np.float64))
        assert abs(inner[0] - inner[1]) <= 1e-5 * np.linalg.norm(hx) * np.linalg.norm(u)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", KERNELS)
@pytest.mark.parametrize("separable", [False, True])
def test_steps(padding: str, size: tuple[int, int], separable: bool) -> None:
    rng = np.random.default_rng(1)
    height, width = 7, 19  # the reflected 9 x 13 kernel reaches as far as it may
    kernel, weights = kernels(rng, size, separable)
    matrix = blur_matrix(weights, padding, height, width)
    x, u = random(rng, 1, 2, height, width), random(rng, 1, 2, height, width)
    eta = 0.9 / max(1.0, float(np.linalg.norm(matrix, 2)) ** 2)
    for steps in (0, 1, 7, 100):
        expected = descend(x, lambda v: through(matrix.T, through(matrix, v) - u), 0.7, 1.2, eta, steps)
        for name in _native.available_isas():
            _native.force_isa(name)
            out = Guarded(x.shape)
            got = out.check(_native.blur_steps(x, u, kernel, padding, 0.7, 1.2, eta, steps, out=out.inside))
            assert relative(got, expected) <= 2e-6


@pytest.mark.parametrize("padding", ["replicate", "zero"])
def test_a_kernel_larger_than_the_picture(isa: str, padding: str) -> None:
    rng = np.random.default_rng(1)
    weights = random(rng, 15, 21)
    matrix = blur_matrix(weights, padding, 4, 6)
    x = random(rng, 1, 1, 4, 6)
    assert relative(_native.blur_forward(x, weights, padding), through(matrix, x)) <= 2e-6
    assert relative(_native.blur_adjoint(x, weights, padding), through(matrix.T, x)) <= 2e-6


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_61_tap_kernels_of_the_reference_tasks(padding: str) -> None:
    """At 64 x 65 the kernel reaches 30 entries beyond every side: separable and full agree with each other and with SciPy."""
    profile = np.exp(-0.5 * (np.arange(-30, 31) / 3.0) ** 2)
    profile = (profile / profile.sum()).astype(np.float32)
    rng = np.random.default_rng(2)
    x = random(rng, 1, 3, 64, 65)
    weights = np.outer(profile, profile)
    expected = np.stack([_scipy(plane, weights, padding) for plane in x[0]])[None]
    assert relative(_native.blur_forward(x, weights, padding), expected) <= 2e-6
    assert relative(_native.blur_forward(x, (profile, profile), padding), expected) <= 2e-6
    full = _native.blur_steps(x, x, weights, padding, 0.8, 1.0, 1.0, 5)
    separable = _native.blur_steps(x, x, (profile, profile), padding, 0.8, 1.0, 1.0, 5)
    assert relative(full, separable.astype(np.float64)) <= 1e-6


def _scipy(plane: Array, weights: Array, padding: str) -> Array:
    import scipy.ndimage

    from .twins import SCIPY_MODE

    return np.asarray(
        scipy.ndimage.correlate(plane.astype(np.float64), weights.astype(np.float64), mode=SCIPY_MODE[padding])
    )


def test_a_kernel_of_zeros_gives_zeros(isa: str) -> None:
    x = np.ones((1, 1, 5, 6), np.float32)
    out = Guarded(x.shape)
    assert not out.check(_native.blur_adjoint(x, np.zeros((3, 3), np.float32), "reflect", out=out.inside)).any()
