"""LGD: DPS with the misfit averaged over noisy copies of E[x0 | x_t], as many as stand for p(x0 | x_t).

    x_i = xhat + r n_i,   r = sigma / sqrt(1 + sigma^2),   i = 1 .. n
    x_next <- ancestral(xhat, x) - scale sqrt((1 + sigma^2)(1 + sigma_next^2)) J^T sum_i w_i grad ||y - H(x_i)||^2

The root carries the step from the VP state to alpha = 1, as in `dps`. The weights w_i:

    "loss"       1 / n, the gradient of the mean misfit
    "root"       1 / (2 n sqrt(mean_i ||y - H(x_i)||^2)), of the root of the mean misfit, as InverseBench runs it: dps
                 where n = 1 and r = 0, and with dps's lengths of the push, not the 3e-3 of "loss"
    "likelihood" softmax_i(-||y - H(x_i)||^2 / (2 sigma_y^2)): the gradient of -2 sigma_y^2 log mean_i p(y | x_i), as printed

Source: Song, Zhang, Yin, Mardani, Liu, Kautz, Chen, Vahdat 2023, "Loss-guided diffusion models for plug-and-play controllable
generation", Eq. 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .base import Shape, Solver, Step, check_noisy, ddim_rho, step_to
from .dps import vp_scale
from .gradient import norms, pull_back


class LGD(Solver):
    """samples: n (3).   scale: length of the push (3e-3).   average: see above.   noise: sigma_y, for "likelihood" alone."""

    name = "lgd"
    mend = "lower scale"
    needs_gradient = True

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        samples: int = 3,
        scale: float = 3e-3,
        average: str = "loss",
    ) -> None:
        self.operator = operator
        self.samples = checks.whole(samples, "samples", 1)
        self.scale = checks.real(scale, "scale", 0)
        self.average = checks.one_of(average, "average", ("loss", "root", "likelihood"))
        weighs = self.average == "likelihood"
        self.noise = check_noisy(noise, self.name, 'average="loss"') if weighs else checks.real(noise, "noise", 0)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(1000 if steps is None else steps)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        clean = xhat.detach()
        with torch.no_grad():
            g = self._mean_gradient(clean, at)
        push = self.scale * vp_scale(at) * pull_back(xhat, x, g)
        return clean - push / ddim_rho(1.0, at) ** 2

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return step_to(x0, x, at, ddim_rho(1.0, at))

    def _mean_gradient(self, clean: Tensor, at: Step) -> Tensor:
        """sum_i w_i grad ||y - H(x_i)||^2 by a running weighted mean, so that n copies need the memory of one."""
        r = at.sigma / math.sqrt(1 + at.sigma**2)
        total = torch.zeros_like(clean)
        log_sum = torch.full((len(clean), 1, 1, 1), -torch.inf, dtype=torch.float64, device=clean.device)
        misfit = torch.zeros_like(log_sum)
        for i in range(self.samples):
            x0 = clean + r * at.normal(clean, i)
            square = norms(self.operator(x0) - at.observed).double().square()
            log_weight = -square / (2 * self.noise**2) if self.average == "likelihood" else torch.zeros_like(log_sum)
            log_sum = torch.logaddexp(log_sum, log_weight)
            share = (log_weight - log_sum).exp()
            misfit = misfit + share * (square - misfit)
            total = total + share.to(clean.dtype) * (2 * self.operator.data_gradient(x0, at.observed) - total)
        if self.average == "root":
            total = total / (2 * misfit.sqrt()).clamp_min(1e-30).to(clean.dtype)
        return total

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "samples": self.samples, "average": self.average}
