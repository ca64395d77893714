"""Blur by a kernel the user brings, by a Gaussian, or by a random camera shake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import checks
from .base import LinearOperator, Spectrum
from .convolution import Circular, Padded
from .padding import PADDINGS, correlation_matrix
from .psf import gaussian_kernel, motion_kernel
from .separable import Axis, AxisPair
from .sizes import SizeCache

LARGEST = 1023
# A kernel whose second singular value is below this fraction of the first is the product of two profiles up to
# rounding: that of float32 where all its values are float32 numbers.
RANK_ONE = {torch.float32: 1e-6, torch.float64: 1e-12}
# Weight of "stay near the measurement" in `start`: about (noise / contrast)^2 of the paper's tasks.
START_WEIGHT = 0.02
START_STEPS = 20


class Blur(LinearOperator):
    """H(x)_i = sum_j k_j x~_(i + j - a), every channel alone: [B, C, H, W] in [-1, 1] -> the same shape.

    A cross-correlation (the kernel is not flipped) with its centre at a = size // 2 on each axis, as in the reference
    implementation and in scipy.ndimage.correlate; flip the kernel on both axes for a convolution. x~ is the picture
    extended beyond its border:

    padding: "reflect" (edge not repeated; the reference set-up), "circular", "replicate" or "zero".
    kernel:  [h, w], finite, not all zero, taken as it is (not normalised).

    Inside: two small matrix products when the kernel is the product of two profiles, one pointwise product in the
    Fourier domain when circular (both diagonalise H^T H: `spectrum`), padded FFTs otherwise (`spectrum` is None).
    """

    light = True

    def __init__(self, kernel: Any, padding: str = "reflect") -> None:
        super().__init__()
        self.kernel = _checked(kernel)
        self.padding = checks.one_of(padding, "padding", PADDINGS)
        self._profiles = _profiles(self.kernel)
        self._axes: SizeCache[Axis] = SizeCache()
        self._plans: SizeCache[AxisPair | Circular | Padded] = SizeCache()

    def forward(self, x: Tensor) -> Tensor:
        return self._plan(*checks.picture(x, type(self).__name__)).forward(x)

    def adjoint(self, u: Tensor) -> Tensor:
        return self._plan(*checks.picture(u, type(self).__name__)).adjoint(u)

    def normal(self, x: Tensor) -> Tensor:
        return self._plan(*checks.picture(x, type(self).__name__)).normal(x)

    def chebyshev(self, g: Tensor, coefficients: Sequence[float], bound: float) -> Tensor:
        plan = self._plan(*checks.picture(g, type(self).__name__))
        if isinstance(plan, Padded):
            return plan.chebyshev(g, coefficients, bound)
        return super().chebyshev(g, coefficients, bound)

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum | None:
        return self._plan(shape[-2], shape[-1]).spectrum(self.device)

    def start(self, y: Tensor) -> Tensor:
        """argmin_x ||H x - y||^2 + w ||x - y||^2, w = 0.02: the measurement, sharpened as far as noise allows.

        The pseudo-inverse of a blur turns the noise into the picture, so it is no baseline; this is Wiener's filter for
        white noise, by 20 steps of conjugate gradients.
        """
        return y + _regularised(self, self.adjoint(y - self.forward(y)))

    def config(self) -> dict[str, Any]:
        return {"operator": "Blur", "kernel": self.kernel, "padding": self.padding}

    def _plan(self, height: int, width: int) -> AxisPair | Circular | Padded:
        return self._plans.get((height, width), lambda: self._make_plan(height, width))

    def _make_plan(self, height: int, width: int) -> AxisPair | Circular | Padded:
        if self.padding == "circular":
            return Circular(self.kernel, (height, width))
        if self._profiles is None:
            return Padded(self.kernel, (height, width), self.padding)
        down, across = (self._axis(p, n) for p, n in zip(self._profiles, (height, width), strict=True))
        return AxisPair(down, across)

    def _axis(self, profile: Tensor, length: int) -> Axis:
        # A symmetric kernel has one profile, and a square picture then one matrix.
        key = (length, profile.numpy().tobytes())
        return self._axes.get(key, lambda: Axis(correlation_matrix(profile, length, self.padding)))


class GaussianBlur(Blur):
    """Blur by a Gaussian of standard deviation `std` pixels, cut at 4 std, in a size x size kernel of sum 1.

    The kernel is scipy.ndimage.gaussian_filter of a unit impulse. size = 61, std = 3.0 with reflect padding is the
    reference set-up. size must be odd.
    """

    def __init__(self, size: int = 61, std: float = 3.0, padding: str = "reflect") -> None:
        self.size, self.std = _odd(size), checks.real(std, "std", 0, LARGEST, open_low=True)
        super().__init__(gaussian_kernel(self.size, self.std), padding)

    def config(self) -> dict[str, Any]:
        return {"operator": "GaussianBlur", "size": self.size, "std": self.std, "padding": self.padding}


class MotionBlur(Blur):
    """Blur by a random camera shake in a size x size kernel of sum 1. intensity 0 is a straight line, 1 a tangle.

    The path is drawn by Pillow from numpy.random.RandomState(seed). As the reference set-up does (it makes two kernels
    and keeps the second), the second kernel of the stream is taken: with seed s it is the one that DAPS uses after
    numpy.random.seed(s), as far as the installed Pillow draws lines like its own.
    `config()` stores the kernel itself, so that a file does not depend on the version of Pillow. size must be odd.
    """

    def __init__(self, size: int = 61, intensity: float = 0.5, seed: int = 0, padding: str = "reflect") -> None:
        self.size, self.intensity = _odd(size), checks.real(intensity, "intensity", 0, 1)
        self.seed = checks.seed(seed)
        super().__init__(motion_kernel(self.size, self.intensity, self.seed), padding)

    def describe(self) -> dict[str, Any]:
        return {
            "operator": "MotionBlur",
            "size": self.size,
            "intensity": self.intensity,
            "seed": self.seed,
            "padding": self.padding,
        }


def _odd(size: Any) -> int:
    side = checks.whole(size, "size", 3, LARGEST)
    if side % 2 == 0:
        raise ValueError(f"size must be odd, so that the kernel has a centre, got {side}: use {side + 1}")
    return side


def _checked(kernel: Any) -> Tensor:
    values = checks.finite(kernel, "kernel")
    if values.ndim != 2 or values.numel() == 0 or max(values.shape) > LARGEST:
        raise ValueError(f"kernel must be [h, w] with sides from 1 to {LARGEST}, got shape {tuple(values.shape)}")
    if not values.any():
        raise ValueError("kernel is zero everywhere: it would blur every picture to nothing")
    return values.contiguous()


def _profiles(kernel: Tensor) -> tuple[Tensor, Tensor] | None:
    """Column and row profile whose outer product is the kernel, or None where there are none."""
    u, s, vh = torch.linalg.svd(kernel, full_matrices=False)
    precision = torch.float32 if torch.equal(kernel.float().double(), kernel) else torch.float64
    if s.numel() > 1 and s[1] > RANK_ONE[precision] * s[0]:
        return None
    down, across = u[:, 0] * s[0].sqrt(), vh[0] * s[0].sqrt()
    if down.sum() < 0:
        down, across = -down, -across
    return down, across


def _regularised(operator: Blur, g: Tensor) -> Tensor:
    """(H^T H + w I)^-1 g by conjugate gradients, every image alone."""
    x, r = torch.zeros_like(g), g
    p, size = r, _dot(r, r)
    for _ in range(START_STEPS):
        q = operator.normal(p) + START_WEIGHT * p
        length = size / _dot(p, q).clamp_min(torch.finfo(g.dtype).tiny)
        x, r = x + length * p, r - length * q
        size, before = _dot(r, r), size
        p = r + size / before.clamp_min(torch.finfo(g.dtype).tiny) * p
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((-3, -2, -1), keepdim=True)
