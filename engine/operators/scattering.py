"""Linear inverse scattering: a permittivity picture, lit by a ring of transmitters, heard by a ring of receivers."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .. import inference
from . import checks
from .base import AffineOperator, Spectrum
from .scattering_basis import Basis

# The set-up of InverseBench, metres and degrees.
EXTENT = 0.18
RADIUS = 1.6
PIXELS_A_WAVELENGTH = 6
LAST_ANGLE = 359.0


class InverseScattering(AffineOperator):
    """y_tr = dx^2 sum_p conj(f_p u_t(p)) g_r(p),  f = (x + 1)/2: the scattered field in Born's first-order approximation.

    u_t(p) = i/4 H0(k |p - t|) is the field of transmitter t at pixel p, g_r(p) = k^2 i/4 H0(k |p - r|) the Green function of
    receiver r, H0 the Hankel function of the first kind and order zero. x [B, C, n, n] in [-1, 1] is a contrast f in [0, 1];
    y [B, C, T, R, 2] holds real and imaginary parts, every channel measured alone. Affine in x: H(-1) = 0.

    Geometry: the picture spans 0.18 m, dx = 0.18 m / n, and the wavelength is 6 dx. Both rings have a radius of 1.6 m, with
    angles linspace(0, 359, count) degrees.
    noise: the standard deviation of each real number of y. InverseBench's complex noise 1e-4 randn has 1e-4 / sqrt(2) in each.
    side:  n; 128 in the reference set-up.

    Raises ValueError for counts below 1 and for pictures that are not n x n.
    Source: Zheng et al. 2025, "InverseBench", linear inverse scattering.
    """

    def __init__(self, receivers: int = 360, transmitters: int = 20, *, side: int = 128) -> None:
        super().__init__()
        self.receivers = checks.whole(receivers, "receivers", 1, 100_000)
        self.transmitters = checks.whole(transmitters, "transmitters", 1, 100_000)
        self.side = checks.whole(side, "side", 2, 1024)
        self._cast: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def tangent(self, d: Tensor) -> Tensor:
        self._check(d)
        incident, green = self._fields(d)
        y: Tensor = (d.flatten(-2)[..., None, :] * incident.conj()) @ green.mT
        return torch.view_as_real(y)

    def constant(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return self.tangent(like.new_ones((1, 1, *shape[-2:])))

    def adjoint(self, u: Tensor) -> Tensor:
        """A^T u = Re sum_tr u_t(p) conj(g_r(p)) u_tr dx^2 / 2."""
        self._check_measurement(u)
        incident, green = self._fields(u)
        back = torch.view_as_complex(u.contiguous()) @ green.conj()
        return (incident * back).sum(-2).real.unflatten(-1, (self.side, self.side)).contiguous()

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        self._check_measurement(y)
        return (*y.shape[:2], self.side, self.side)

    def start(self, y: Tensor) -> Tensor:
        """The least-squares picture that is nearest to black (no contrast)."""
        black = -torch.ones(self.picture_shape(y), dtype=y.dtype, device=y.device)
        return black + self.pinv(y + self.constant(self.picture_shape(y), y))

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum:
        """Of A^T A, by its singular vectors. At n = 128 this takes minutes once, and lies in the cache afterwards."""
        if tuple(shape[-2:]) != (self.side, self.side):
            raise ValueError(self._wrong_size(shape))
        return self._basis.spectrum(self.device)

    def config(self) -> dict[str, Any]:
        return {
            "operator": "InverseScattering",
            "receivers": self.receivers,
            "transmitters": self.transmitters,
            "side": self.side,
        }

    @cached_property
    @inference.left()
    def _exact(self) -> tuple[Tensor, Tensor]:
        """u_t(p) [T, n^2] and dx^2 / 2 g_r(p) [R, n^2] in complex128 on the CPU."""
        dx = EXTENT / self.side
        k = 2 * math.pi / (PIXELS_A_WAVELENGTH * dx)
        along = torch.arange(self.side, dtype=torch.float64).sub(self.side // 2).mul(dx)
        pixels = torch.cartesian_prod(along, along)
        incident = _point_source(k * torch.cdist(_ring(self.transmitters), pixels))
        green = k**2 * _point_source(k * torch.cdist(_ring(self.receivers), pixels))
        return incident, 0.5 * dx**2 * green

    @cached_property
    def _basis(self) -> Basis:
        return Basis(*self._exact, self.side, name=f"{self.transmitters} {self.receivers}")

    def _fields(self, like: Tensor) -> tuple[Tensor, Tensor]:
        key = (like.dtype, like.device)
        if key not in self._cast:
            kind = like.dtype.to_complex()
            with inference.left():
                incident, green = self._exact
                self._cast[key] = (incident.to(like.device, kind), green.to(like.device, kind))
        return self._cast[key]

    def _check(self, x: Tensor) -> None:
        if checks.picture(x, "InverseScattering") != (self.side, self.side):
            raise ValueError(self._wrong_size(x.shape))

    def _check_measurement(self, u: Tensor) -> None:
        wanted = (self.transmitters, self.receivers, 2)
        if u.ndim != 5 or tuple(u.shape[2:]) != wanted or u.dtype not in checks.FLOATS:
            raise ValueError(
                f"InverseScattering: a real measurement [B, C, {', '.join(map(str, wanted))}] was expected, got {u.dtype} "
                f"{tuple(u.shape)}: use torch.view_as_real on complex data"
            )

    def _wrong_size(self, shape: tuple[int, ...]) -> str:
        return (
            f"InverseScattering is set up for pictures of {self.side}x{self.side}, got {shape[-2]}x{shape[-1]}: give "
            "InverseScattering(side=n) for pictures of n x n"
        )


def _ring(count: int) -> Tensor:
    """Positions [count, 2] in metres."""
    angles = torch.linspace(0, LAST_ANGLE, count, dtype=torch.float64).deg2rad()
    return RADIUS * torch.stack((angles.cos(), angles.sin()), dim=1)


def _point_source(distance: Tensor) -> Tensor:
    """i/4 H0(distance) = (i J0 - Y0) / 4."""
    return torch.complex(-torch.special.bessel_y0(distance), torch.special.bessel_j0(distance)) / 4
