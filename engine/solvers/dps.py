"""DPS: the estimate is E[x0 | x_t] pushed down the gradient of the misfit, taken through the network.

    x_next <- ancestral(xhat, x) - zeta sqrt((1 + sigma^2)(1 + sigma_next^2)) grad_x ||y - H(xhat(x))||

The root is the paper's VP step written for alpha = 1: its state is x / sqrt(1 + sigma^2), and both the gradient and the
step it is added to change scale. The ancestral step is Eq. 2 of the LMAPS paper with rho^2 = 1 - sigma_next^2 / sigma^2,

    x_next = (1 - rho') x + rho' x0 + sigma_next rho n,     rho' = rho^2,

so that the push is the same thing as the estimate x0 = xhat - push / rho', a guess of E[x0 | x_t, y].
Source: Chung, Kim, McCann, Klasky, Ye 2022, "Diffusion posterior sampling for general noisy inverse problems", Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .base import Shape, Solver, Step, ddim_rho, step_to
from .gradient import norms, pull_back


class DPS(Solver):
    """zeta: length of the push (0.3 for most tasks, 0.5 inpainting, 1 phase retrieval).   clip: xhat is clipped to [-1, 1].

    The variance of the ancestral step is the fixed one of DDPM, since priors here carry no learned one.
    For operators without a derivative the surrogate of Eq. 17 stands in.
    """

    name = "dps"
    mend = "lower zeta"
    needs_gradient = True

    def __init__(
        self, operator: Operator, sigmas: Sequence[float], shape: Shape, *, zeta: float = 0.3, clip: bool = True
    ) -> None:
        self.operator = operator
        self.zeta = checks.real(zeta, "zeta", 0)
        self.clip = clip

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(1000 if steps is None else steps)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        clean = xhat.clamp(-1, 1) if self.clip else xhat
        with torch.no_grad():
            g = self._misfit_gradient(clean.detach(), at)
        push = self.zeta * vp_scale(at) * pull_back(clean, x, g)
        return clean.detach() - push / ddim_rho(1.0, at) ** 2

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return step_to(x0, x, at, ddim_rho(1.0, at))

    def _misfit_gradient(self, x0: Tensor, at: Step) -> Tensor:
        """Gradient of ||y - H(x0)|| with respect to x0: J^T (H(x0) - y) / ||H(x0) - y||; 0 where the misfit is."""
        misfit = norms(self.operator(x0) - at.observed)
        return self.operator.data_gradient(x0, at.observed) / misfit.clamp_min(torch.finfo(x0.dtype).tiny)


def vp_scale(at: Step) -> float:
    """sqrt((1 + sigma^2)(1 + sigma_next^2)): a VP gradient step, added to a VP state, in the alpha = 1 convention."""
    return math.sqrt((1 + at.sigma**2) * (1 + at.sigma_next**2))
