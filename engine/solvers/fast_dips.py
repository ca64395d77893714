"""FAST-DIPS: the estimate is the point nearest to E[x0 | x_t] whose measurement lies in a small ball around y, by ADMM.

    min_x ||x - xhat||^2 / (2 sigma^2)   subject to   v = H(x),  ||v - y|| <= epsilon

    u = 0, v = H(xhat), x = xhat, then K times:
    x <- x - alpha g,  S times:   g = (x - xhat) / sigma^2 + rho J^T (H(x) - v + u),   alpha: exact line search along g
    v <- projection of H(x) + u onto the ball,   u <- u + H(x) - v

    x_next <- x0 + sigma_next n;   at the last noise level x0 = xhat, uncorrected

alpha = (<x - xhat, g> / sigma^2 + rho <H(x) - v + u, J g>) / (||g||^2 / sigma^2 + rho ||J g||^2), within [0, 1], and halved
while it raises the objective. J g is H g for linear H, a difference quotient otherwise.
Source: Kim, Shin, Lim 2026, "FAST-DIPS: adjoint-free analytic steps and hard-constrained likelihood correction for
diffusion-prior inverse problems", its pixel-space algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import LinearOperator, Operator
from .base import Shape, Solver, Step, Undefined

NUDGE = 1e-3
HALVINGS = 8


class FastDIPS(Solver):
    """penalty: rho of ADMM (200; 5 for HDR).   epsilon: radius of the ball, in units of the measurement, for the whole image.
    admm_steps: K.   gradient_steps: S.   backtrack: whether alpha may be halved, up to 8 times.
    """

    name = "fast-dips"
    mend = "lower penalty"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        penalty: float = 200.0,
        epsilon: float = 0.05,
        admm_steps: int = 3,
        gradient_steps: int = 1,
        backtrack: bool = True,
    ) -> None:
        if not operator.differentiable:
            raise Undefined(
                f"solver 'fast-dips' searches along gradients of H, and {type(operator).__name__} is not differentiable: use "
                "lmaps, diffpir or red-diff"
            )
        self.operator = operator
        self.penalty = checks.real(penalty, "penalty", 0, open_low=True)
        self.epsilon = checks.real(epsilon, "epsilon", 0)
        self.admm_steps = checks.whole(admm_steps, "admm_steps", 1)
        self.gradient_steps = checks.whole(gradient_steps, "gradient_steps", 1)
        self.backtrack = backtrack

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        """The grid of DAPS with `steps` (75) levels: the num_steps = T + 1 of its code counts the final 0."""
        return schedules.edm(75 if steps is None else steps)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        if at.sigma_next == 0:
            return xhat
        y, z = at.observed, xhat
        v = self.operator(z)
        u = torch.zeros_like(v)
        for _ in range(self.admm_steps):
            for _ in range(self.gradient_steps):
                z = self._descend(z, xhat, v - u, at.sigma)
            measured = self.operator(z)
            v = self._project(measured + u, y)
            u = u + measured - v
        return z

    def _descend(self, z: Tensor, xhat: Tensor, goal: Tensor, sigma: float) -> Tensor:
        pull, misfit = (z - xhat) / sigma**2, self.operator(z) - goal
        g = pull + self.penalty * self.operator.vjp(z, misfit)
        jg = self._push_forward(z, g, misfit, goal)
        along = _dot(pull, g) + self.penalty * _dot(misfit, jg)
        bend = _dot(g, g) / sigma**2 + self.penalty * _dot(jg, jg)
        alpha = (along / bend.clamp_min(torch.finfo(z.dtype).tiny)).clamp(0, 1)
        if self.backtrack:
            alpha = self._halved(alpha, z, g, xhat, goal, sigma)
        return z - _over(alpha, z) * g

    def _push_forward(self, z: Tensor, g: Tensor, misfit: Tensor, goal: Tensor) -> Tensor:
        if isinstance(self.operator, LinearOperator):
            return self.operator.tangent(g)
        return (self.operator(z + NUDGE * g) - (misfit + goal)) / NUDGE

    def _halved(self, alpha: Tensor, z: Tensor, g: Tensor, xhat: Tensor, goal: Tensor, sigma: float) -> Tensor:
        def objective(x: Tensor) -> Tensor:
            near, misfit = x - xhat, self.operator(x) - goal
            return _dot(near, near) / sigma**2 + self.penalty * _dot(misfit, misfit)

        before = objective(z)
        for _ in range(HALVINGS):
            worse = objective(z - _over(alpha, z) * g) > before
            if not bool(worse.any()):
                break
            alpha = torch.where(worse, alpha / 2, alpha)
        return alpha

    def _project(self, w: Tensor, y: Tensor) -> Tensor:
        """The point of the ball ||v - y|| <= epsilon nearest to w, each image on its own."""
        d = w - y
        length = _dot(d, d).sqrt().clamp_min(torch.finfo(_dot(d, d).dtype).tiny)
        return y + _over((self.epsilon / length).clamp(max=1), d) * d


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product of each image: [B]."""
    return (a.conj() * b).real.flatten(1).sum(1)


def _over(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
