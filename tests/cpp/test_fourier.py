"""Correlation and phase retrieval by compiled transforms: against dense matrices and NumPy's FFT, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lmaps import _native

from .twins import Array, Guarded, blur_matrix, descend, random, relative

HEIGHT, WIDTH = 11, 37
SHAPE = (2, 2, HEIGHT, WIDTH)
KERNELS = [(1, 1), (3, 5), (1, 9), (9, 13)]
_NUMPY_NAMES = {"reflect": "reflect", "circular": "wrap", "replicate": "edge", "zero": "constant"}


def sources(length: int, reach: int, padding: str) -> list[int]:
    """Where each entry of an extended side lies in the side; -1 for zero. NumPy's padding says it."""
    constant = {"constant_values": -1} if padding == "zero" else {}
    return [int(i) for i in np.pad(np.arange(length), reach, mode=_NUMPY_NAMES[padding], **constant)]  # type: ignore[call-overload]


def correlation(weights: Array, padding: str, fft: tuple[int, int]) -> _native.Correlation:
    reach = [side // 2 for side in weights.shape]
    response = np.fft.fft2(weights.astype(np.float64), fft).conj()[: fft[0] // 2 + 1].astype(np.complex64)
    rows, columns = (sources(n, r, padding) for n, r in zip((HEIGHT, WIDTH), reach, strict=True))
    return _native.Correlation(HEIGHT, WIDTH, rows, columns, *fft, np.ascontiguousarray(response))


def through(matrix: Array, x: Array) -> Array:
    return (x.reshape(*x.shape[:2], -1).astype(np.float64) @ matrix.T).reshape(x.shape)


@pytest.mark.parametrize("padding", list(_NUMPY_NAMES))
@pytest.mark.parametrize("size", KERNELS)
@pytest.mark.parametrize("fft", [(20, 50), (27, 64)])
def test_correlation(isa: str, padding: str, size: tuple[int, int], fft: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    weights = random(rng, *size) / 4
    h, matrix = correlation(weights, padding, fft), blur_matrix(weights, padding, HEIGHT, WIDTH)
    x = random(rng, *SHAPE)
    for name, exact in (("forward", matrix), ("adjoint", matrix.T), ("normal", matrix.T @ matrix)):
        out = Guarded(SHAPE)
        result = out.check(getattr(h, name)(x, out=out.inside))
        assert relative(result, through(exact, x)) <= 2e-6


def test_adjoint_identity(isa: str) -> None:
    rng = np.random.default_rng(1)
    h = correlation(random(rng, 9, 13), "reflect", (20, 50))
    x, u = random(rng, *SHAPE), random(rng, *SHAPE)
    seen, back = h.forward(x).astype(np.float64), h.adjoint(u).astype(np.float64)
    assert abs(np.vdot(seen, u) - np.vdot(x, back)) <= 1e-5 * np.linalg.norm(seen) * np.linalg.norm(u)


@pytest.mark.parametrize("degree", [0, 1, 2, 9])
def test_series_is_the_polynomial_of_the_matrix(isa: str, degree: int) -> None:
    """V_j at the eigenvalues: V_j(cos t) = cos((j + 1/2) t) / cos(t / 2)."""
    rng = np.random.default_rng(2)
    weights = random(rng, 3, 5) / 4
    matrix = blur_matrix(weights, "replicate", HEIGHT, WIDTH)
    eigenvalues, vectors = np.linalg.eigh(matrix.T @ matrix)
    bound = 1.01 * float(eigenvalues[-1])
    coefficients = rng.uniform(-1, 1, degree + 1).astype(np.float32)
    angle = np.arccos(np.clip(2 * eigenvalues / bound - 1, -1, 1))
    gains = sum(float(c) * np.cos((j + 0.5) * angle) / np.cos(0.5 * angle) for j, c in enumerate(coefficients))
    g = random(rng, *SHAPE)
    out = Guarded(SHAPE)
    h = correlation(weights, "replicate", (15, 45))
    result = out.check(h.series(g, coefficients.tolist(), bound, out=out.inside))
    assert relative(result, through((vectors * gains) @ vectors.T, g)) <= 5e-6


def test_the_same_bits_on_any_number_of_threads(isa: str) -> None:
    rng = np.random.default_rng(3)
    h, x = correlation(random(rng, 3, 5), "reflect", (20, 50)), random(rng, *SHAPE)
    before = _native.threads()
    try:
        results = []
        for count in (1, 3):
            _native.set_threads(count)
            results.append(h.series(x, [0.1, 0.2, 0.3], 8.0))
    finally:
        _native.set_threads(before)
    assert np.array_equal(*results)


def test_correlation_refuses() -> None:
    rng = np.random.default_rng(0)
    weights = random(rng, 3, 5)
    good = correlation(weights, "zero", (15, 45))
    x = random(rng, *SHAPE)
    for bad, error in ((x.astype(np.float64), TypeError), (x[..., ::2], ValueError), (x[:, :, :-1], ValueError)):
        with pytest.raises(error, match=r"^x "):
            good.forward(bad)
    with pytest.raises(ValueError, match="overlaps"):
        good.normal(x, out=x)
    with pytest.raises(ValueError, match="bound"):
        good.series(x, [1.0], -1.0)
    with pytest.raises(ValueError, match="count"):
        good.series(x, [], 1.0)
    with pytest.raises(ValueError, match="response must be complex64"):
        _native.Correlation(HEIGHT, WIDTH, list(range(HEIGHT)), list(range(WIDTH)), 15, 45, random(rng, 8, 45))
    with pytest.raises(ValueError, match="fft_height"):
        correlation(weights, "zero", (14, 45))
    with pytest.raises(ValueError, match="columns"):
        correlation(weights, "zero", (15, 40))


class Retrieval:
    """H(x) = |F pad((x + 1)/2)|, its gradient by NumPy's transforms of the whole field."""

    def __init__(self, field: tuple[int, int]) -> None:
        self.field = field

    def even(self, rng: np.random.Generator) -> Array:
        y = np.abs(random(rng, *SHAPE[:2], *self.field)).astype(np.float64)
        return y + np.roll(y[..., ::-1, ::-1], (1, 1), (-2, -1))

    def pull(self, x: Array, y: Array) -> Array:
        z = np.fft.fft2(0.5 * x + 0.5, self.field, norm="ortho")
        z = z - y * np.exp(1j * np.angle(z)) * (z != 0)
        return 0.5 * np.fft.ifft2(z, norm="ortho").real[..., :HEIGHT, :WIDTH]


@pytest.mark.parametrize("field", [(12, 40), (15, 45), (18, 64), (25, 54)])
@pytest.mark.parametrize("steps", [0, 1, 10])
def test_phase_retrieval_steps(isa: str, field: tuple[int, int], steps: int) -> None:
    rng = np.random.default_rng(4)
    problem = Retrieval(field)
    y, xhat = problem.even(rng), random(rng, *SHAPE)
    upper = np.ascontiguousarray(y[..., : field[0] // 2 + 1, :], np.float32)
    out = Guarded(SHAPE)
    solver = _native.PhaseRetrieval(HEIGHT, WIDTH, *field)
    result = out.check(solver.steps(xhat, upper, 0.6, 2.0, 0.3, steps, out=out.inside))
    assert relative(result, descend(xhat, lambda x: problem.pull(x, y), 0.6, 2.0, 0.3, steps)) <= 2e-6


def test_phase_retrieval_refuses() -> None:
    good = _native.PhaseRetrieval(HEIGHT, WIDTH, 12, 40)
    x, y = torch.zeros(SHAPE), torch.zeros(*SHAPE[:2], 7, 40)
    inner: dict[str, Any] = {"r": 0.5, "k2": 1.0, "eta": 0.1, "steps": 1}
    for bad in (torch.zeros(*SHAPE[:2], 12, 40), torch.zeros(1, 2, 7, 40), torch.zeros(7, 40)):
        with pytest.raises(ValueError, match=r"^y must"):
            good.steps(x, bad, **inner)
    with pytest.raises(ValueError, match=r"^xhat must"):
        good.steps(x[..., :-1].contiguous(), y, **inner)
    with pytest.raises(ValueError, match="r must"):
        good.steps(x, y, **{**inner, "r": 2.0})
    for field in ((11, 40), (14, 40), (12, 36), (12, 49)):
        with pytest.raises(ValueError, match="fft_"):
            _native.PhaseRetrieval(HEIGHT, WIDTH, *field)
