"""Correlation of pictures with one kernel by real FFTs: with a border of any kind, and circularly.

y_i = sum_j k_j x~_(i + j - a),   a = size // 2 on each axis,  x~ the extended picture  (cross-correlation, no flip)
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Spectrum
from .padding import Extension


def fast_length(least: int) -> int:
    """The smallest even 2^a 3^b 5^c >= `least`: a length that FFT libraries are quick at."""
    length = least + least % 2
    while not _smooth(length):
        length += 2
    return length


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


class Transfer:
    """Transfer functions of one kernel at one FFT size, cast once for each dtype and device."""

    def __init__(self, response: Tensor) -> None:
        """response: complex128, the half spectrum by which a picture's rfft2 is multiplied in `forward`."""
        self._response = response
        self._cast: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def forward(self, spectrum: Tensor) -> Tensor:
        return self._like("forward", spectrum)

    def adjoint(self, spectrum: Tensor) -> Tensor:
        return self._like("adjoint", spectrum)

    def power(self, spectrum: Tensor) -> Tensor:
        return self._like("power", spectrum)

    def _like(self, name: str, spectrum: Tensor) -> Tensor:
        key = (name, spectrum.dtype, spectrum.device)
        values = self._cast.get(key)
        if values is None:
            made = {
                "forward": self._response,
                "adjoint": self._response.conj(),
                "power": self._response.abs().square(),
            }[name]
            real = spectrum.real.dtype
            values = made.to(spectrum.device, spectrum.dtype if made.is_complex() else real).resolve_conj().contiguous()
            self._cast[key] = values
        return values


class Padded:
    """A picture with a border of any kind: extend, multiply in the Fourier domain, crop. Its adjoint folds the border back."""

    def __init__(self, kernel: Tensor, size: tuple[int, int], padding: str) -> None:
        self.size = size
        kernel, margins = _trimmed(kernel)
        top, bottom, left, right = margins
        self._extension = Extension(size, margins, padding)
        self._fft = (fast_length(size[0] + top + bottom), fast_length(size[1] + left + right))
        self._transfer = Transfer(torch.fft.rfft2(kernel, s=self._fft).conj())

    def forward(self, x: Tensor) -> Tensor:
        z = torch.fft.rfft2(self._extension.extend(x), s=self._fft)
        z = torch.fft.irfft2(z.mul_(self._transfer.forward(z)), s=self._fft)
        return z[..., : self.size[0], : self.size[1]]

    def adjoint(self, u: Tensor) -> Tensor:
        z = torch.fft.rfft2(u, s=self._fft)
        z = torch.fft.irfft2(z.mul_(self._transfer.adjoint(z)), s=self._fft)
        return self._extension.fold(z)

    def normal(self, x: Tensor) -> Tensor:
        return self.adjoint(self.forward(x))

    def spectrum(self, device: torch.device) -> None:
        return None


class Circular:
    """A picture that repeats itself: diagonal in the Fourier basis."""

    def __init__(self, kernel: Tensor, size: tuple[int, int]) -> None:
        self.size = size
        # A kernel larger than the picture wraps around onto itself.
        rows = (torch.arange(kernel.shape[0]) - kernel.shape[0] // 2) % size[0]
        columns = (torch.arange(kernel.shape[1]) - kernel.shape[1] // 2) % size[1]
        wrapped = torch.zeros(size, dtype=torch.float64)
        wrapped.index_put_((rows[:, None].expand(kernel.shape), columns.expand(kernel.shape)), kernel, accumulate=True)
        self._response = torch.fft.rfft2(wrapped).conj()
        self._transfer = Transfer(self._response)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.fft.rfft2(x)
        return torch.fft.irfft2(z * self._transfer.forward(z), s=self.size)

    def adjoint(self, u: Tensor) -> Tensor:
        z = torch.fft.rfft2(u)
        return torch.fft.irfft2(z * self._transfer.adjoint(z), s=self.size)

    def normal(self, x: Tensor) -> Tensor:
        z = torch.fft.rfft2(x)
        return torch.fft.irfft2(z * self._transfer.power(z), s=self.size)

    def spectrum(self, device: torch.device) -> Spectrum:
        width = self.size[1]
        # Every column of the half spectrum but the first (and the middle one of an even width) stands for two.
        norms = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64, device=device)
        norms[0] = 1.0
        if width % 2 == 0:
            norms[-1] = 1.0
        return Spectrum(
            to_basis=lambda x: torch.fft.rfft2(x, norm="ortho"),
            from_basis=lambda c: torch.fft.irfft2(c, s=self.size, norm="ortho"),
            eigenvalues=self._response.abs().square()[None, None].to(device),
            norms=norms,
        )


def _trimmed(kernel: Tensor) -> tuple[Tensor, tuple[int, int, int, int]]:
    """The kernel without its zero border, and how far (top, bottom, left, right) it reaches from its centre.

    Kernels are mostly zero around their path, and the FFT grows with their reach.
    """
    rows, columns = (kernel != 0).any(1).nonzero().flatten(), (kernel != 0).any(0).nonzero().flatten()
    centre = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    # The centre stays inside, so that no reach is negative.
    first = (min(int(rows[0]), centre[0]), min(int(columns[0]), centre[1]))
    last = (max(int(rows[-1]), centre[0]), max(int(columns[-1]), centre[1]))
    margins = (centre[0] - first[0], last[0] - centre[0], centre[1] - first[1], last[1] - centre[1])
    return kernel[first[0] : last[0] + 1, first[1] : last[1] + 1], margins
