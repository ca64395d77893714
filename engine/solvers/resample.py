"""ReSample in pixel space: DDIM, interrupted now and then by a full optimisation of the estimate and a draw that keeps both.

    x'     <- xhat + sigma_next (x - xhat) / sigma                                         (DDIM, eta = 0)
    every tenth step of the last two thirds:
    x0     <- argmin_x ||y - H(x)||^2 by Adam from xhat, to the noise's mean square        (hard data consistency)
    x_next ~ N((tau^2 x0 + sigma_next^2 x') / (tau^2 + sigma_next^2), tau^2 sigma_next^2 / (tau^2 + sigma_next^2) I)
    tau^2  = gamma (1 - abar_next)/(1 - abar) (1 - abar/abar_next) / abar_next,     abar = 1 / (1 + sigma^2)

Otherwise x_next = x'. The draw is the paper's stochastic resampling divided by sqrt(abar_next).
Source: Song, Kwon, Zhang, Hu, Qu, Shen 2023, "Solving inverse problems with latent diffusion models via hard data consistency",
Algorithm 1 and Proposition 1; without the encoder, the look-ahead steps and the guidance that its code adds between them.
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
from .base import Shape, Solver, Step
from .gradient import norms

# What the optimisation aims at where there is no noise, as a mean square.
SMALLEST_MISFIT = 1e-6


class ReSample(Solver):
    """noise: sigma_y; the optimisation of an image stops at a mean square misfit of sigma_y^2, and at 1e-6 at the lowest (the
    authors go to 1e-6 whatever the noise).   inner_steps: at most (2000).   lr: of Adam (0.01).   every: steps between two
    optimisations.   skip: share of the run before the first.   gamma: trust in the optimised estimate (40).
    """

    name = "resample"
    mend = "lower lr or gamma"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        inner_steps: int = 2000,
        lr: float = 0.01,
        every: int = 10,
        skip: float = 1 / 3,
        gamma: float = 40.0,
    ) -> None:
        self.operator = operator
        self.goal = max(checks.real(noise, "noise", 0) ** 2, SMALLEST_MISFIT)
        self.inner_steps = checks.whole(inner_steps, "inner_steps", 1)
        self.lr = checks.real(lr, "lr", 0, open_low=True)
        self.every = checks.whole(every, "every", 1)
        self.skip = checks.real(skip, "skip", 0, 1)
        self.gamma = checks.real(gamma, "gamma", 0, open_low=True)
        self.steps = len(sigmas) - 1

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(500 if steps is None else steps)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        at.memory["xhat"] = xhat
        return self._consistent(xhat, at.observed) if self._interrupts(at.index) else xhat

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0:
            return x0
        xhat = at.memory["xhat"]
        ddim = xhat + at.sigma_next / at.sigma * (x - xhat)
        if not self._interrupts(at.index):
            return ddim
        trust, spread = self._trust(at), at.sigma_next**2
        mean = (trust * x0 + spread * ddim) / (trust + spread)
        return mean + math.sqrt(trust * spread / (trust + spread)) * at.normal(x)

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "optimisations": sum(map(self._interrupts, range(self.steps)))}

    def _interrupts(self, index: int) -> bool:
        """Every tenth step counted from the end, the last one included."""
        return index >= self.skip * self.steps and (self.steps - 1 - index) % self.every == 0

    def _trust(self, at: Step) -> float:
        """tau^2."""
        here, there = 1 / (1 + at.sigma**2), 1 / (1 + at.sigma_next**2)
        return self.gamma * (1 - there) / (1 - here) * (1 - here / there) / there

    def _consistent(self, xhat: Tensor, y: Tensor) -> Tensor:
        x, adam = xhat, Adam(self.lr)
        for _ in range(self.inner_steps):
            going = norms(self.operator(x) - y).square() > self.goal * y[0].numel()
            if not bool(going.any()):
                break
            g = 2 / y[0].numel() * self.operator.data_gradient(x, y)
            x = x - torch.where(going, adam.step(g), 0)
        return x
