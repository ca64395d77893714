"""MRI against NumPy's transform written out, coil by coil."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.local_map import LocalMAP, build, choose
from lmaps.engine.operators import MRI

from .cases import relative

SIZES = [(12, 16), (9, 11)]


def coils(size: tuple[int, int], count: int = 3) -> Tensor:
    return torch.randn((count, *size), generator=torch.Generator().manual_seed(count), dtype=torch.complex128)


def picture(size: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn((2, 2, *size), generator=generator, dtype=torch.float64).to(dtype)


def lines(width: int) -> Tensor:
    return (torch.arange(width) % 3 != 1).double()


@pytest.mark.parametrize("size", SIZES)
def test_forward_is_the_formula(size: tuple[int, int]) -> None:
    maps, x = coils(size), picture(size)
    y = MRI(maps, lines(size[1]))(x)
    for b in range(2):
        z = x[b, 0].numpy() + 1j * x[b, 1].numpy()
        for c in range(3):
            k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps[c].numpy() * z), norm="ortho"))
            expected = torch.view_as_real(torch.from_numpy(lines(size[1]).numpy() * k))
            assert relative(y[b, c], expected) <= 1e-13


@pytest.mark.parametrize("full", [False, True], ids=["lines", "plane"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_adjoint_identity(size: tuple[int, int], full: bool, dtype: torch.dtype, tolerance: float) -> None:
    mask = torch.rand(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64) if full else lines(size[1])
    operator, x = MRI(coils(size), mask), picture(size, dtype)
    y = operator(x)
    u = torch.randn(y.shape, dtype=torch.float64).to(dtype)
    gap = (y.double() * u.double()).sum() - (x.double() * operator.adjoint(u).double()).sum()
    assert float(gap.abs()) <= tolerance * float(y.double().norm() * u.double().norm())
    assert y.dtype == dtype
    assert operator.picture_shape(y) == tuple(x.shape)
    leaf = picture(size).requires_grad_()
    (g,) = torch.autograd.grad(operator(leaf), leaf, u.double())
    assert relative(operator.adjoint(u.double()), g) <= 1e-12


@pytest.mark.parametrize(("acceleration", "centre", "measured"), [(4, 25, 80), (8, 12, 40)])
def test_reference_masks(acceleration: int, centre: int, measured: int) -> None:
    mask = MRI.mask(320, acceleration)
    first = (320 - centre) // 2
    assert int(mask.sum()) == measured
    assert bool(mask[first : first + centre].all())
    # The rest: as NumPy's own generator, seeded with 0, chooses among the others.
    np.random.seed(0)
    others = np.setdiff1d(np.arange(320), np.arange(first, first + centre))
    drawn = np.random.choice(others, size=measured - centre, replace=False)
    assert set(np.flatnonzero(mask.numpy())) == {*drawn, *range(first, first + centre)}
    assert not torch.equal(mask, MRI.mask(320, acceleration, seed=1))


def test_one_even_coil_has_a_basis_and_others_have_none() -> None:
    size = (12, 16)
    maps, x = torch.exp(1j * coils(size, 1).real), picture(size)
    operator = MRI(maps, lines(16))
    basis = operator.spectrum(tuple(x.shape))
    assert basis is not None
    assert relative(basis.from_basis(basis.to_basis(x)), x) <= 1e-12
    assert relative(basis.from_basis(basis.eigenvalues * basis.to_basis(x)), operator.normal(x)) <= 1e-12
    y = operator(x)
    assert relative(operator(operator.pinv(y)), y) <= 1e-12
    assert MRI(2 * maps, lines(16)).spectrum(tuple(x.shape)) is None
    assert MRI(coils(size), lines(16)).spectrum(tuple(x.shape)) is None


@pytest.mark.parametrize(
    ("count", "strategy", "tolerance"),
    [(1, "spectral", 1e-5), (3, "polynomial", 1e-4), (3, "autograd", 1e-5), (1, "autograd", 1e-5)],
)
def test_strategies_equal_the_reference_loop(count: int, strategy: str, tolerance: float) -> None:
    size = (12, 16)
    maps = coils(size, count)
    maps = maps / maps.abs().square().sum(0).sqrt()
    operator, shape = MRI(maps, lines(16)), (2, 2, *size)
    truth = picture(size)
    xhat, y = truth + 0.3 * truth.flip(0), operator(truth)
    assert choose(operator, shape) == ("spectral" if count == 1 else "polynomial")
    settings = {"k1": 0.4, "k2": 150.0, "eta": 0.01, "inner_steps": 100}
    sigmas = [10.0, 0.5, 0.1]
    exact = build(operator, LocalMAP(**settings, strategy="reference"), sigmas, shape)  # type: ignore[arg-type]
    fast = build(operator, LocalMAP(**settings, strategy=strategy), sigmas, shape)  # type: ignore[arg-type]
    observed, seen = exact.observe(y), fast.observe(y.float())
    for index in range(len(sigmas)):
        assert relative(fast.solve(xhat.float(), seen, index), exact.solve(xhat, observed, index)) <= tolerance


def test_the_start_of_a_whole_scan_is_the_picture() -> None:
    size = (12, 16)
    operator, x = MRI(coils(size), torch.ones(16)), picture(size)
    assert relative(operator.start(operator(x)), x) <= 1e-12
    shown = operator.image(x)
    assert shown.shape == (2, 1, *size)
    assert relative(shown[0, 0], torch.hypot(x[0, 0], x[0, 1]).clamp(0, 1)) <= 1e-12


@pytest.mark.parametrize(
    "operator", [MRI(coils((12, 16)), lines(16)), MRI(acceleration=8, seed=3), MRI(None, lines(16))]
)
def test_it_survives_the_way_into_a_file(operator: MRI) -> None:
    file = io.BytesIO()
    np.savez(file, **{k: v.numpy() if isinstance(v, Tensor) else np.asarray(v) for k, v in operator.config().items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        again = operators.from_config(dict(stored))
    x = picture((12, 16), torch.float32)
    assert relative(again(x), operator(x)) <= 1e-6


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"two channels, real and imaginary part, got 3: use a prior of two"):
        MRI()(torch.zeros(1, 3, 8, 8))
    with pytest.raises(TypeError, match=r"maps must be complex.*view_as_complex"):
        MRI(torch.ones(1, 8, 8))
    with pytest.raises(ValueError, match="mask is 9x9, the picture is 8x8"):
        MRI(coils((8, 8)), torch.ones(9, 9))
    with pytest.raises(ValueError, match="maps are 8x8, the picture is 10x8"):
        MRI(coils((8, 8)))(torch.zeros(1, 2, 10, 8))
    with pytest.raises(ValueError, match=r"\[B, 3, H, W, 2\].*view_as_real"):
        MRI(coils((8, 8))).adjoint(torch.zeros(1, 3, 8, 8, dtype=torch.complex64))
    with pytest.raises(ValueError, match="acceleration must be"):
        MRI(acceleration=0)
    with pytest.raises(ValueError, match="something measured"):
        MRI(mask=torch.zeros(8))
