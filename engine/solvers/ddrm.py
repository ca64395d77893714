"""DDRM: the transition mixes network, measurement and noise apart for every singular value of H.

In the basis V of H^T H, with s^2 an eigenvalue, ybar = V^T H^+ y and every letter a coefficient of its own,

    s = 0:                    x_next = xhat + sqrt(1 - eta^2) sigma_next (x - xhat) / sigma            + eta sigma_next n
    sigma_next < sigma_y / s: x_next = xhat + sqrt(1 - eta^2) sigma_next (ybar - xhat) / (sigma_y / s) + eta sigma_next n
    sigma_next >= sigma_y / s: x_next = (1 - eta_b) xhat + eta_b ybar + sqrt(sigma_next^2 - eta_b^2 sigma_y^2 / s^2) n

so that x_next ~ N(x0, sigma_next^2) whenever xhat = x0. Source: Kawar, Elad, Ermon, Song 2022, "Denoising diffusion restoration
models", Eq. 7 and 8; DDNM+ is the case eta_b = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..operators import checks
from ..operators.base import Operator
from .base import Shape, Solver, Step
from .flow import strided
from .linear import CUTOFF, diagonal


class Gains(NamedTuple):
    """x_next = clean xhat + state x + data V^T H^T y + noise n, each a number per eigenvalue."""

    clean: Tensor
    state: Tensor
    data: Tensor
    noise: Tensor


class DDRM(Solver):
    """For linear H with a cheap basis.

    noise: sigma_y.   eta: share of fresh noise where the measurement says little (0.85).   eta_b: trust in the measurement
    where it says more than the state (1).
    """

    name = "ddrm"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        eta: float = 0.85,
        eta_b: float = 1.0,
    ) -> None:
        self.operator, self.basis = diagonal(operator, self.name, shape)
        self.few_passes = operator.light
        self.noise = checks.real(noise, "noise", 0)
        self.eta = checks.real(eta, "eta", 0, 1)
        self.eta_b = checks.real(eta_b, "eta_b", 0, 1)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        """DDPM times 950, 900 ... 0 for N = 20."""
        return strided(20 if steps is None else steps)

    def observe(self, y: Tensor) -> Tensor:
        return self.basis.to_basis(self.operator.target(y))

    def begin(self, x: Tensor, at: Step) -> Tensor:
        """N(ybar, sigma_max^2 - sigma_y^2 / s^2) where the measurement says more than that, N(0, sigma_max^2) elsewhere."""
        lam = self.basis.eigenvalues
        sure = _informative(lam, self.noise, at.sigma)
        safe = torch.where(sure, lam, 1.0)
        data = torch.where(sure, 1 / safe, 0.0)
        noise = torch.where(sure, (1 - (self.noise / at.sigma) ** 2 / safe).clamp_min(0).sqrt(), 1.0)
        c = _like(data, x) * at.observed + _like(noise, x) * self.basis.to_basis(x)
        return self.basis.from_basis(c)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        return xhat

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        g = gains(self.basis.eigenvalues, self.noise, at.sigma, at.sigma_next, self.eta, self.eta_b)
        c = _like(g.clean, x) * self.basis.to_basis(x0) + _like(g.data, x) * at.observed
        if at.sigma_next > 0:
            c = c + _like(g.state, x) * self.basis.to_basis(x) + _like(g.noise, x) * self.basis.to_basis(at.normal(x))
        return self.basis.from_basis(c)


def gains(lam: Tensor, noise: float, sigma: float, sigma_next: float, eta: float, eta_b: float) -> Gains:
    """The formula of this module for the eigenvalues `lam` of H^T H, float64."""
    keep = math.sqrt(1 - eta * eta)
    zero = torch.zeros_like(lam)
    seen = lam > CUTOFF * lam.amax()
    sure = _informative(lam, noise, sigma_next)
    faint = seen & ~sure
    safe = torch.where(seen, lam, 1.0)
    # In the faint case noise > 0, or the measurement would be sure; the floor is for the entries it does not concern.
    pull = torch.where(faint, keep * sigma_next * safe.sqrt() / max(noise, 1e-300), zero)
    trust = torch.where(sure, eta_b, pull)
    state = torch.where(seen, zero, keep * sigma_next / sigma)
    left = (sigma_next**2 - (eta_b * noise) ** 2 / safe).clamp_min(0).sqrt()
    return Gains(1 - trust - state, state, trust / safe, torch.where(sure, left, eta * sigma_next))


def _informative(lam: Tensor, noise: float, sigma: float) -> Tensor:
    """Where H sees and sigma_y / s <= sigma: the measurement is at least as exact as the state."""
    return (lam > CUTOFF * lam.amax()) & (noise <= sigma * lam.clamp_min(0).sqrt())


def _like(gain: Tensor, x: Tensor) -> Tensor:
    return gain.to(device=x.device, dtype=x.dtype)
