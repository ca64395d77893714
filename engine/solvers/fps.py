"""FPS-SMC: a particle filter on a sequence of measurements that are noised along with the picture.

    y_t    = y + sigma_t H e_t,   e_t a path of standard noise: e_next = sqrt(1 - c) e_t + sqrt(c) n;   y_t = H x_t + sigma_y n'
    mean   = xhat + sqrt(1 - c) sigma_next (x - xhat) / sigma,   v = c sigma_next^2                      (DDIM with noise)
    weight = p(y_next | x) = N(y_next; H mean, v H H^T + sigma_y^2 I);    resample
    x_next ~ N(A^-1 (mean / v + H^T y_next / sigma_y^2), A^-1),   A = H^T H / sigma_y^2 + I / v

c = eta^2 (1 - sigma_next^2 / sigma^2) is DDIM's, for which the unconditional chain keeps the prior's marginals; the authors'
script holds c at 0.95, which re-noises almost fully. The filter takes the noises n' of all levels for independent although they
stem from one measurement, so its samples are a little too sure of it.
Source: Dou, Song 2024, "Diffusion posterior sampling for linear inverse problem solving: a filtering perspective", Algorithm 2.
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
from .linear import UNSEEN, Normal, diagonal
from .particles import START, gather, log_normal, pick

# Draws of one step: particles from 0, the noise of the measurement's path here.
PATH = 2**14


class FPS(Solver):
    """For linear H with a cheap basis. The network is called once a particle and step; the loop's state is the first particle.

    noise: sigma_y.   particles: P (5 in the authors' script, 20 in InverseBench).   eta: DDIM's (0.85, InverseBench's).
    share: c itself, in the place of eta.
    """

    name = "fps"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        particles: int = 5,
        eta: float = 0.85,
        share: float | None = None,
    ) -> None:
        self.operator, self.basis = diagonal(operator, self.name, shape)
        self.normal = Normal(self.operator, shape)
        self.noise = check_noisy(noise, self.name, "lmaps, ddrm or ddnm")
        self.particles = checks.whole(particles, "particles", 1, 10_000)
        self.eta = checks.real(eta, "eta", 0, 1, open_low=True)
        self.share = None if share is None else checks.real(share, "share", 0, 1, open_low=True)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(100 if steps is None else steps)

    def observe(self, y: Tensor) -> Tensor:
        return self.operator.target(y)

    def begin(self, x: Tensor, at: Step) -> Tensor:
        """P draws of x given y_max under a flat prior: N(A^-1 H^T y_max / sigma_y^2, A^-1), A with v = sigma_max^2."""
        at.memory["path"] = at.normal(x, START)
        target = at.observed + at.sigma * self.operator.normal(at.memory["path"])
        zero = torch.zeros_like(x)
        first = [self._posterior(zero, target, at.sigma**2, x / at.sigma)]
        others = [self._posterior(zero, target, at.sigma**2, at.normal(x, START + p)) for p in range(1, self.particles)]
        at.memory["others"] = others
        return first[0]

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        others = at.memory["others"]
        at.memory["clean"] = [xhat, *[at.denoise(z, at.levels(z)) for z in others]]
        return xhat

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0:
            return x0
        c = self._share(at)
        kept, v = math.sqrt(1 - c) * at.sigma_next / at.sigma, c * at.sigma_next**2
        states = [x, *at.memory["others"]]
        means = [clean + kept * (z - clean) for clean, z in zip(at.memory["clean"], states, strict=True)]
        target = self._next_target(x, at, c)
        means = gather(means, pick([self._log_weight(m, target, v) for m in means], at))
        states = [self._posterior(m, target, v, at.normal(x, p)) for p, m in enumerate(means)]
        at.memory["others"] = states[1:]
        return states[0]

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "particles": self.particles}

    def _share(self, at: Step) -> float:
        return ddim_rho(self.eta, at) ** 2 if self.share is None else self.share

    def _next_target(self, x: Tensor, at: Step, c: float) -> Tensor:
        """H^T y_next."""
        fresh = at.normal(x, PATH)
        path = math.sqrt(1 - c) * at.memory["path"] + math.sqrt(c) * fresh
        at.memory["path"] = path
        return at.observed + at.sigma_next * self.operator.normal(path)

    def _log_weight(self, mean: Tensor, target: Tensor, v: float) -> Tensor:
        """log N(y_next; H mean, v H H^T + sigma_y^2) in the basis, where the misfit of y along s is (V^T H^T y - s^2 m) / s."""
        lam = self.basis.eigenvalues
        seen = lam > UNSEEN * lam.amax()
        misfit = self.basis.to_basis(target - self.operator.normal(mean))
        return log_normal(misfit, torch.where(seen, lam, 1.0) * (v * lam + self.noise**2), self.basis, seen)

    def _posterior(self, mean: Tensor, target: Tensor, v: float, fresh: Tensor) -> Tensor:
        return self.normal.draw(target, mean, self.noise, math.sqrt(v), fresh)
