"""PnP-DM: a Gibbs sampler that alternates a likelihood step and a prior step, coupled at a falling noise level rho.

    x ~ p(x | z)    ~ p(x) exp(-||x - z||^2 / (2 rho^2))
    z ~ p(z | x, y) ~ exp(-||y - H(z)||^2 / (2 sigma_y^2) - ||z - x||^2 / (2 rho^2))

The first is the reverse diffusion from z, taken as a state at sigma = rho; the second is Gaussian for linear H, and a Langevin
chain otherwise.

The loop's state is z and its noise level rho: the estimate is the prior step, the transition the likelihood step.
Source: Wu, Sun, Chen, Zhang, Yue, Bouman 2024, "Principled probabilistic imaging using diffusion models as plug-and-play
priors", Algorithm 1 and section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import schedules
from ..local_map.reference import solve_regularised
from ..operators import checks
from ..operators.base import LinearOperator, Operator
from .base import Shape, Solver, Step
from .linear import CG_ITERATIONS, CG_TOLERANCE, Normal, curvature

SMALLEST_NOISE = 1e-4
DECAY, HIGHEST, LOWEST, FULL_RUN = 0.9, 10.0, 0.3, 100
# The prior step's own grid.
SDE_RANGE = (80.0, 0.002)
# Draws of one step: the prior's chain first, the likelihood's from here on.
LIKELIHOOD = 2**15


class PnPDM(Solver):
    """noise: sigma_y.   sde_steps: of the prior's grid from 80 to 0.002, of which the part below rho is run (100).
    langevin_steps, langevin_lr: of the likelihood step where H is not linear (100, 1e-4). A step is never longer than
    1 / (L / sigma_y^2 + 1 / rho^2), L = lmax(J^T J), beyond which the chain leaves the region that it was derived in.
    """

    name = "pnp-dm"
    mend = "lower langevin_lr"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        sde_steps: int = 100,
        langevin_steps: int = 100,
        langevin_lr: float = 1e-4,
    ) -> None:
        self.operator = operator
        self.noise = max(checks.real(noise, "noise", 0), SMALLEST_NOISE)
        self.sde_steps = checks.whole(sde_steps, "sde_steps", 1, 10_000)
        self.langevin_steps = checks.whole(langevin_steps, "langevin_steps", 1, 10_000)
        self.langevin_lr = checks.real(langevin_lr, "langevin_lr", 0, open_low=True)
        self.normal = Normal(operator, shape) if isinstance(operator, LinearOperator) else None
        self.bound = curvature(operator, shape) if self.normal is None else 0.0

    @classmethod
    def schedule(cls, steps: int | None, lowest: float = LOWEST) -> Tensor:
        """rho_k = max(10 0.9^k, lowest) for 100 steps; other numbers of them walk the same curve faster or slower.

        A schedule has to fall, so the levels held at `lowest` (0.3; 0.1 for phase retrieval) differ in their sixth digit.
        """
        count = FULL_RUN if steps is None else checks.whole(steps, "steps", 1)
        k = torch.arange(count, dtype=torch.float64) * FULL_RUN / count
        rho = (HIGHEST * DECAY**k).clamp_min(lowest) * (1 - 1e-6 * k)
        return torch.cat([rho, torch.zeros(1, dtype=torch.float64)])

    def observe(self, y: Tensor) -> Any:
        return y if self.normal is None else (y, self.normal.operator.target(y))

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        """x ~ p(x | z) by ancestral steps from rho down to 0."""
        grid = schedules.edm(self.sde_steps, *SDE_RANGE)
        levels = [at.sigma, *[float(s) for s in grid if float(s) < at.sigma]]
        for k in range(len(levels) - 1):
            clean = xhat if k == 0 else at.denoise(x, at.levels(x, levels[k]))
            kept = (levels[k + 1] / levels[k]) ** 2
            x = clean + kept * (x - clean)
            if levels[k + 1] > 0:
                x = x + levels[k + 1] * math.sqrt(1 - kept) * at.normal(x, k)
        return x

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0:
            return x0
        return self._walk(x0, at) if self.normal is None else self._draw(self.normal, x0, at)

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "likelihood": "langevin" if self.normal is None else self.normal.method}

    def _draw(self, normal: Normal, x0: Tensor, at: Step) -> Tensor:
        """N(A^-1 b, A^-1), A = H^T H / sigma_y^2 + I / rho^2, b = H^T y / sigma_y^2 + x0 / rho^2.

        Without a basis, A z = b + H^T n_1 / sigma_y + n_2 / rho has that law.
        """
        y, target = at.observed
        rho, fresh = at.sigma_next, at.normal(x0, LIKELIHOOD)
        if normal.basis is not None:
            return normal.draw(target, x0, self.noise, rho, fresh)
        shift = (self.noise / rho) ** 2
        moved = target + self.noise * normal.operator.adjoint(at.normal(y, LIKELIHOOD + 1))
        b = moved + shift * x0 + self.noise**2 / rho * fresh
        return solve_regularised(normal.operator, b, shift, 1.0, CG_TOLERANCE, CG_ITERATIONS)

    def _walk(self, x0: Tensor, at: Step) -> Tensor:
        z, lr = x0, min(self.langevin_lr, 1 / (self.bound / self.noise**2 + 1 / at.sigma_next**2))
        for k in range(self.langevin_steps):
            g = self.operator.data_gradient(z, at.observed) / self.noise**2 + (z - x0) / at.sigma_next**2
            z = z - lr * g + math.sqrt(2 * lr) * at.normal(z, LIKELIHOOD + k)
        return z
