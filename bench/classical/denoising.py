"""Classical denoisers: total variation, colour BM3D, the bilateral filter. Pictures [H, W, 3] in [0, 1]."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from skimage.restoration import denoise_tv_chambolle

from .measurement import Pixels


def tv(x: Pixels, weight: float) -> Pixels:
    """argmin_u ||u - x||^2 / 2 + weight TV(u), each channel alone (scikit-image, Chambolle 2004)."""
    return np.asarray(denoise_tv_chambolle(x, weight=weight, eps=1e-5, max_num_iter=200, channel_axis=-1), np.float64)


def bm3d(x: Pixels, sigma: float) -> Pixels:
    """Colour BM3D for white noise of standard deviation sigma (PyPI `bm3d`, opponent colours; Dabov et al. 2007)."""
    return _bm3d(np.ascontiguousarray(x, np.float64).tobytes(), x.shape, float(sigma)).copy()


def bilateral(x: Pixels, sigma_colour: float, sigma_space: float) -> Pixels:
    """Mean of the neighbours that look alike: OpenCV's bilateral filter (Tomasi and Manduchi 1998)."""
    import cv2

    return np.asarray(cv2.bilateralFilter(x.astype(np.float32), -1, sigma_colour, sigma_space), np.float64)


# Several methods begin with the same BM3D of the same picture, and it takes seconds.
@lru_cache(maxsize=16)
def _bm3d(pixels: bytes, shape: tuple[int, ...], sigma: float) -> Pixels:
    import bm3d as package

    profile = package.BM3DProfile()
    profile.num_threads = 1  # more of them, and the result differs a little from run to run
    x = np.frombuffer(pixels).reshape(shape)
    return np.asarray(package.bm3d_rgb(x, sigma, profile), np.float64).reshape(shape)
