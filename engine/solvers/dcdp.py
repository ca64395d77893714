"""DCDP: fit the measurement by gradient descent, then purify by noising and denoising; nothing ties the two.

    x0     <- xhat' - SGD with momentum on ||H(x) - y||^2, from xhat'
    x      <- x0 + sigma_next n
    xhat'  <- DDIM from x at sigma to 0 (or the loop's one denoising, Version 2 of the paper)

The loop is entered with the fit of a mid-grey picture, and left with the last purification.
Source: Li, Kwon, Alkhouri, Ravishankar, Qu 2024, "Decoupled data consistency with diffusion purification for image
restoration", Algorithm 1. Its linear tasks are free of noise: the fit has no term that would stop it short of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .base import Shape, Solver, Step
from .flow import ddim_levels, flow
from .linear import curvature


class DCDP(Solver):
    """step: length of a gradient step on (1/2)||H(x) - y||^2, a sum; 1 / lmax(J^T J) unless given. The paper's learning rates
    belong to the mean over m entries: step = 2 lr / m.   momentum: of SGD (0.9).   inner_steps: gradient steps a time (50).
    ddim_steps: network calls a purification (20); 1 is Version 2.   clip: the network's answers are clipped to [-1, 1].
    """

    name = "dcdp"
    mend = "lower step or momentum"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        step: float | None = None,
        momentum: float = 0.9,
        inner_steps: int = 50,
        ddim_steps: int = 20,
        clip: bool = True,
    ) -> None:
        self.operator = operator
        length = 1 / curvature(operator, shape) if step is None else step
        self.step = checks.real(length, "step", 0, open_low=True)
        self.momentum = checks.real(momentum, "momentum", 0, 0.999)
        self.inner_steps = checks.whole(inner_steps, "inner_steps", 1)
        self.ddim_steps = checks.whole(ddim_steps, "ddim_steps", 1)
        self.clip = clip

    @classmethod
    def schedule(cls, steps: int | None, first_time: int = 400, last_time: int = 1) -> Tensor:
        """`steps` (10) DDPM times evenly spaced from first_time to last_time, as noise levels. The paper's blur goes from 400
        to 0, its other linear tasks from 700 to 20, the rest from 1000 to 50."""
        count = 10 if steps is None else checks.whole(steps, "steps", 1, first_time - last_time + 1)
        times = torch.linspace(first_time, last_time, count, dtype=torch.float64).round().long()
        return torch.cat([schedules.ddpm_sigmas()[times - 1], torch.zeros(1, dtype=torch.float64)])

    def begin(self, x: Tensor, at: Step) -> Tensor:
        return self._fit(torch.zeros_like(x), at) + x

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        pure = flow(x, xhat, ddim_levels(at.sigma, self.ddim_steps), at, clip=self.clip)
        return self._fit(pure, at) if at.sigma_next > 0 else pure

    def _fit(self, x: Tensor, at: Step) -> Tensor:
        velocity = torch.zeros_like(x)
        for _ in range(self.inner_steps):
            velocity = self.momentum * velocity + self.operator.data_gradient(x, at.observed)
            x = x - self.step * velocity
        return x

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "step": self.step, "inner_steps": self.inner_steps, "ddim_steps": self.ddim_steps}
