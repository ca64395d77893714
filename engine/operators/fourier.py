"""The real Fourier transform of pictures over their last two axes, and the lengths it is quick at."""

from __future__ import annotations

import torch
from torch import Tensor


def rfft2(x: Tensor, size: tuple[int, int], *, ortho: bool = False) -> Tensor:
    """Half spectrum of x, zero-padded to `size`: [..., size[0], size[1]//2 + 1]."""
    z: Tensor = torch.fft.rfft2(x, s=size, norm="ortho" if ortho else "backward")
    return z


def irfft2(z: Tensor, size: tuple[int, int], *, ortho: bool = False) -> Tensor:
    """The real picture [..., *size] of a half spectrum."""
    x: Tensor = torch.fft.irfft2(z, s=size, norm="ortho" if ortho else "backward")
    return x


def centred(x: Tensor) -> Tensor:
    """Zero frequency from index 0 to index side // 2."""
    moved: Tensor = torch.fft.fftshift(x, dim=(-2, -1))
    return moved


def uncentred(x: Tensor) -> Tensor:
    """Zero frequency from index side // 2 to index 0."""
    moved: Tensor = torch.fft.ifftshift(x, dim=(-2, -1))
    return moved


def fast_length(least: int) -> int:
    """The smallest even 2^a 3^b 5^c >= `least`: a length that FFT libraries are quick at."""
    length = least + least % 2
    while not is_smooth(length):
        length += 2
    return length


def is_smooth(n: int) -> bool:
    """Whether n is a product of 2, 3 and 5."""
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1
