"""Deconvolution with a known kernel and known noise: Wiener, Richardson-Lucy, total variation, BM3D after Wiener."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skimage import restoration

from lmaps.engine.operators import Blur

from . import denoising
from .measurement import Measurement, Method, Pixels
from .variational import tv_inverse

MARGIN = 61
BALANCES = (0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 20.0, 40.0)
WEIGHTS = (0.0003, 0.0006, 0.001, 0.002, 0.004, 0.008)


def psf(m: Measurement) -> Pixels:
    """The point spread function, for a convolution: our operators correlate, so their kernel is turned around."""
    if not isinstance(m.operator, Blur):
        raise TypeError(f"deconvolution needs a blur, got {type(m.operator).__name__}")
    return np.ascontiguousarray(m.operator.kernel.double().numpy()[::-1, ::-1])


def wiener(m: Measurement, balance: float) -> Pixels:
    """Wiener's filter with a Laplacian prior of weight `balance` (scikit-image)."""
    kernel = psf(m)
    return _periodic(m, lambda plane: restoration.wiener(plane, kernel, balance, clip=False))


def unsupervised_wiener(m: Measurement) -> Pixels:
    """Wiener's filter that estimates its own weight (scikit-image; Orieux, Giovannelli, Rodet 2010)."""
    kernel = psf(m)
    return _periodic(m, lambda plane: restoration.unsupervised_wiener(plane, kernel, clip=False, rng=0)[0])


def richardson_lucy(m: Measurement, iterations: int) -> Pixels:
    """Richardson-Lucy, stopped early against the noise (scikit-image)."""
    kernel = psf(m)
    return _bordered(m, lambda plane: restoration.richardson_lucy(plane.clip(1e-3, 1), kernel, iterations, clip=False))


def wiener_with_bm3d(m: Measurement, balance: float, sigma: float) -> Pixels:
    """A weaker Wiener filter, then BM3D for the noise that it let through."""
    return denoising.bm3d(wiener(m, balance), sigma)


def _periodic(m: Measurement, solve: Callable[[Pixels], Pixels]) -> Pixels:
    """Solve, for filters that take the picture as periodic, on y continued to a periodic picture.

    A symmetric kernel with reflected border is exactly circular on one whole period of the reflection. For any other
    kernel the two borders are faded into each other over a gap.
    """
    kernel = psf(m)
    height, width = m.size
    mirror = np.array_equal(kernel, kernel[::-1]) and np.array_equal(kernel, kernel[:, ::-1])
    extend = _mirrored if mirror else _ringed
    planes = [solve(extend(plane))[:height, :width] for plane in m.y.transpose(2, 0, 1)]
    return np.stack(planes, -1)


def _mirrored(plane: Pixels) -> Pixels:
    """One whole period of the plane's reflection, edges not repeated."""
    return np.pad(plane, ((0, plane.shape[0] - 2), (0, plane.shape[1] - 2)), mode="reflect")


def _ringed(plane: Pixels) -> Pixels:
    return _faded(_faded(plane).T).T


def _faded(plane: Pixels) -> Pixels:
    """Rows appended that lead from the last row's mirror image to the first row's, so that the rows close to a ring."""
    gap = min(2 * MARGIN, len(plane) - 1)
    after = np.pad(plane, ((0, gap), (0, 0)), mode="reflect")[-gap:]
    before = np.pad(plane, ((gap, 0), (0, 0)), mode="reflect")[:gap]
    t = (np.arange(gap)[:, None] + 1) / (gap + 1)
    return np.concatenate([plane, (1 - t) * after + t * before])


def _bordered(m: Measurement, solve: Callable[[Pixels], Pixels]) -> Pixels:
    """Solve on y with a mirrored border that is cut off again, for solvers that know no such border themselves."""
    rows, columns = (min(MARGIN, side - 1) for side in m.size)
    planes = []
    for plane in m.y.transpose(2, 0, 1):
        padded = np.pad(plane, ((rows, rows), (columns, columns)), mode="reflect")
        planes.append(solve(padded)[rows:-rows, columns:-columns])
    return np.stack(planes, -1)


METHODS = (
    Method("Wiener", wiener, {"balance": BALANCES}),
    Method("unsupervised Wiener", unsupervised_wiener),
    Method("Richardson-Lucy", richardson_lucy, {"iterations": (3, 5, 8, 12, 18, 27, 40, 60, 90)}),
    Method("TV inverse", tv_inverse, {"weight": WEIGHTS, "iterations": (60, 200)}),
    Method(
        "Wiener, BM3D",
        wiener_with_bm3d,
        {"balance": BALANCES[2:], "sigma": (0.025, 0.04, 0.06, 0.09, 0.13)},
        needs=("bm3d",),
    ),
)
