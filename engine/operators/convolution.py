"""Correlation of pictures with one kernel by real FFTs: with a border of any kind, and circularly.

y_i = sum_j k_j x~_(i + j - a),   a = size // 2 on each axis,  x~ the extended picture  (cross-correlation, no flip)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _native
from .. import inference
from .base import Spectrum, chebyshev_sum
from .fourier import fast_length, irfft2, rfft2
from .padding import Extension, sources


class Transfer:
    """Transfer functions of one kernel at one FFT size, cast once for each dtype and device."""

    def __init__(self, response: Tensor) -> None:
        """response: complex128, the half spectrum by which a picture's rfft2 is multiplied in `forward`."""
        self._forward = response
        self._adjoint = response.conj().resolve_conj()
        self._power = response.abs().square()
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
            values = self._cast[key] = self._made_like(name, spectrum)
        return values

    @inference.left()
    def _made_like(self, name: str, spectrum: Tensor) -> Tensor:
        values: Tensor = getattr(self, f"_{name}")
        dtype = spectrum.dtype if values.is_complex() else spectrum.dtype.to_real()
        return values.to(spectrum.device, dtype).contiguous()


class Padded:
    """A picture with a border of any kind: extend, multiply in the Fourier domain, crop. The adjoint folds back.

    In float32 on a CPU compiled code does it, in half the passes over memory; elsewhere, and where autograd looks on, torch.
    """

    def __init__(self, kernel: Tensor, size: tuple[int, int], padding: str) -> None:
        self.size = size
        kernel, margins = trimmed(kernel)
        top, bottom, left, right = margins
        self._extension = Extension(size, margins, padding)
        self._fft = (fast_length(size[0] + top + bottom), fast_length(size[1] + left + right))
        self._transfer = Transfer(rfft2(kernel, self._fft).conj())
        self._compiled = _compiled(kernel, size, margins, padding, self._fft)

    def forward(self, x: Tensor) -> Tensor:
        if _is_plain(x):
            return self._compiled.forward(x.contiguous(), out=_like(x))
        z = rfft2(self._extension.extend(x), self._fft)
        z = irfft2(z.mul_(self._transfer.forward(z)), self._fft)
        return z[..., : self.size[0], : self.size[1]]

    def adjoint(self, u: Tensor) -> Tensor:
        if _is_plain(u):
            return self._compiled.adjoint(u.contiguous(), out=_like(u))
        z = rfft2(u, self._fft)
        z = irfft2(z.mul_(self._transfer.adjoint(z)), self._fft)
        return self._extension.fold(z)

    def normal(self, x: Tensor) -> Tensor:
        if _is_plain(x):
            return self._compiled.normal(x.contiguous(), out=_like(x))
        return self.adjoint(self.forward(x))

    def chebyshev(self, g: Tensor, coefficients: Sequence[float], bound: float) -> Tensor:
        if _is_plain(g):
            return self._compiled.series(g.contiguous(), coefficients, bound, out=_like(g))
        return chebyshev_sum(self.normal, g, coefficients, bound)

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
        self._response = rfft2(wrapped, size).conj()
        self._transfer = Transfer(self._response)

    def forward(self, x: Tensor) -> Tensor:
        z = rfft2(x, self.size)
        return irfft2(z * self._transfer.forward(z), self.size)

    def adjoint(self, u: Tensor) -> Tensor:
        z = rfft2(u, self.size)
        return irfft2(z * self._transfer.adjoint(z), self.size)

    def normal(self, x: Tensor) -> Tensor:
        z = rfft2(x, self.size)
        return irfft2(z * self._transfer.power(z), self.size)

    def spectrum(self, device: torch.device) -> Spectrum:
        width = self.size[1]
        # Every column of the half spectrum but the first (and the middle one of an even width) stands for two.
        norms = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64, device=device)
        norms[0] = 1.0
        if width % 2 == 0:
            norms[-1] = 1.0
        return Spectrum(
            to_basis=lambda x: rfft2(x, self.size, ortho=True),
            from_basis=lambda c: irfft2(c, self.size, ortho=True),
            eigenvalues=self._response.abs().square()[None, None].to(device),
            norms=norms,
        )


def _compiled(
    kernel: Tensor, size: tuple[int, int], margins: tuple[int, int, int, int], padding: str, fft: tuple[int, int]
) -> _native.Correlation:
    top, bottom, left, right = margins
    rows, columns = sources(size[0], top, bottom, padding), sources(size[1], left, right, padding)
    return _native.Correlation(*size, rows.tolist(), columns.tolist(), *fft, half_response(kernel, fft))


def half_response(kernels: Tensor, fft: tuple[int, int]) -> Tensor:
    """By what compiled code multiplies a picture's transform in `forward`: [..., fft_height // 2 + 1, fft_width], complex64."""
    response = torch.fft.fft2(kernels, s=fft).conj()[..., : fft[0] // 2 + 1, :]
    return response.resolve_conj().to(torch.complex64).contiguous()


def _is_plain(x: Tensor) -> bool:
    """Whether the compiled code may take x: it knows float32 on a CPU, and nothing of gradients."""
    on_cpu = x.ndim == 4 and x.dtype == torch.float32 and x.device.type == "cpu"
    return (
        on_cpu
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
    )


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def trimmed(kernels: Tensor) -> tuple[Tensor, tuple[int, int, int, int]]:
    """Kernels [..., h, w] without the zero border of all, and how far (top, bottom, left, right) they reach from their centre.

    Kernels are mostly zero around their path, and the FFT grows with their reach.
    """
    height, width = kernels.shape[-2:]
    seen = (kernels != 0).reshape(-1, height, width).any(0)
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    centre = (height // 2, width // 2)
    # The centre stays inside, so that no reach is negative.
    first = (min(int(rows[0]), centre[0]), min(int(columns[0]), centre[1]))
    last = (max(int(rows[-1]), centre[0]), max(int(columns[-1]), centre[1]))
    margins = (centre[0] - first[0], last[0] - centre[0], centre[1] - first[1], last[1] - centre[1])
    return kernels[..., first[0] : last[0] + 1, first[1] : last[1] + 1], margins
