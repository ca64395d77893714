"""Inverse scattering against its formula written out, and the affine operator that it is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import hankel1
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.operators import InverseScattering, norm_squared, scattering_basis

from .cases import relative


def small(receivers: int = 30, transmitters: int = 5, side: int = 12) -> InverseScattering:
    return InverseScattering(receivers, transmitters, side=side)


def contrast(side: int = 12, channels: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return (torch.rand((2, channels, side, side), generator=generator, dtype=torch.float64) * 2 - 1).to(dtype)


def written_out(x: Tensor, receivers: int, transmitters: int) -> Tensor:
    """y[t, r] = dx^2 sum_p conj(f_p u_t(p)) g_r(p) with scipy's Hankel function, loops and all: [T, R] complex."""
    n = x.shape[-1]
    dx = 0.18 / n
    k = 2 * math.pi / (6 * dx)
    along = np.linspace(-(n // 2), n - n // 2 - 1, n) * dx
    f = (x.numpy() + 1) / 2

    def field(angle: float) -> np.ndarray:
        there = 1.6 * np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
        away = np.hypot(along[:, None] - there[0], along[None, :] - there[1])
        return 0.25j * hankel1(0, k * away)

    y = np.zeros((transmitters, receivers), complex)
    for t, lit in enumerate(np.linspace(0, 359, transmitters)):
        for r, heard in enumerate(np.linspace(0, 359, receivers)):
            y[t, r] = dx**2 * np.sum(np.conj(f * field(lit)) * k**2 * field(heard))
    return torch.from_numpy(y)


@pytest.mark.parametrize("side", [12, 9])
def test_forward_is_the_formula(side: int) -> None:
    x = contrast(side)
    y = small(7, 3, side)(x)
    for b in range(2):
        assert relative(y[b, 0], torch.view_as_real(written_out(x[b, 0], 7, 3))) <= 1e-10


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_adjoint_identity(dtype: torch.dtype, tolerance: float) -> None:
    operator, x = small(), contrast(channels=2, dtype=dtype)
    y = operator.tangent(x)
    u = torch.randn(y.shape, dtype=torch.float64).to(dtype)
    gap = (y.double() * u.double()).sum() - (x.double() * operator.adjoint(u).double()).sum()
    assert float(gap.abs()) <= tolerance * float(y.double().norm() * u.double().norm())
    assert y.dtype == dtype
    assert operator.picture_shape(y) == tuple(x.shape)


def test_it_is_affine_and_dark_is_silent() -> None:
    operator, x = small(), contrast()
    assert float(operator(-torch.ones_like(x)).abs().max()) <= 1e-15
    z = contrast().flip(0)
    assert relative(operator(x) - operator(z), operator.tangent(x - z)) <= 1e-12
    y = operator(z)
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(0.5 * (operator(leaf) - y).square().sum(), leaf)
    assert relative(operator.data_gradient(x, y), g) <= 1e-10
    assert relative(operator.normal(x) - operator.target(y), g) <= 1e-10


@pytest.mark.parametrize(("receivers", "transmitters", "side"), [(30, 5, 12), (4, 2, 12), (60, 20, 10)])
def test_spectrum_rebuilds_the_normal_map(receivers: int, transmitters: int, side: int) -> None:
    """From A^T A, and from A A^T where there are fewer measurements than pixels."""
    operator, x = small(receivers, transmitters, side), contrast(side, channels=2)
    basis = operator.spectrum(tuple(x.shape))
    assert basis.seen is not None
    c = basis.to_basis(x)
    assert relative(basis.from_basis(c), x) <= 1e-12
    assert relative(basis.from_basis(basis.eigenvalues * c), operator.normal(x)) <= 1e-8
    assert float(c.square().sum()) == pytest.approx(float(x.square().sum()), rel=1e-10)
    seen = basis.seen
    assert relative(seen.from_basis(seen.eigenvalues * seen.to_basis(x)), operator.normal(x)) <= 1e-8
    assert float(seen.eigenvalues.max()) == pytest.approx(norm_squared(operator, x.shape, 300), rel=1e-2)


def test_pseudo_inverse_and_start_explain_the_measurement() -> None:
    operator, x = small(), contrast()
    y = operator(x)
    for picture in (operator.pinv(y), operator.start(y)):
        assert relative(operator(picture), y) <= 1e-2
    # `start` adds nothing that the measurement does not speak of: of black it makes black.
    black = -torch.ones_like(x)
    assert relative(operator.start(operator(black)), black) <= 1e-9


def test_large_bases_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scattering_basis, "LARGE", 8)
    x = contrast()
    first = small().spectrum(tuple(x.shape))
    expected = first.from_basis(first.eigenvalues * first.to_basis(x))
    assert relative(expected, small().normal(x)) <= 1e-6

    def never(self: object) -> None:
        raise AssertionError("not read from the cache")

    monkeypatch.setattr(scattering_basis.Basis, "_decompose", never)
    again = small().spectrum(tuple(x.shape))
    assert torch.equal(again.from_basis(again.eigenvalues * again.to_basis(x)), expected)
    monkeypatch.setenv("LMAPS_CACHE", "off")
    with pytest.warns(RuntimeWarning, match="is not kept"), pytest.raises(AssertionError):
        small().spectrum(tuple(x.shape))


def test_reference_figures() -> None:
    """lmax(A^T A) with respect to f, which is twice as steep as x (1.141e-3 and 5.905e-4 for 360 and 180 receivers)."""
    assert 4 * norm_squared(InverseScattering(60), (1, 1, 128, 128), 8) == pytest.approx(2.291e-4, rel=2e-3)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"receivers .* got 0"):
        InverseScattering(0)
    with pytest.raises(ValueError, match=r"pictures of 12x12, got 16x16: give InverseScattering\(side=n\)"):
        small()(contrast(16))
    with pytest.raises(ValueError, match="12x12, got 16x16"):
        small().spectrum((1, 1, 16, 16))
    with pytest.raises(ValueError, match=r"\[B, C, 5, 30, 2\].*view_as_real"):
        small().adjoint(torch.zeros(1, 1, 5, 30, dtype=torch.complex64))
    with pytest.raises(NotImplementedError, match="must define tangent"):
        operators.AffineOperator()(contrast())
