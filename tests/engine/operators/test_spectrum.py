"""A spectrum rebuilds H^T H, and its basis is orthonormal (or says with which weights)."""

from __future__ import annotations

import pytest
import torch

from lmaps.engine import operators

from .cases import ODD_KERNEL, Make, Size, ids, linear_cases, pictures, relative

CASES = linear_cases()
WITHOUT = ("blur-reflect", "blur-replicate", "blur-zero", "motion-reflect", "motion-replicate", "motion-zero")


@pytest.mark.parametrize(("name", "make", "size"), CASES, ids=ids(CASES))
def test_spectrum_rebuilds_the_normal_map(name: str, make: Make, size: Size) -> None:
    operator, x = make(), pictures(size)
    basis = operator.spectrum(tuple(x.shape))
    if name in WITHOUT:
        assert basis is None
        return
    assert basis is not None
    assert basis.eigenvalues.dtype == torch.float64
    assert float(basis.eigenvalues.min()) >= 0
    c = basis.to_basis(x)
    assert relative(basis.from_basis(c), x) <= 1e-12
    assert relative(basis.from_basis(basis.eigenvalues * c), operator.normal(x)) <= 1e-10
    # ||x||^2 is the weighted sum of squares of the coefficients, and <x, z> the weighted sum of products.
    z = pictures(size, seed=1)
    weight = torch.ones(()) if basis.norms is None else basis.norms
    product = (weight * (c.conj() * basis.to_basis(z)).real).sum()
    assert float((product - (x * z).sum()).abs()) <= 1e-11 * float(x.norm() * z.norm())
    energy = (weight * basis.eigenvalues * c.abs().square()).sum()
    assert float(energy) == pytest.approx(float(operator(x).square().sum()), rel=1e-10)


@pytest.mark.parametrize("make", [operators.SuperResolution, operators.GaussianBlur], ids=["sr4", "gaussian"])
def test_spectrum_in_float32(make: Make) -> None:
    operator, x = make(), pictures((64, 96), torch.float32)
    basis = operator.spectrum(tuple(x.shape))
    assert basis is not None
    c = basis.to_basis(x)
    assert c.dtype == torch.float32
    rebuilt = basis.from_basis(basis.eigenvalues.float() * c)
    assert relative(rebuilt, operator.normal(x)) <= 2e-6


def test_reference_figures_of_super_resolution() -> None:
    basis = operators.SuperResolution().spectrum((1, 3, 256, 256))
    assert basis is not None
    lam = basis.eigenvalues
    assert float(lam.max()) == pytest.approx(1 / 16, abs=1e-4)
    assert float(lam[lam > 1e-9].min()) == pytest.approx(0.01475, abs=5e-5)
    assert int((lam > 1e-9).sum()) == 64 * 64


def test_pinv_is_moore_penrose() -> None:
    for operator in (operators.SuperResolution(4), operators.Inpainting.random(0.5, seed=1), operators.Denoise()):
        x = pictures((16, 24))
        y = operator(x)
        p = operator.pinv(y)
        assert relative(operator(p), y) <= 1e-12
        assert relative(operator.pinv(operator(p)), p) <= 1e-12
        # Nothing of the null space: P = H^+ H is symmetric.
        z = pictures((16, 24), seed=3)
        assert float((p * z).sum()) == pytest.approx(float((x * operator.pinv(operator(z))).sum()), rel=1e-9)


def test_pinv_of_a_circular_blur_divides_its_spectrum() -> None:
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.0]], dtype=torch.float64)
    operator = operators.Blur(kernel, padding="circular")
    x = pictures((15, 20))
    assert relative(operator.pinv(operator(x)), x) <= 1e-9


def test_norm_squared_is_the_largest_eigenvalue() -> None:
    for operator in (operators.SuperResolution(4), operators.GaussianBlur(15, 2.0)):
        basis = operator.spectrum((1, 1, 32, 48))
        assert basis is not None
        largest = float(basis.eigenvalues.max())
        assert operators.norm_squared(operator, (1, 1, 32, 48)) == pytest.approx(largest, rel=1e-2)
    assert operators.norm_squared(operators.Blur(3 * torch.ones(1, 1)), (1, 1, 8, 9)) == pytest.approx(9, rel=1e-5)
    assert ODD_KERNEL.abs().sum() > 0
