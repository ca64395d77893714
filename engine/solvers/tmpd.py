"""TMPD: the estimate is E[x0 | x_t, y] with the covariance that the network's own Jacobian gives.

    C  = sigma^2 J,   J = d xhat / d x   (exactly Cov[x0 | x] for a perfect denoiser)
    x0 = xhat + C H^T (H C H^T + sigma_y^2 I)^-1 (y - H xhat)
    x_next: the ancestral step, Eq. 2 with rho^2 = 1 - sigma_next^2 / sigma^2

"row-sum" puts the diagonal matrix of the row sums H C H^T 1 in the place of H C H^T: two products with J^T a step, as the
authors run it. "full" solves with H C H^T itself by conjugate gradients, one product with J^T an iteration.
Source: Boys, Girolami, Pidstrigach, Reich, Mosca, Akyildiz 2023, "Tweedie moment projected diffusions for inverse problems",
Eq. 9 and Algorithm 1; Eq. 15 of the LMAPS paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .base import Shape, Solver, Step, check_noisy, ddim_rho, step_to
from .gradient import pull_back
from .linear import linear


class TMPD(Solver):
    """For linear H.

    noise: sigma_y.   covariance: "row-sum" or "full".   cg_steps: iterations of "full", at most.
    A network's row sums can be negative, where the true ones can too but the covariance cannot: they count as 0.
    """

    name = "tmpd"
    mend = 'take covariance="row-sum" or fewer cg_steps'
    needs_gradient = True

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        covariance: str = "row-sum",
        cg_steps: int = 20,
    ) -> None:
        self.operator = linear(operator, self.name)
        self.noise = check_noisy(noise, self.name, "lmaps, pigdm or ddnm")
        self.covariance = checks.one_of(covariance, "covariance", ("row-sum", "full"))
        self.cg_steps = checks.whole(cg_steps, "cg_steps", 1)

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(1000 if steps is None else steps)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        def covariance(u: Tensor) -> Tensor:
            return at.sigma**2 * pull_back(xhat, x, self.operator.adjoint(u), keep=True)

        clean = xhat.detach()
        with torch.no_grad():
            misfit = at.observed - self.operator(clean)
        if self.covariance == "row-sum":
            spread = self.operator.tangent(covariance(torch.ones_like(misfit)))
            v = misfit / (spread.clamp_min(0) + self.noise**2)
        else:
            v = _solve(lambda u: self.operator.tangent(covariance(u)) + self.noise**2 * u, misfit, self.cg_steps)
        return clean + covariance(v)

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return step_to(x0, x, at, ddim_rho(1.0, at))

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "covariance": self.covariance}


def _solve(apply: Callable[[Tensor], Tensor], b: Tensor, steps: int) -> Tensor:
    """apply^-1 b by conjugate gradients in the space of measurements, each image on its own."""
    v, residual = torch.zeros_like(b), b
    direction, square = b, _dot(b, b)
    tiny = torch.finfo(square.dtype).tiny
    for _ in range(steps):
        applied = apply(direction)
        step = square / _dot(direction, applied).clamp_min(tiny)
        v, residual = v + step * direction, residual - step * applied
        fresh = _dot(residual, residual)
        direction = residual + fresh / square.clamp_min(tiny) * direction
        square = fresh
    return v


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product of each image: [B, ...] -> [B, 1, ...]."""
    return (a.conj() * b).real.flatten(1).sum(1).reshape(-1, *[1] * (a.ndim - 1))
