"""Phase retrieval: only the modulus of the Fourier transform is seen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import checks
from .base import Operator
from .fourier import centred, irfft2, rfft2, uncentred


class PhaseRetrieval(Operator):
    """H(x) = |F pad((x + 1)/2)|, every channel alone: [B, C, H, W] in [-1, 1] -> [B, C, H + 2p, W + 2q], >= 0.

    F is the orthonormal 2-D Fourier transform with the zero frequency in the middle (index side // 2), pad puts
    p = floor(oversample H / 8) and q = floor(oversample W / 8) zeros on each side. oversample = 2 takes 256x256 to
    384x384, the reference set-up (DAPS).
    """

    def __init__(self, oversample: float = 2.0) -> None:
        super().__init__()
        self.oversample = checks.real(oversample, "oversample", 0, 64)

    def measurement_size(self, height: int, width: int) -> tuple[int, int]:
        return self._padded(height), self._padded(width)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        return (*y.shape[:-2], self._unpadded(y.shape[-2]), self._unpadded(y.shape[-1]))

    def forward(self, x: Tensor) -> Tensor:
        height, width = checks.picture(x, "PhaseRetrieval")
        size = self.measurement_size(height, width)
        # The modulus does not feel where in its frame a picture lies: pad at the end only.
        return centred(torch.fft.fft2(0.5 * x + 0.5, s=size, norm="ortho").abs())

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        """J^T u = 1/2 Re crop F^-1 (u z/|z|), z = F pad((x + 1)/2), and 0 where z = 0.

        z belongs to a real picture, so the real part keeps what is even in u, and half of the spectrum is enough.
        """
        z = self._half_spectrum(x)
        return self._back(torch.sgn(z) * even_half(u), x)

    def data_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        z = self._half_spectrum(x)
        return self._back(z - torch.sgn(z) * even_half(y), x)

    def start(self, y: Tensor) -> Tensor:
        """The picture of this modulus whose phase is zero: a symmetric blob, since what tells pictures apart is lost.

        Mapped from [0, 1] to [-1, 1] and clipped.
        """
        height, width = self.picture_shape(y)[-2:]
        blob = centred(irfft2(even_half(y), (y.shape[-2], y.shape[-1]), ortho=True))
        top, left = (y.shape[-2] - height) // 2, (y.shape[-1] - width) // 2
        return (2 * blob[..., top : top + height, left : left + width] - 1).clamp(-1, 1)

    def config(self) -> dict[str, Any]:
        return {"operator": "PhaseRetrieval", "oversample": self.oversample}

    def _padded(self, side: int) -> int:
        return side + 2 * int(self.oversample / 8 * side)

    def _unpadded(self, padded: int) -> int:
        """`_padded` backwards; it grows with every step of its argument, so there is at most one answer."""
        guess = round(padded / (1 + self.oversample / 4))
        for side in range(max(guess - 2, 1), guess + 3):
            if self._padded(side) == padded:
                return side
        raise ValueError(f"no picture has a side of {padded} after padding with oversample={self.oversample:g}")

    def _half_spectrum(self, x: Tensor) -> Tensor:
        height, width = checks.picture(x, "PhaseRetrieval")
        return rfft2(0.5 * x + 0.5, self.measurement_size(height, width), ortho=True)

    def _back(self, half: Tensor, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        full = irfft2(half, self.measurement_size(height, width), ortho=True)
        return 0.5 * full[..., :height, :width]


def even_half(u: Tensor) -> Tensor:
    """(u(k) + u(-k))/2 on the half spectrum of a real FFT, for u with its zero frequency in the middle."""
    u = uncentred(u)
    half = u.shape[-1] // 2 + 1
    mirrored = torch.roll(u.flip(-2, -1), (1, 1), (-2, -1))
    return 0.5 * (u[..., :half] + mirrored[..., :half])


def even_upper(u: Tensor) -> Tensor:
    """The same even part on the upper half of the rows: [..., rows // 2 + 1, columns]."""
    u = uncentred(u)
    half = u.shape[-2] // 2 + 1
    mirrored = torch.roll(u.flip(-2, -1), (1, 1), (-2, -1))
    return 0.5 * (u[..., :half, :] + mirrored[..., :half, :])
