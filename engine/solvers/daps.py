"""DAPS: the estimate is a Langevin sample of p(x0 | x_t, y) (Algorithm 2 of the LMAPS paper).

    xhat   <- probability-flow ODE from x at sigma to 0.01, 5 Euler steps
    x0     <- x0 + lr [ -c J^T (H(x0) - y) / tau^2 - (x0 - xhat) / sigma^2 ] + sqrt(2 lr) n,   100 times from x0 = xhat
    x_next <- x0 + sigma_next n

c = 2 (data_gradient="full") as in the authors' present code, c = 1 ("half") in its `legacy` branch and in InverseBench.
Source: Zhang, Chu, Berner, Meng, Anandkumar, Song 2024, "Improving diffusion inverse problem solving with decoupled noise
annealing", Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .. import schedules
from ..local_map.settings import geometric
from ..operators import checks
from ..operators.base import LinearOperator, Operator, Spectrum
from .base import DRAWS, Shape, Solver, Step, Undefined
from .flow import flow

CHAINS = ("auto", "loop", "collapsed")
ODE_RHO = 7


class DAPS(Solver):
    """The Langevin chain is run step by step ("loop"), or drawn at once ("collapsed") where H has a basis.

    For linear H the chain is Gaussian. In the basis of H^T H, with a = c lam / tau^2 + 1 / sigma^2 and n steps,

        mean:     xhat + q(a) c (H^T y - lam xhat) / tau^2,       q(a) = (1 - (1 - lr a)^n) / a
        variance: 2 (1 - (1 - lr a)^2n) / (a (2 - lr a))

    so that one draw of noise stands for n: equal in distribution to the loop, not sample by sample.

    lr:  step of the chain at the first noise level; it falls linearly to about `decay` times lr at the last.
    tau: deviation that the likelihood is given in the chain (0.01 in the paper's code whatever the noise).
    langevin_steps: n; 0 leaves xhat.   ode_steps: Euler steps, 1 or more.   ode_end: noise level at which they end.
    chain: "auto" takes "collapsed" wherever H has a cheap basis.
    """

    name = "daps"
    mend = "lower lr: lr (c L / tau^2 + 1 / sigma^2), L = lmax(J^T J), must stay below 2"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        lr: float = 1e-4,
        tau: float = 0.01,
        langevin_steps: int = 100,
        ode_steps: int = 5,
        ode_end: float = 0.01,
        decay: float = 0.01,
        data_gradient: str = "full",
        chain: str = "auto",
    ) -> None:
        self.operator = operator
        self.lr = checks.real(lr, "lr", 0, open_low=True)
        self.tau = checks.real(tau, "tau", 0, open_low=True)
        self.langevin_steps = checks.whole(langevin_steps, "langevin_steps", 0, DRAWS - 1)
        self.ode_steps = checks.whole(ode_steps, "ode_steps", 1)
        self.ode_end = checks.real(ode_end, "ode_end", 0)
        self.decay = checks.real(decay, "decay", 0, 1)
        self.data_weight = {"half": 1.0, "full": 2.0}[checks.one_of(data_gradient, "data_gradient", ("half", "full"))]
        self.steps = len(sigmas) - 1
        self.basis = _collapsible(operator, shape, checks.one_of(chain, "chain", CHAINS))

    @classmethod
    def defaults(cls, row: dict[str, Any], noise: float) -> dict[str, Any]:
        """tau stays at a fifth of the noise, as 0.01 is of 0.05; the step shrinks with tau^2 and is never longer."""
        share = noise / 0.05
        tau = 0.01 * max(share, 0.1)
        return {**row, "tau": tau, "lr": row.get("lr", 1e-4) * min(1.0, (tau / 0.01) ** 2)}

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        """N = 200 noise levels from 100 to 0.1. The chain is cut off rather than run to its end, by steps tuned to this grid:
        on one that ends lower, the noise that tau = sigma_y / 5 lets in is not re-noised away."""
        return schedules.edm(200 if steps is None else steps)

    def observe(self, y: Tensor) -> Tensor:
        if self.basis is None:
            return y
        assert isinstance(self.operator, LinearOperator)
        return self.basis.to_basis(self.operator.target(y))

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        start = self._flow(xhat, x, at)
        lr = self.lr * (1 - at.index / (self.steps + 1) * (1 - self.decay))
        if self.langevin_steps == 0:
            return start
        return self._walk(start, at, lr) if self.basis is None else self._draw(self.basis, start, at, lr)

    def describe(self) -> dict[str, object]:
        return {
            "solver": self.name,
            "chain": "loop" if self.basis is None else "collapsed",
            "langevin_steps": self.langevin_steps,
        }

    def _flow(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        """The probability flow from sigma down to `ode_end`, on the poly-7 grid."""
        if at.sigma <= self.ode_end:
            return xhat
        top, bottom = at.sigma ** (1 / ODE_RHO), self.ode_end ** (1 / ODE_RHO)
        levels = [(top + k / self.ode_steps * (bottom - top)) ** ODE_RHO for k in range(self.ode_steps + 1)]
        return flow(x, xhat, levels, at)

    def _walk(self, start: Tensor, at: Step, lr: float) -> Tensor:
        x = start
        for k in range(self.langevin_steps):
            g = self.data_weight / self.tau**2 * self.operator.data_gradient(x, at.observed)
            x = x - lr * (g + (x - start) / at.sigma**2) + math.sqrt(2 * lr) * at.normal(x, k)
        return x

    def _draw(self, basis: Spectrum, start: Tensor, at: Step, lr: float) -> Tensor:
        lam, weight = basis.eigenvalues, self.data_weight / self.tau**2
        a = weight * lam + 1 / at.sigma**2
        pull = (weight * geometric(a, lr, self.langevin_steps)).to(start.dtype)
        deviation = (2 * geometric(a * (2 - lr * a), lr, self.langevin_steps)).sqrt().to(start.dtype)
        c = basis.to_basis(start)
        c = c + pull * (at.observed - lam.to(start.dtype) * c) + deviation * basis.to_basis(at.normal(start))
        return basis.from_basis(c)


def _collapsible(operator: Operator, shape: Shape, chain: str) -> Spectrum | None:
    """The basis in which the chain is to be collapsed, else None. Raises `Undefined` when it was asked for and cannot be."""
    if chain == "loop":
        return None
    basis = operator.spectrum(tuple(shape)) if isinstance(operator, LinearOperator) else None
    if basis is None and chain == "collapsed":
        raise Undefined(
            f'chain="collapsed" needs a linear operator with a cheap basis, {type(operator).__name__} has none: '
            'use chain="loop" or "auto"'
        )
    return basis
