"""Deconvolution with a known kernel and known noise: Wiener, Richardson-Lucy, total variation, BM3D."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skimage import restoration

from lmaps.engine.operators import Blur

from .measurement import Measurement, Method, Pixels
from .variational import tv_inverse

MARGIN = 61


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


def bm3d_deblurring(m: Measurement, sigma: float) -> Pixels:
    """Regularised inverse, then BM3D for the coloured noise (PyPI `bm3d`; Dabov et al. 2008)."""
    import bm3d

    kernel = psf(m)
    return _bordered(m, lambda plane: bm3d.bm3d_deblurring(plane, sigma, kernel).reshape(plane.shape))


def _periodic(m: Measurement, solve: Callable[[Pixels], Pixels]) -> Pixels:
    """Solve on y mirrored to one whole period of its reflection: a blur with reflected border is circular there."""
    height, width = m.size
    planes = []
    for plane in m.y.transpose(2, 0, 1):
        period = np.pad(plane, ((0, height - 2), (0, width - 2)), mode="reflect")
        planes.append(solve(period)[:height, :width])
    return np.stack(planes, -1)


def _bordered(m: Measurement, solve: Callable[[Pixels], Pixels]) -> Pixels:
    """Solve on y with a mirrored border that is cut off again, for solvers that know no such border themselves."""
    rows, columns = (min(MARGIN, side - 1) for side in m.size)
    planes = []
    for plane in m.y.transpose(2, 0, 1):
        padded = np.pad(plane, ((rows, rows), (columns, columns)), mode="reflect")
        planes.append(solve(padded)[rows:-rows, columns:-columns])
    return np.stack(planes, -1)


METHODS = (
    Method("Wiener", wiener, {"balance": (0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.6)}),
    Method("unsupervised Wiener", unsupervised_wiener),
    Method("Richardson-Lucy", richardson_lucy, {"iterations": (3, 5, 8, 12, 18, 27, 40)}),
    Method("TV inverse", tv_inverse, {"weight": (0.0003, 0.0006, 0.001, 0.002, 0.004, 0.008)}),
    Method("BM3D deblurring", bm3d_deblurring, {"sigma": (0.02, 0.025, 0.03)}, needs="bm3d"),
)
