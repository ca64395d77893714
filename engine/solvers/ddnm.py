"""DDNM: the estimate keeps the network's null space and takes its range from the measurement.

    x0     <- xhat + H^+ (y - H xhat)
    x_next <- x0 + sigma_next (sqrt(1 - eta^2) (x - xhat) / sigma + eta n)

With noise (DDNM+) both lines are taken apart by singular values s of H:

    x0     <- xhat + V Lambda V^T H^+ (y - H xhat),     Lambda = min(1, sqrt(1 - eta^2) s sigma_next / sigma_y), or 1 if
              sigma_next >= sigma_y / s
    x_next <- x0 + V Phi V^T n (+ sqrt(1 - eta^2) sigma_next (x - xhat) / sigma where s = 0),
              Phi^2 = sigma_next^2 - sigma_y^2 / s^2 if sigma_next >= sigma_y / s, else (eta sigma_next)^2

Source: Wang, Yu, Zhang 2022, "Zero-shot image restoration using denoising diffusion null-space model", Algorithm 1, Eq. 17
to 19 and appendix I. Without its time travel, whose default length is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators import checks
from ..operators.base import Operator, Spectrum
from .base import Shape, Solver, Step, step_to
from .flow import strided
from .linear import CUTOFF, Normal, diagonal, linear


class DDNM(Solver):
    """For linear H; the noisy variant needs a cheap basis.

    noise: sigma_y; 0 is the plain method.   eta: share of fresh noise (0.85): the authors' c1 = sqrt(1 - abar_next) eta.
    """

    name = "ddnm"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        eta: float = 0.85,
    ) -> None:
        self.noise = checks.real(noise, "noise", 0)
        self.eta = checks.real(eta, "eta", 0, 1)
        self.operator = linear(operator, self.name)
        self.few_passes = operator.light
        self.normal = Normal(self.operator, shape)
        self.basis: Spectrum | None = diagonal(operator, self.name, shape)[1] if self.noise > 0 else None

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        """DDPM times 990, 980 ... 0 for N = 100."""
        return strided(100 if steps is None else steps)

    def observe(self, y: Tensor) -> Tensor:
        return self.operator.target(y)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        at.memory["xhat"] = xhat
        misfit = at.observed - self.operator.normal(xhat)
        if self.basis is None:
            return xhat + self.normal.resolve(misfit, 0.0)
        lam, sure, seen = self._cases(self.basis, at)
        weight = math.sqrt(1 - self.eta**2) * lam.clamp_min(0).sqrt() * at.sigma_next / self.noise
        weight = torch.where(sure, 1.0, weight) * seen
        return xhat + self.normal.apply(misfit, weight / torch.where(seen, lam, 1.0))

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0:
            return x0
        direction = (x - at.memory["xhat"]) / at.sigma
        if self.basis is None:
            # Eq. 2 takes its direction from (x - x0) / sigma: hand it the state that has this one.
            return step_to(x0, x0 + at.sigma * direction, at, self.eta)
        lam, sure, seen = self._cases(self.basis, at)
        fresh = (at.sigma_next**2 - self.noise**2 / torch.where(sure, lam, 1.0)).clamp_min(0).sqrt()
        fresh = torch.where(sure, fresh, self.eta * at.sigma_next)
        old = math.sqrt(1 - self.eta**2) * at.sigma_next * (~seen).double()
        return x0 + self.normal.apply(at.normal(x), fresh) + self.normal.apply(direction, old)

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "variant": "ddnm" if self.basis is None else "ddnm+"}

    def _cases(self, basis: Spectrum, at: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Eigenvalues, where sigma_y / s <= sigma_next, and where H sees at all."""
        lam = basis.eigenvalues
        seen = lam > CUTOFF * lam.amax()
        return lam, seen & (self.noise <= at.sigma_next * lam.clamp_min(0).sqrt()), seen
