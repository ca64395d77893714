"""Camera shake by compiled steps: against autograd in float64 through every pixel's own sum, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lmaps import _native

from .test_fourier import sources
from .twins import Array, Guarded, blur_matrix, random, relative

HEIGHT, WIDTH, SHAKES = 11, 19, 3
SHAPE = (2, 3, HEIGHT, WIDTH)
FFT = (16, 30)


def problem() -> tuple[Array, Array]:
    """Three kernels of 5x7, and their weights a pixel."""
    rng = np.random.default_rng(0)
    kernels = rng.uniform(0, 1, (SHAKES, 5, 7)).astype(np.float32)
    weights = rng.uniform(0, 1, (SHAKES, HEIGHT, WIDTH)).astype(np.float32)
    return kernels / kernels.sum((1, 2), keepdims=True), weights / weights.sum(0)


def compiled(kernels: Array, weights: Array) -> _native.CameraShake:
    responses = np.fft.fft2(kernels.astype(np.float64), FFT).conj()[:, : FFT[0] // 2 + 1].astype(np.complex64)
    rows, columns = sources(HEIGHT, 2, "reflect"), sources(WIDTH, 3, "reflect")
    return _native.CameraShake(HEIGHT, WIDTH, rows, columns, *FFT, np.ascontiguousarray(responses), weights)


def seen(x: torch.Tensor, kernels: Array, weights: Array) -> torch.Tensor:
    matrices = [torch.from_numpy(blur_matrix(k, "reflect", HEIGHT, WIDTH)) for k in kernels]
    u = 0.5 * x + 0.5
    light = torch.where(u <= 0.04045, u / 12.92, ((u.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    blurred = [(light.flatten(2) @ m.T).reshape(x.shape) for m in matrices]
    v = sum(torch.from_numpy(w).double() * b for w, b in zip(weights, blurred, strict=True))
    shown = torch.where(v <= 0.0031308, 12.92 * v, 1.055 * v.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
    return (2 * shown - 1).clamp(-1, 1)


def test_steps_are_the_loop(isa: str) -> None:
    kernels, weights = problem()
    rng = np.random.default_rng(1)
    xhat, y = 1.4 * random(rng, *SHAPE), random(rng, *SHAPE)
    out = Guarded(SHAPE)
    result = out.check(compiled(kernels, weights).steps(xhat, y, 0.6, 2.0, 0.3, 9, out=out.inside))
    start = torch.from_numpy(xhat.astype(np.float64))
    x = start.clone()
    for _ in range(9):
        leaf = x.detach().requires_grad_()
        misfit = 0.5 * (seen(leaf, kernels, weights) - torch.from_numpy(y)).square().sum()
        (g,) = torch.autograd.grad(misfit, leaf)
        x = x - 0.3 * (0.4 * (x - start) + 0.6 * 2.0 * g)
    assert relative(result, x.numpy()) <= 2e-6
    assert relative(xhat, x.numpy()) > 0.05


def test_the_same_bits_on_any_number_of_threads(isa: str) -> None:
    camera, rng = compiled(*problem()), np.random.default_rng(2)
    xhat, y = random(rng, *SHAPE), random(rng, *SHAPE)
    before = _native.threads()
    results = []
    try:
        for count in (1, 2, 5):
            _native.set_threads(count)
            results.append(camera.steps(xhat, y, 0.5, 1.0, 0.2, 4))
    finally:
        _native.set_threads(before)
    assert all(np.array_equal(r, results[0]) for r in results)


def test_refusals() -> None:
    kernels, weights = problem()
    camera = compiled(kernels, weights)
    x = np.zeros(SHAPE, np.float32)
    refused: list[tuple[str, Any]] = [
        ("weights must be .* = .3, 11, 19., got", lambda: compiled(kernels, weights[:2].copy())),
        ("shakes must be in 1..16, got 18", lambda: compiled(np.tile(kernels, (6, 1, 1)), np.tile(weights, (6, 1, 1)))),
        ("xhat must be .* got shape", lambda: camera.steps(x[..., :-1].copy(), x, 0.5, 1.0, 1.0, 1)),
        ("y", lambda: camera.steps(x, x[:1].copy(), 0.5, 1.0, 1.0, 1)),
        ("r must be a number in", lambda: camera.steps(x, x, 1.5, 1.0, 1.0, 1)),
        ("overlaps", lambda: camera.steps(x, x, 0.5, 1.0, 1.0, 1, out=x)),
    ]
    for message, call in refused:
        with pytest.raises(ValueError, match=message):
            call()
