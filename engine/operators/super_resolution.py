"""Low resolution: bicubic reduction with antialiasing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import checks
from .base import LinearOperator, Spectrum
from .separable import Axis, AxisPair
from .sizes import SizeCache

# Keys' cubic with a = -1/2.
CUBIC = -0.5


class SuperResolution(LinearOperator):
    """H(x) = R x C^T: [B, C, H, W] in [-1, 1] -> [B, C, H/factor, W/factor].

    R and C reduce one axis by `factor` with Keys' cubic (a = -1/2) stretched by `factor`, its 4 factor taps centred on
    the middle of the output pixel and normalised to sum 1; the border is mirrored with the edge pixel repeated. H maps
    a constant to itself. factor = 4 is the reference set-up (256x256 -> 64x64).

    Raises ValueError when H or W is not a multiple of `factor`.
    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, with the antialiasing of
    MATLAB's imresize.
    """

    light = True

    def __init__(self, factor: int = 4) -> None:
        super().__init__()
        self.factor = checks.whole(factor, "factor", 1, 64)
        self._axes: SizeCache[Axis] = SizeCache()
        self._pairs: SizeCache[AxisPair] = SizeCache()

    def forward(self, x: Tensor) -> Tensor:
        return self._pair(*checks.picture(x, "SuperResolution")).forward(x)

    def adjoint(self, u: Tensor) -> Tensor:
        return self._behind(u).adjoint(u)

    def normal(self, x: Tensor) -> Tensor:
        return self._pair(*checks.picture(x, "SuperResolution")).normal(x)

    def pinv(self, y: Tensor) -> Tensor:
        return self._behind(y).pinv(y)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        return (*y.shape[:-2], y.shape[-2] * self.factor, y.shape[-1] * self.factor)

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum:
        return self._pair(shape[-2], shape[-1]).spectrum(self.device)

    def config(self) -> dict[str, Any]:
        return {"operator": "SuperResolution", "factor": self.factor}

    def _behind(self, y: Tensor) -> AxisPair:
        height, width = checks.picture(y, "SuperResolution")
        return self._pair(height * self.factor, width * self.factor)

    def _pair(self, height: int, width: int) -> AxisPair:
        return self._pairs.get((height, width), lambda: AxisPair(self._axis(height), self._axis(width)))

    def _axis(self, length: int) -> Axis:
        if length % self.factor:
            raise ValueError(
                f"SuperResolution(factor={self.factor}) needs sides that are multiples of {self.factor}, got {length}: "
                f"crop to {length - length % self.factor} or pad to {length + -length % self.factor}"
            )
        return self._axes.get(length, lambda: Axis(reduction_matrix(length, self.factor)))


def reduction_matrix(length: int, factor: int) -> Tensor:
    """[length / factor, length], float64: bicubic antialiased reduction of one axis, half-sample mirror border."""
    count = length // factor
    centre = (torch.arange(count, dtype=torch.float64) + 0.5) * factor - 0.5
    reach = torch.arange(-2 * factor - 1, 2 * factor + 2)
    taps = torch.floor(centre).to(torch.int64)[:, None] + reach
    weights = _cubic((centre[:, None] - taps) / factor)
    weights = weights / weights.sum(1, keepdim=True)
    period = 2 * length
    taps = taps % period
    taps = torch.minimum(taps, period - 1 - taps)
    matrix = torch.zeros(count, length, dtype=torch.float64)
    return matrix.scatter_add_(1, taps, weights)


def _cubic(t: Tensor) -> Tensor:
    t = t.abs()
    near = (CUBIC + 2) * t**3 - (CUBIC + 3) * t**2 + 1
    far = CUBIC * (t**3 - 5 * t**2 + 8 * t - 4)
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
