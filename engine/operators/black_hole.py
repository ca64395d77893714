"""Black-hole imaging: closures of an interferometer's visibilities, which do not feel the stations' own errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..noise import standard_normal
from . import checks
from .base import Operator
from .observation import Observation, read_uvfits
from .sizes import SizeCache

# The grid and picture of the reference set-up: 64 x 64 pixels over 158 microarcseconds, the brightest of .008856 Jy.
GRID, FIELD_OF_VIEW, PEAK = 64, 158.0, 0.008856
MICROARCSECOND = math.pi / 180 / 3600e6
FLUX_WEIGHT = 1 / (2 * math.sqrt(2))
FAINTEST = 1e-12


class BlackHole(Operator):
    """H(x) = [cos(c)/s_c, sin(c)/s_c, a/s_a, F / (2 sqrt 2)],   c = E arg V,  a = Q log|V|,  V = A f,  f = (x + 1)/2

    with closure phases c, logarithms of closure amplitudes a, their standard deviations s from the observation's thermal
    noise, the total flux F = sum f, and A the Fourier transform at the observed baselines. So

        ||H(x) - y||^2 = n_c chi2_c + n_a chi2_a + chi2_F / 2,    chi2_c = mean 2 (1 - cos(c - c_y))/s_c^2,
        chi2_a = mean ((a - a_y)/s_a)^2,    chi2_F = ((F - F_y)/2)^2

    half of InverseBench's loss, whose gradient `data_gradient` "half" gives quartered. Noise is in units of the thermal noise.

    observation: an `Observation`, or the path of a .uvfits file (extra `blackhole`).   fraction: of its scans the first ones.
    fov:  side of the picture in microarcseconds.   peak: Jy of a white pixel of a 64 x 64 grid; F counts in such pixels.
    x [B, 1, n, n] -> [B, 2 n_c + n_a + 1]. `measurement()` is the observation itself in this form. The first row of x is north,
    its first column east.

    Raises ValueError for an observation without closures. Source: Zheng et al. 2025, "InverseBench", black hole imaging.
    """

    def __init__(
        self,
        observation: Observation | str | Path,
        fraction: float = 1.0,
        *,
        fov: float = FIELD_OF_VIEW,
        peak: float = PEAK,
    ) -> None:
        super().__init__()
        self.fraction = checks.real(fraction, "fraction", 0, 1, open_low=True)
        self.fov = checks.real(fov, "fov", 0, open_low=True)
        self.peak = checks.real(peak, "peak", 0, open_low=True)
        given = observation if isinstance(observation, Observation) else read_uvfits(observation)
        self.whole, self.observation = given, given.first(self.fraction)
        triangles, quadrangles = self.observation.closures()
        if not len(triangles):
            raise ValueError("the observation has no triangle of baselines in one scan: no closure phase can be formed")
        faintness = (self.observation.sigma / np.abs(self.observation.visibilities)) ** 2
        self._triangles, self._quadrangles = torch.from_numpy(triangles), torch.from_numpy(quadrangles)
        self._phase_sigma = torch.from_numpy(np.sqrt(np.abs(triangles) @ faintness))
        self._amplitude_sigma = torch.from_numpy(np.sqrt(np.abs(quadrangles) @ faintness))
        self._plans: SizeCache[Tensor] = SizeCache()

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many visibilities, closure phases, closure amplitudes."""
        return len(self.observation.u), len(self._triangles), len(self._quadrangles)

    def forward(self, x: Tensor) -> Tensor:
        f = self._contrast(x)
        return self._whitened(self._visibilities(f), f.sum(-1) * self._pixel(x))

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        """With dV = A df: dc = E Im(dV/V), da = Q Re(dV/V). So J^T u = 1/2 Re A^T [(Q^T p - i E^T q) / V] + flux,
        p = u_a/s_a, q = (cos(c) u_sin - sin(c) u_cos)/s_c.
        """
        v = self._visibilities(self._contrast(x))
        n = len(self._triangles)
        e, q = self._as(self._triangles, u), self._as(self._quadrangles, u)
        c = v.angle() @ e.mT
        turning = (c.cos() * u[:, n : 2 * n] - c.sin() * u[:, :n]) / self._as(self._phase_sigma, u)
        growing = u[:, 2 * n : -1] / self._as(self._amplitude_sigma, u)
        back = torch.complex(growing @ q, -(turning @ e)) / _away_from_zero(v)
        g = torch.cat((back.real, -back.imag), dim=1) @ self._transform(x) + FLUX_WEIGHT * self._pixel(x) * u[:, -1:]
        return (0.5 * g).reshape(x.shape)

    def degrade(self, x: Tensor, noise: float = 0.0, seed: int = 0) -> Tensor:
        """The closures of V + noise * sigma * (n + i n'): an observation of x, thermal noise and all where noise = 1."""
        checks.real(noise, "noise", 0)
        f = self._contrast(x)
        v = self._visibilities(f)
        seeds = range(seed, seed + len(x))
        n = standard_normal((2, v.shape[1]), seeds, stream="measurement", device=v.device).to(x.dtype)
        sigma = self._as(torch.from_numpy(self.observation.sigma / self.peak), x)
        return self._whitened(v + noise * sigma * torch.complex(n[:, 0], n[:, 1]), f.sum(-1) * self._pixel(x))

    def measurement(self) -> Tensor:
        """The observation as y, float32 [1, 2 n_c + n_a + 1]. Logarithms of noisy amplitudes need no correction."""
        o = self.observation
        flux = torch.tensor([o.flux() / self.peak], dtype=torch.float64)
        return self._whitened(torch.from_numpy(o.visibilities)[None], flux).float()

    def chi2(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """{"closure phase", "closure amplitude", "flux"}: chi2 of each image, [B]. 1 is as near as noise allows."""
        squares = (self.forward(x) - y).double().square()
        n, m = len(self._triangles), len(self._quadrangles)
        return {
            "closure phase": squares[:, : 2 * n].sum(1) / n,
            "closure amplitude": squares[:, 2 * n : 2 * n + m].sum(1) / max(m, 1),
            "flux": 2 * squares[:, -1],
        }

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        """That of the reference set-up: closures do not say how finely a picture is drawn."""
        return (len(y), 1, GRID, GRID)

    def start(self, y: Tensor) -> Tensor:
        """A disc of Gaussian brightness that has the right flux: closures alone make no picture."""
        along = torch.linspace(-1, 1, GRID, dtype=y.dtype, device=y.device)
        disc = torch.exp(-4 * (along[:, None].square() + along.square()))
        flux = y[:, -1, None, None, None] / FLUX_WEIGHT
        return (2 * flux * disc / disc.sum() - 1).clamp(-1, 1)

    def config(self) -> dict[str, Any]:
        names = ("u", "v", "visibilities", "sigma", "stations", "scans")
        arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(self.whole, name))) for name in names}
        plain = {"names": ",".join(self.whole.names), "fraction": self.fraction, "fov": self.fov, "peak": self.peak}
        return {"operator": "BlackHole", **plain, **arrays}

    @staticmethod
    def stored(*, names: str, fraction: float, fov: float, peak: float, **arrays: Any) -> BlackHole:
        """From what `config()` says."""
        known = tuple(names.split(",")) if names else ()
        observation = Observation(**{key: np.asarray(value) for key, value in arrays.items()}, names=known)
        return BlackHole(observation, fraction, fov=fov, peak=peak)

    def _whitened(self, v: Tensor, flux: Tensor) -> Tensor:
        """v [B, M] and flux [B] -> H."""
        like = v.real
        c = v.angle() @ self._as(self._triangles, like).mT
        a = v.abs().clamp_min(FAINTEST).log() @ self._as(self._quadrangles, like).mT
        s = self._as(self._phase_sigma, like)
        parts = [c.cos() / s, c.sin() / s, a / self._as(self._amplitude_sigma, like), FLUX_WEIGHT * flux[:, None]]
        return torch.cat(parts, dim=1)

    def _contrast(self, x: Tensor) -> Tensor:
        height, width = checks.picture(x, "BlackHole")
        if x.shape[1] != 1 or height != width:
            raise ValueError(
                f"BlackHole takes square pictures of one channel, got {list(x.shape[1:])}: use a prior of one channel and "
                "size=(n, n)"
            )
        return (0.5 * x + 0.5).flatten(1)

    def _visibilities(self, f: Tensor) -> Tensor:
        real, imaginary = (f @ self._transform(f).mT).chunk(2, dim=1)
        return torch.complex(real, imaginary)

    def _pixel(self, x: Tensor) -> float:
        """How many pixels of the reference grid one of x covers."""
        return (GRID / x.shape[-1]) ** 2

    def _transform(self, like: Tensor) -> Tensor:
        """A's real part over its imaginary part, [2 M, n^2], its unit the white pixel of the reference grid."""
        side = math.isqrt(like[0].numel())
        key = (side, like.dtype, like.device)
        return self._plans.get(key, lambda: self._matrix(side).to(like.device, like.dtype))

    def _matrix(self, side: int) -> Tensor:
        """exp(2 pi i (u alpha + v delta)) at the pixels' centres, the signs as .uvfits has them, times the transform of a pixel
        drawn as a pyramid.
        """
        pixel = self.fov * MICROARCSECOND / side
        towards = (side - 1) / 2 - torch.arange(side, dtype=torch.float64)
        u, v = (torch.from_numpy(np.asarray(w, np.float64)) for w in (self.observation.u, self.observation.v))
        east, north = (torch.exp(2j * math.pi * pixel * w[:, None] * towards) for w in (u, v))
        pyramid = (torch.sinc(u * pixel) * torch.sinc(v * pixel)).square()
        a = (pyramid[:, None] * (GRID / side) ** 2)[..., None] * north[:, :, None] * east[:, None, :]
        a = a.flatten(1)
        return torch.cat((a.real, a.imag))

    def _as(self, tensor: Tensor, like: Tensor) -> Tensor:
        return tensor.to(like.device, like.dtype)


def _away_from_zero(v: Tensor) -> Tensor:
    return torch.where(v.abs() > FAINTEST, v, torch.full_like(v, FAINTEST))
