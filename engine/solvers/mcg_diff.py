"""MCG-diff: a particle filter that ties each measured coefficient to the data until its noise level is the measurement's.

In the basis of H^T H, with ybar = V^T H^+ y, tau = sigma_y / s the noise of a coefficient, and it counting as active at noise
levels sigma >= tau, where p(y | x) is taken as N(x; ybar, pi(sigma)), pi = sigma^2 - tau^2 + kappa (1 + tau^2):

    mean, v: of DDIM with noise, v = sigma_next^2 rho^2,  rho = eta sqrt(1 - sigma_next^2 / sigma^2)
    weight = prod_(active at sigma_next) N(mean; ybar, v + pi(sigma_next)) / prod_(active at sigma) N(x; ybar, pi(sigma))
    resample
    x_next ~ N((1 - K) mean + K ybar, K pi(sigma_next)) where active at sigma_next, K = v / (v + pi),   N(mean, v) elsewhere

At the end one particle is drawn by p(y | x) over what its weight has counted.
Source: Cardoso, Janati, Le Corff, Moulines 2023, "Monte Carlo guided diffusion for Bayesian linear inverse problems",
Algorithm 1 and section 3; pi is the VP variance 1 - (1 - kappa) abar / abar_tau over abar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .base import Shape, Solver, Step, check_noisy, ddim_rho
from .linear import CUTOFF, diagonal
from .particles import START, gather, log_normal, pick


class MCGdiff(Solver):
    """For linear H with a cheap basis. The network is called once a particle and step; the loop's state is the first particle.

    noise: sigma_y.   particles: P (64 in InverseBench).   eta: share of fresh noise.   kappa: slack of the tie (1e-4).
    """

    name = "mcg-diff"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        particles: int = 64,
        eta: float = 1.0,
        kappa: float = 1e-4,
    ) -> None:
        self.operator, self.basis = diagonal(operator, self.name, shape)
        self.noise = check_noisy(noise, self.name, "lmaps, ddrm or ddnm")
        self.particles = checks.whole(particles, "particles", 1, 10_000)
        self.eta = checks.real(eta, "eta", 0, 1, open_low=True)
        self.kappa = checks.real(kappa, "kappa", 0, 1, open_low=True)
        lam = self.basis.eigenvalues
        self.seen = lam > CUTOFF * lam.amax()
        self.safe = torch.where(self.seen, lam, 1.0)
        self.tau2 = self.noise**2 / self.safe

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(200 if steps is None else steps)

    def observe(self, y: Tensor) -> Tensor:
        """ybar, 0 where H does not see."""
        c = self.basis.to_basis(self.operator.target(y))
        return c * (self.seen / self.safe).to(device=y.device, dtype=_real(c.dtype))

    def begin(self, x: Tensor, at: Step) -> Tensor:
        at.memory["others"] = [at.sigma * at.normal(x, START + p) for p in range(1, self.particles)]
        return x

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        others = at.memory["others"]
        at.memory["clean"] = [xhat, *[at.denoise(z, at.levels(z)) for z in others]]
        return xhat if at.sigma_next > 0 else self._last(x, at)

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0:
            return x0
        rho = ddim_rho(self.eta, at)
        kept, v = math.sqrt(1 - rho**2) * at.sigma_next / at.sigma, (rho * at.sigma_next) ** 2
        active, pi = self._tied(at.sigma_next)
        states = [self.basis.to_basis(z) for z in (x, *at.memory["others"])]
        clean = [self.basis.to_basis(z) for z in at.memory["clean"]]
        means = [c + kept * (z - c) for c, z in zip(clean, states, strict=True)]
        weights = [
            log_normal(m - at.observed, v + pi, self.basis, active) - self._counted(z, at)
            for m, z in zip(means, states, strict=True)
        ]
        gain = torch.where(active, v / (v + pi), 0.0)
        spread = torch.where(active, gain * pi, v).sqrt()
        moved = []
        for p, m in enumerate(gather(means, pick(weights, at))):
            fresh = self.basis.to_basis(at.normal(x, p))
            c = m + gain.to(_real(m.dtype)) * (at.observed - m) + spread.to(_real(m.dtype)) * fresh
            moved.append(self.basis.from_basis(c))
        at.memory["others"] = moved[1:]
        return moved[0]

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "particles": self.particles}

    def _tied(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Which coefficients are active at sigma, and pi there (1 elsewhere)."""
        active = self.seen & (self.tau2 <= sigma**2)
        return active, torch.where(active, sigma**2 - self.tau2 + self.kappa * (1 + self.tau2), 1.0)

    def _counted(self, state: Tensor, at: Step) -> Tensor:
        active, pi = self._tied(at.sigma)
        return log_normal(state - at.observed, pi, self.basis, active)

    def _last(self, x: Tensor, at: Step) -> Tensor:
        """One of the particles' clean estimates, by its likelihood over what has been counted already."""
        states = [self.basis.to_basis(z) for z in (x, *at.memory["others"])]
        clean = at.memory["clean"]
        weights = [
            log_normal(self.basis.to_basis(c) - at.observed, self.tau2, self.basis, self.seen) - self._counted(z, at)
            for c, z in zip(clean, states, strict=True)
        ]
        return gather(clean, pick(weights, at, count=1))[0]


def _real(dtype: torch.dtype) -> torch.dtype:
    return dtype.to_real() if dtype.is_complex else dtype
