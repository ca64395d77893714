"""SITCOM: the estimate is the denoiser's answer to an input optimised until that answer fits the measurement.

    v      <- argmin_v ||H(D(v; sigma)) - y||^2 + penalty ||v - x_t||^2,   Adam from v = x_t
    x0     <- D(v; sigma)
    x_next <- x0 + sigma_next n

v and x_t are meant in the VP scale, x / sqrt(1 + sigma^2). The iterations stop, for each
image by itself, as soon as ||H(D(v)) - y||^2 < (sigma_y + 0.001)^2 m, m entries of y.
Source: Alkhouri, Liang, Huang, Dai, Qu, Ravishankar, Wang 2024, "SITCOM: step-wise triple-consistent diffusion sampling for
inverse problems", Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators import checks
from ..operators.base import Operator
from .adam import Adam
from .base import Shape, Solver, Step
from .flow import strided
from .gradient import norms, pull_back

# What the authors add to sigma_y in the stopping rule.
SLACK = 0.001
PAPER_PENALTY = 1.0


class SITCOM(Solver):
    """variant "code" is what the authors run: no penalty, and D clipped to [-1, 1]. "paper" has the printed penalty, no clip.

    noise: sigma_y, for the stopping rule; None never stops early.   lr: of Adam (0.02), in the VP scale.
    inner_steps: K, calls of the network a step (30).   penalty: weight of ||v - x_t||^2; by default 0 ("code") or 1 ("paper").
    data_step: s of a last x0 <- x0 - s grad ||H(x0) - y||^2 (0: none). The authors' inpainting has 0.5, which puts y itself
    where it was measured, at sigma_y = 0.01; no row here does, since at 0.05 that is the noise.
    The first of the K calls is the loop's own. The start is N(0, I) in the VP scale, as the authors' is.
    """

    name = "sitcom"
    mend = "lower lr"
    needs_gradient = True

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float | None = 0.05,
        lr: float = 0.02,
        inner_steps: int = 30,
        variant: str = "code",
        penalty: float | None = None,
        data_step: float = 0.0,
    ) -> None:
        self.operator = operator
        self.noise = None if noise is None else checks.real(noise, "noise", 0)
        self.lr = checks.real(lr, "lr", 0, open_low=True)
        self.inner_steps = checks.whole(inner_steps, "inner_steps", 1)
        self.clip = checks.one_of(variant, "variant", ("code", "paper")) == "code"
        default = 0.0 if self.clip else PAPER_PENALTY
        self.data_step = checks.real(data_step, "data_step", 0)
        self.penalty = default if penalty is None else checks.real(penalty, "penalty", 0)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        """DDPM times 950, 900 ... 0 for N = 20."""
        return strided(20 if steps is None else steps)

    def begin(self, x: Tensor, at: Step) -> Tensor:
        return x * (math.sqrt(1 + at.sigma**2) / at.sigma)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        y, scale = at.observed, math.sqrt(1 + at.sigma**2)
        start = x.detach() / scale
        v, adam = start.clone(), Adam(self.lr)
        for k in range(self.inner_steps):
            if k:
                x = (scale * v).requires_grad_()
                xhat = at.denoise(x, at.levels(x))
            clean = xhat.clamp(-1, 1) if self.clip else xhat
            x0 = clean.detach()
            with torch.no_grad():
                misfit = norms(self.operator(x0) - y).square()
                going = misfit >= self._goal(y)
                if k == self.inner_steps - 1 or not bool(going.any()):
                    break
                g = 2 * self.operator.data_gradient(x0, y)
            step = adam.step(scale * pull_back(clean, x, g) + 2 * self.penalty * (v - start))
            v = v - torch.where(going, step, 0)
        return x0 - 2 * self.data_step * self.operator.data_gradient(x0, y) if self.data_step else x0

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "inner_steps": self.inner_steps, "variant": "code" if self.clip else "paper"}

    def _goal(self, y: Tensor) -> float:
        return -1.0 if self.noise is None else (self.noise + SLACK) ** 2 * y[0].numel()
