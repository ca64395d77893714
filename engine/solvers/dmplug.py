"""DMPlug: the seed of a short deterministic sampler is optimised until what it makes explains the measurement.

    z <- argmin_z ||y - H(R(z))||^2 / m,     R: DDIM (eta = 0) through all noise levels

by Adam on z in the VP scale, x / sqrt(1 + sigma^2). The whole optimisation is the estimate of the first step; the other
steps are R itself, from the seed that was found. So the loop's schedule is R's, of three levels in the paper.
The last iterate is returned, not the best against the truth.
Source: Wang, Zhang, Li, Wan, Chen, Sun 2024, "DMPlug: a plug-in method for solving inverse problems with diffusion models",
Eq. 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .adam import Adam
from .base import Shape, Solver, Step, step_to
from .flow import flow
from .gradient import pull_back


class DMPlug(Solver):
    """inner_steps: Adam's iterations, each through all of R and back (5000; 10000 for non-linear blur).   lr: of Adam."""

    name = "dmplug"
    mend = "lower lr"
    needs_gradient = True

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        inner_steps: int = 5000,
        lr: float = 0.01,
    ) -> None:
        self.operator, self.sigmas = operator, list(sigmas)
        self.inner_steps = checks.whole(inner_steps, "inner_steps", 1)
        self.lr = checks.real(lr, "lr", 0, open_low=True)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(3 if steps is None else steps)

    def begin(self, x: Tensor, at: Step) -> Tensor:
        """N(0, I) in the VP scale."""
        return x * (math.sqrt(1 + at.sigma**2) / at.sigma)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.index > 0:
            return xhat
        adam, scale = Adam(self.lr), math.sqrt(1 + at.sigma**2)
        entries = at.observed[0].numel()
        for _ in range(self.inner_steps):
            made = flow(x, xhat, self.sigmas, at)
            with torch.no_grad():
                g = 2 / entries * self.operator.data_gradient(made.detach(), at.observed)
            # The gradient in the VP scale is scale times this one, and a VP step is scale times longer here.
            x = (x.detach() - scale * adam.step(scale * pull_back(made, x, g))).requires_grad_()
            xhat = at.denoise(x, at.levels(x))
        at.memory["seed"] = x.detach()
        return xhat

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return step_to(x0, at.memory.pop("seed", x), at, rho=0.0)

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "inner_steps": self.inner_steps}
