"""DiffPIR: the estimate is a proximal step from E[x0 | x_t], the transition part fresh, part predicted noise.

    x0     <- argmin_x ||y - H(x)||^2 + (lambda sigma_y^2 / sigma^2) ||x - xhat||^2
    x_next <- x0 + sigma_next (sqrt(1 - zeta) (x - x0) / sigma + sqrt(zeta) n)

The estimate is LMAPS's Eq. 15 with covariance (sigma^2 / lambda) I, the transition Eq. 2 with rho^2 = zeta.
Source: Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool 2023, "Denoising diffusion models for plug-and-play image restoration",
Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import LinearOperator, Operator
from .base import Shape, Solver, Step
from .linear import Normal, curvature, minimiser

# sigma_y = 0 would make the weight of the prior vanish where H sees nothing: keep a little.
SMALLEST_NOISE = 1e-3


class DiffPIR(Solver):
    """Exact for linear H: in its basis, else by conjugate gradients. Otherwise `prox_steps` gradient steps, each

        x <- x - (J^T (H(x) - y) + w (x - xhat)) / (w + L),     w = lambda sigma_y^2 / sigma^2,  L = lmax(J^T J)

    where the paper's one step of length 1 / w would leave the region in which its linearisation holds (w << L early on).

    At the last noise level the authors return the denoiser's answer as it is; prox_last=True takes the proximal step there too,
    which costs nothing and keeps the measurement in.

    noise: sigma_y.   weight: lambda of the paper (1; up to 8 pays for blur).   zeta: share of fresh noise, in [0, 1].
    """

    name = "diffpir"
    mend = "raise weight"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        weight: float = 1.0,
        zeta: float = 0.1,
        prox_steps: int = 1,
        prox_last: bool = False,
    ) -> None:
        self.operator = operator
        self.noise = max(checks.real(noise, "noise", 0), SMALLEST_NOISE)
        self.weight = checks.real(weight, "weight", 0, open_low=True)
        self.rho = math.sqrt(checks.real(zeta, "zeta", 0, 1))
        self.prox_steps = checks.whole(prox_steps, "prox_steps", 1)
        self.prox_last = prox_last
        self.normal = Normal(operator, shape) if isinstance(operator, LinearOperator) else None
        self.bound = 0.0 if self.normal is not None else curvature(operator, shape)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        """DDPM times 999 - int(1000 sqrt(i / (N - 1))), N = 100: quadratic spacing, dense at the end. Beyond N = 500 times
        repeat and are left out."""
        count = 100 if steps is None else checks.whole(steps, "steps", 1, schedules.DDPM_STEPS)
        way = torch.linspace(0, schedules.DDPM_STEPS**2, count, dtype=torch.float64).sqrt().long()
        times = (schedules.DDPM_STEPS - 1 - way).clamp_min(0).unique().flip(0)
        return torch.cat([schedules.ddpm_sigmas()[times], torch.zeros(1, dtype=torch.float64)])

    def observe(self, y: Tensor) -> Any:
        return y if self.normal is None else self.normal.operator.target(y)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0 and not self.prox_last:
            return xhat
        shift = self.weight * (self.noise / at.sigma) ** 2
        if self.normal is not None:
            return minimiser(self.normal, xhat, at.observed, shift)
        x0 = xhat
        for _ in range(self.prox_steps):
            g = self.operator.data_gradient(x0, at.observed) + shift * (x0 - xhat)
            x0 = x0 - g / (shift + self.bound)
        return x0

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "prox": "gradient" if self.normal is None else self.normal.method}
