"""Accelerated magnetic resonance imaging: some lines of the Fourier transform, seen by several coils."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checks
from .base import LinearOperator, Spectrum
from .fourier import centred, uncentred
from .sizes import SizeCache

# Share of the lines around the zero frequency that are always measured: up to this acceleration, and beyond it.
CENTRE_UP_TO, CENTRE, CENTRE_BEYOND = 4, 0.08, 0.04


class MRI(LinearOperator):
    """y_c = mask F (s_c z), z = x_0 + i x_1: k-space of every coil c; F the orthonormal 2-D Fourier transform.

    Zero frequency and the picture's own origin lie in the middle (index side // 2). x [B, 2, H, W] is the real and imaginary
    part of the picture in the network's units, y [B, coils, H, W, 2] real and imaginary parts of k-space, 0 where the mask is.

    maps: coil sensitivities, complex [coils, H, W]; None for one coil that sees everything alike, at any size.
    mask: real weights [W] (whole columns, as a scanner reads them) or [H, W], 1 = measured; None for
          `MRI.mask(W, acceleration, seed)`.

    Units: InverseBench divides k-space by the 0.99 quantile of |z| of the fully sampled slice, so that |z| reaches about 1.
    Where that is not known, the 0.99 quantile of |z| of `start(y)` comes near it.
    Pictures for people are magnitudes: `image(x)` is |z| clipped to [0, 1], one channel.

    Raises ValueError for maps and masks that do not fit each other or the picture, TypeError for the wrong kind of numbers.
    Source: Zheng et al. 2025, "InverseBench", compressed sensing MRI.
    """

    def __init__(self, maps: Any = None, mask: Any = None, *, acceleration: float = 4, seed: int = 0) -> None:
        super().__init__()
        self.maps = None if maps is None else _maps(maps)
        self.given = None if mask is None else _weights(mask)
        self.acceleration = checks.real(acceleration, "acceleration", 1)
        self.seed = checks.seed(seed)
        if self.given is not None:
            self.acceleration = float(1 / self.given.abs().mean())
        if self.maps is not None and self.given is not None:
            self._fit(self.maps.shape[-2], self.maps.shape[-1])
        self._cast: SizeCache[tuple[Tensor, Tensor]] = SizeCache()

    @staticmethod
    def mask(lines: int = 320, acceleration: float = 4, seed: int = 0) -> Tensor:
        """[lines] float64 of 0 and 1, 1 = measured: floor(lines / acceleration) of them.

        Those in the middle (8 % of all lines up to acceleration 4, 4 % beyond) and a random choice of the others, drawn by
        NumPy's RandomState(seed): of 320 lines 25 + 55 at 4x and 12 + 28 at 8x, the masks of InverseBench for seed 0.
        """
        lines = checks.whole(lines, "lines", 1)
        acceleration = checks.real(acceleration, "acceleration", 1)
        wanted = int(lines / acceleration)
        centre = min(int(lines * (CENTRE if acceleration <= CENTRE_UP_TO else CENTRE_BEYOND)), wanted)
        first = (lines - centre) // 2
        others = np.concatenate([np.arange(first), np.arange((lines + centre) // 2, lines)])
        drawn = np.random.RandomState(checks.seed(seed)).choice(others, size=wanted - centre, replace=False)
        mask = torch.zeros(lines, dtype=torch.float64)
        mask[first : first + centre] = 1
        mask[torch.from_numpy(drawn)] = 1
        return mask

    def forward(self, x: Tensor) -> Tensor:
        maps, mask = self.parts(x)
        return torch.view_as_real(mask * _transform(maps * _complex(x)))

    def adjoint(self, u: Tensor) -> Tensor:
        """sum_c conj(s_c) F^-1 (mask u_c), as real and imaginary part."""
        self._check_measurement(u)
        maps, mask = self._parts(u.shape[2], u.shape[3], u)
        z = (maps.conj() * _inverse(mask * torch.view_as_complex(u.contiguous()))).sum(1)
        return torch.stack((z.real, z.imag), dim=1)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        self._check_measurement(y)
        return (y.shape[0], 2, *y.shape[2:4])

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum | None:
        """The Fourier transform, for one coil of |s| = 1; None for several, or one that is not as sensitive everywhere."""
        maps, mask = self._parts(shape[-2], shape[-1], torch.zeros((), dtype=torch.float64, device=self.device))
        if len(maps) > 1 or float((maps.abs() - 1).abs().max()) > 1e-6:
            return None

        def to_basis(x: Tensor) -> Tensor:
            return _transform(self.parts(x)[0] * _complex(x))

        def from_basis(c: Tensor) -> Tensor:
            like = torch.zeros((), dtype=c.dtype.to_real(), device=c.device)
            z = self._parts(c.shape[-2], c.shape[-1], like)[0].conj() * _inverse(c)
            return torch.cat((z.real, z.imag), dim=1)

        eigenvalues = mask.square().expand(maps.shape[-2:])[None, None].contiguous()
        return Spectrum(to_basis=to_basis, from_basis=from_basis, eigenvalues=eigenvalues)

    def start(self, y: Tensor) -> Tensor:
        """Zero-filled: H^T y over the sum of |s_c|^2."""
        self._check_measurement(y)
        maps, _ = self._parts(y.shape[2], y.shape[3], y)
        seen = maps.abs().square().sum(0)
        return self.adjoint(y) / seen.clamp_min(1e-3 * float(seen.max()))

    def image(self, x: Tensor) -> Tensor:
        """|z| clipped to [0, 1]: [B, 2, H, W] -> [B, 1, H, W]."""
        return _complex(x).abs().clamp(0, 1)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps [coils, H, W] and mask [H, W] (or [1, W]) for a picture [B, 2, H, W], in its precision, where it is."""
        height, width = checks.picture(x, "MRI")
        if x.shape[1] != 2:
            raise ValueError(
                f"MRI takes pictures of two channels, real and imaginary part, got {x.shape[1]}: use a prior of two channels, "
                "and torch.cat([x, torch.zeros_like(x)], 1) for a real picture"
            )
        return self._parts(height, width, x)

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"operator": "MRI"}
        if self.maps is not None:
            config["maps"] = self.maps.to(torch.complex64)
        if self.given is not None:
            return {**config, "mask": self.given.to(torch.float32)}
        return {**config, "acceleration": self.acceleration, "seed": self.seed}

    def _parts(self, height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
        def make() -> tuple[Tensor, Tensor]:
            self._fit(height, width)
            maps = torch.ones((1, height, width), dtype=torch.float32) if self.maps is None else self.maps
            mask = self.mask(width, self.acceleration, self.seed) if self.given is None else self.given
            mask = mask if mask.ndim == 2 else mask[None]
            return maps.to(like.device, like.dtype.to_complex()), mask.to(like.device, like.dtype)

        return self._cast.get((height, width, like.dtype, like.device), make)

    def _fit(self, height: int, width: int) -> None:
        if self.maps is not None and tuple(self.maps.shape[-2:]) != (height, width):
            raise ValueError(f"maps are {_size(self.maps)}, the picture is {height}x{width}: give both the same size")
        if self.given is not None and tuple(self.given.shape) not in ((width,), (height, width)):
            raise ValueError(
                f"mask is {_size(self.given)}, the picture is {height}x{width}: give a mask [W] of columns or [H, W]"
            )

    def _check_measurement(self, u: Tensor) -> None:
        coils = 1 if self.maps is None else len(self.maps)
        if u.ndim != 5 or (u.shape[1], u.shape[4]) != (coils, 2) or u.dtype not in checks.FLOATS:
            raise ValueError(
                f"MRI: a real measurement [B, {coils}, H, W, 2] was expected, got {u.dtype} {tuple(u.shape)}: use "
                "torch.view_as_real on complex k-space"
            )


def _transform(z: Tensor) -> Tensor:
    k: Tensor = torch.fft.fft2(uncentred(z), norm="ortho")
    return centred(k)


def _inverse(k: Tensor) -> Tensor:
    z: Tensor = torch.fft.ifft2(uncentred(k), norm="ortho")
    return centred(z)


def _complex(x: Tensor) -> Tensor:
    return torch.complex(x[:, :1], x[:, 1:])


def _maps(given: Any) -> Tensor:
    maps = given.detach().cpu() if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    if not maps.is_complex():
        raise TypeError(f"maps must be complex, got {maps.dtype}: use torch.view_as_complex")
    if maps.ndim != 3 or maps.numel() == 0:
        raise ValueError(f"maps must be [coils, H, W], got {list(maps.shape)}")
    checks.finite(torch.view_as_real(maps.to(torch.complex128)), "maps")
    return maps.to(torch.complex128)


def _weights(given: Any) -> Tensor:
    mask = checks.finite(given, "mask")
    if mask.ndim not in (1, 2) or mask.numel() == 0 or not bool(mask.any()):
        raise ValueError(f"mask must be [W] or [H, W] with something measured, got {list(mask.shape)}")
    return mask


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[-2:]))
