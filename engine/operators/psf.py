"""Blur kernels of the reference set-ups: the Gaussian one and the random camera shake."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# A Gaussian is cut at this many standard deviations.
TRUNCATE = 4.0
# Camera shake: its path is drawn at this multiple of the kernel's size, then reduced.
OVERSIZE = 2
# Keeps steps and turns away from zero at the two ends of `intensity`.
SLACK = 0.1


def gaussian_profile(size: int, std: float) -> Tensor:
    """g_i ~ exp(-(i - c)^2 / (2 std^2)) for |i - c| <= 4 std, sum 1, c = size // 2: [size] float64.

    The separable factor of scipy.ndimage.gaussian_filter applied to a unit impulse in a size x size picture. The part
    that would fall outside the picture is mirrored back into it (edge pixel repeated), as that function does.
    """
    radius = int(TRUNCATE * std + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.to(torch.float64) / std) ** 2)
    weights = weights / weights.sum()
    at = (offsets + size // 2) % (2 * size)
    return torch.zeros(size, dtype=torch.float64).index_add_(0, torch.minimum(at, 2 * size - 1 - at), weights)


def gaussian_kernel(size: int, std: float) -> Tensor:
    """[size, size] float64, sum 1: the outer product of two profiles."""
    profile = gaussian_profile(size, std)
    return torch.outer(profile, profile)


def motion_kernel(size: int, intensity: float, seed: int) -> Tensor:
    """A random camera shake, [size, size] float64, sum 1 (values are multiples of 1/255 before normalising).

    A path of random steps and slowly turning angles is drawn as a polyline at twice the size, blurred a little and
    reduced. The random numbers are taken in the order of the reference implementation
    (github.com/LeviBorodenko/motionblur), and the second path of the stream is used, as in the reference set-up, which
    makes two kernels and keeps the second.

    Raises ValueError for a seed whose path is a single point, which leaves no trace in a small kernel.
    """
    random = np.random.RandomState(seed)
    _path(size, intensity, random)
    kernel = _drawn(_path(size, intensity, random), size)
    if not kernel.sum() > 0:
        raise ValueError(f"seed {seed} draws an empty path for size={size}, intensity={intensity:g}: use another seed")
    return kernel / kernel.sum()


def _drawn(path: np.ndarray, size: int) -> Tensor:
    from PIL import Image, ImageDraw, ImageFilter  # here, so that a start without such kernels needs no Pillow

    side, diagonal = _canvas(size)
    canvas = Image.new("L", (side, side))
    width = max(int(diagonal / 150), 1)
    ImageDraw.Draw(canvas).line([(z.real, z.imag) for z in path], fill=255, width=width)
    canvas = canvas.filter(ImageFilter.GaussianBlur(radius=int(diagonal * 0.01)))
    canvas = canvas.resize((size, size), resample=Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(canvas, dtype=np.float64).copy())


def _canvas(size: int) -> tuple[int, float]:
    """Side and diagonal of the canvas that a kernel is drawn on."""
    return OVERSIZE * size, math.hypot(OVERSIZE * size, OVERSIZE * size)


def _path(size: int, intensity: float, random: np.random.RandomState) -> np.ndarray:
    """Corners of the path as complex numbers x + iy, their mean at the centre of the canvas."""
    side, diagonal = _canvas(size)
    steps = _steps(diagonal, intensity, random)
    angles = _angles(len(steps), intensity, random)
    path = np.cumsum(steps * np.exp(1j * angles))
    path = (path - path.mean()) * np.exp(1j * random.uniform(0, math.pi))
    return np.asarray(path + side * (1 + 1j) / 2)


def _steps(diagonal: float, intensity: float, random: np.random.RandomState) -> np.ndarray:
    """Beta-distributed steps until their sum reaches the length of the path."""
    length = 0.75 * diagonal * (random.uniform() + random.uniform(0, intensity**2))
    steps: list[float] = []
    total = 0.0
    while total < length:
        step = random.beta(1, 30) * (1 - intensity + SLACK) * diagonal
        if step < length:
            steps.append(step)
            total += step
    return np.asarray(steps)


def _angles(count: int, intensity: float, random: np.random.RandomState) -> np.ndarray:
    """Directions that keep their sign, but for a rare flip."""
    largest = random.uniform(0, intensity * math.pi)
    flip = random.beta(2, 20)
    angles = [random.uniform(-largest, largest)]
    while len(angles) < count:
        size = random.triangular(0, intensity * largest, largest + SLACK)
        sign = np.sign(angles[-1])
        angles.append(size * (-sign if random.uniform() < flip else sign))
    return np.asarray(angles)
