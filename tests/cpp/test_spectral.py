"""The spectral filter against the loop it replaces and exact arithmetic, and the middle of the phase-retrieval step."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from lmaps import _native

from .twins import Array, Guarded, relative

STEPS = [0, 1, 7, 100]


def eigenvalues(rng: np.random.Generator, *shape: int) -> Array:
    lam = rng.uniform(0, 1, shape).astype(np.float32)
    lam.reshape(-1)[:3] = [0, 1e-12, 1e-30]
    return lam


def complex_random(rng: np.random.Generator, *shape: int) -> Array:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("kept", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_filter_is_the_loop(isa: str, dtype: type, kept: int, steps: int) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 3, 13, 29)
    lam = eigenvalues(rng, *shape[-kept:])
    c, b = complex_random(rng, *shape), complex_random(rng, *shape)
    if dtype is np.float32:
        c, b = c.real.copy(), b.real.copy()
    x = c.astype(np.complex128)
    for _ in range(steps):
        x = x - 0.8 * (0.6 * (x - c) + 0.4 * 1.5 * (lam.astype(np.float64) * x - b))
    x = x if dtype is np.complex64 else x.real
    out = Guarded(shape, dtype)
    assert relative(out.check(_native.spectral_filter(c, b, lam, 0.4, 1.5, 0.8, steps, out=out.inside)), x) <= 2e-6
    w = _native.spectral_gain(lam, 0.4, 1.5, 0.8, steps)
    assert w.shape == lam.shape
    out = Guarded(shape, dtype)
    assert relative(out.check(_native.spectral_apply(c, b, lam, w, out=out.inside)), x) <= 2e-6


@pytest.mark.parametrize(("r", "eta"), [(0.5, 0.7), (0.999999, 0.9), (1.0, 0.9), (0.01, 1.3)])
@pytest.mark.parametrize("steps", [1, 2, 3, 99, 100, 1000])
def test_gain_to_the_last_digit(isa: str, r: float, eta: float, steps: int) -> None:
    """w = r k2 (1 - (1 - eta m)^K) / m in exact fractions: nothing cancels, however small m is."""
    lam = np.array([0, 1e-30, 1e-12, 1e-7, 1e-3, 0.1, 0.5, 1.0], np.float32)
    got = _native.spectral_gain(lam, r, 2.0, eta, steps)
    for value, w in zip(lam.tolist(), got.tolist(), strict=True):
        m = (1 - Fraction(r)) + Fraction(r) * 2 * Fraction(value)
        q = (1 - (1 - Fraction(eta) * m) ** steps) / m if m else Fraction(eta) * steps
        assert w == pytest.approx(float(Fraction(r) * 2 * q), rel=2e-7, abs=1e-30)


@pytest.mark.parametrize("steps", ["exact", math.inf])
def test_the_minimum_itself(isa: str, steps: str | float) -> None:
    lam = np.array([0.0, 0.25, 4.0], np.float32)
    np.testing.assert_allclose(_native.spectral_gain(lam, 0.5, 2.0, 0.1, steps), 1 / (0.5 + lam), rtol=1e-7)
    np.testing.assert_allclose(_native.spectral_gain(lam, 1.0, 2.0, 0.1, steps), [0, 4, 0.25], rtol=1e-7)


def test_very_many_steps_approach_the_minimum(isa: str) -> None:
    lam = np.array([0.25, 1.0], np.float32)
    exact = _native.spectral_gain(lam, 0.5, 1.0, 0.3, "exact")
    np.testing.assert_allclose(_native.spectral_gain(lam, 0.5, 1.0, 0.3, 2**40), exact, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 1003])
def test_phase_middle(isa: str, count: int) -> None:
    rng = np.random.default_rng(1)
    out = Guarded((count,), np.complex64)
    out.inside[:] = complex_random(rng, count) * 10.0 ** rng.uniform(-38, 37, count)
    out.inside[0] = 0
    y = rng.uniform(0, 2, count).astype(np.float32)
    z = out.inside.astype(np.complex128)
    length = np.abs(z)
    expected = z - y * np.divide(z, length, out=np.zeros_like(z), where=length > 0)
    u = out.check(_native.phase_middle(out.inside, y))
    assert (np.abs(u - expected) <= 5e-7 * (length + y)).all()
    assert u[0] == 0


def test_phase_middle_is_half_the_gradient_of_the_misfit() -> None:
    """Re A^H (z - y z/|z|) from autograd of half the sum of (|A x| - y)^2, A the orthonormal FFT."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 12, 10, generator=generator, dtype=torch.float64).requires_grad_()
    y = torch.rand(2, 3, 12, 10, generator=generator, dtype=torch.float64)
    spectrum = torch.fft.fft2(x, norm="ortho")
    (gradient,) = torch.autograd.grad(0.5 * (spectrum.abs() - y).square().sum(), x)
    z = spectrum.detach().to(torch.complex64)
    assert _native.phase_middle(z, y.float()) is z
    assert relative(torch.fft.ifft2(z, norm="ortho").real.numpy(), gradient.numpy()) <= 2e-6
