"""PiGDM: the estimate is E[x0 | x_t] moved along the pseudo-inverse of its misfit, taken back through the network.

    g  = J^T H^T (H H^T + (sigma_y / r)^2 I)^-1 (y - H xhat),     J = d xhat / d x,   r^2 = sigma^2 d^2 / (sigma^2 + d^2)
    x0 = xhat + w g
    x_next = x0 + sigma_next (sqrt(1 - rho^2) (x - x0) / sigma + rho n),     rho = eta sqrt(1 - sigma_next^2 / sigma^2)

r^2 is the variance that x0 has given x when the data's is d^2. The weights w:

    "bayes"    w = sigma^2 / r^2: then x0 = E[x0 | x] + sigma^2 grad_x log p(y | x), Eq. 4 of the LMAPS paper
    "plain"    w = 1, the guidance weighed by r^2 / sigma^2 of that
    "adaptive" w = 1 / (1 - sqrt(1 - rho^2) sigma_next / sigma): what is added to the next state is g itself, as in the paper's
               experiments (weight sqrt(abar_t abar_s) on a VP state)

Source: Song, Vahdat, Mardani, Kautz 2023, "Pseudoinverse-guided diffusion models for inverse problems", Algorithm 1, Eq. 7.
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
from .base import Shape, Solver, Step, Undefined, ddim_rho, step_to
from .gradient import pull_back
from .linear import Normal

WEIGHTS = ("adaptive", "plain", "bayes")


class PiGDM(Solver):
    """For linear H, and for those whose `start` is a pseudo-inverse (`Operator.start_inverts`): JPEG, quantisation, HDR.
    There (H H^T + c I)^-1 is 1 / (1 + c), and H^+ is `start`.

    noise: sigma_y.   eta: share of fresh noise.   weight: see above.   data_std: d, deviation of the data (1).
    """

    name = "pigdm"
    mend = 'lower eta or take weight="plain"'
    needs_gradient = True

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        eta: float = 1.0,
        weight: str = "adaptive",
        data_std: float = 1.0,
    ) -> None:
        self.operator = operator
        self.noise = checks.real(noise, "noise", 0)
        self.eta = checks.real(eta, "eta", 0, 1)
        self.weight = checks.one_of(weight, "weight", WEIGHTS)
        self.data_std = checks.real(data_std, "data_std", 0, open_low=True)
        self.normal = Normal(operator, shape) if isinstance(operator, LinearOperator) else None
        if self.normal is None and not operator.start_inverts:
            raise Undefined(
                f"solver 'pigdm' needs a pseudo-inverse, and {type(operator).__name__} is not linear and has none: use lmaps, "
                "daps, sitcom, dps or red-diff"
            )

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(100 if steps is None else steps)

    def observe(self, y: Tensor) -> Any:
        return self.operator.start(y) if self.normal is None else self.normal.operator.target(y)

    def begin(self, x: Tensor, at: Step) -> Tensor:
        """The pseudo-inverse of the measurement, held back where that would be noise, plus N(0, sigma_max^2 I)."""
        if self.normal is None:
            return at.observed + x
        return self.normal.resolve(at.observed, self.noise**2) + x

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        clean = xhat.detach()
        r2 = at.sigma**2 * self.data_std**2 / (at.sigma**2 + self.data_std**2)
        with torch.no_grad():
            u = self._inverse_misfit(clean, at.observed, self.noise**2 / r2)
        return clean + self._weight(at, r2) * pull_back(xhat, x, u)

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return step_to(x0, x, at, ddim_rho(self.eta, at))

    def describe(self) -> dict[str, object]:
        inverse = "start" if self.normal is None else self.normal.method
        return {"solver": self.name, "weight": self.weight, "inverse": inverse}

    def _inverse_misfit(self, clean: Tensor, observed: Tensor, shift: float) -> Tensor:
        if self.normal is None:
            return (observed - self.operator.start(self.operator(clean))) / (1 + shift)
        return self.normal.resolve(observed - self.normal.operator.normal(clean), shift)

    def _weight(self, at: Step, r2: float) -> float:
        if self.weight == "bayes":
            return at.sigma**2 / r2
        if self.weight == "plain":
            return 1.0
        return 1 / (1 - math.sqrt(1 - ddim_rho(self.eta, at) ** 2) * at.sigma_next / at.sigma)
