"""The local MAP step as the paper prints it: K plain gradient steps. Every other strategy is tested against this one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators.base import LinearOperator, Operator
from .device import Index, number
from .settings import EXACT, LocalMAP

Observed = tuple[Tensor, ...]


class Reference:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 J^T(H(x) - y)], K times from x = xhat, in whatever precision xhat has."""

    name = "reference"
    capturable = False
    few_passes = False

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float]) -> None:
        if settings.inner_steps == EXACT and not operator.linear:
            raise ValueError('inner_steps="exact" needs a linear operator; give a number of steps for this one')
        self.operator, self.settings, self.sigmas = operator, settings, sigmas

    def observe(self, y: Tensor) -> Observed:
        return (y,)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (y,) = observed
        sigma = self.sigmas[number(index)]
        pull, weight = 1 - self.settings.r(sigma), self.settings.weight(sigma)
        if self.settings.inner_steps == EXACT:
            assert isinstance(self.operator, LinearOperator)
            return conjugate_gradients(self.operator, xhat, y, pull, weight)
        x = xhat
        for _ in range(self.settings.inner_steps):
            g = pull * (x - xhat) + weight * self.operator.data_gradient(x, y)
            x = x - self.settings.eta * g
        return x

    def kind(self, index: int) -> int:
        return 0

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps}


def conjugate_gradients(
    operator: LinearOperator, xhat: Tensor, y: Tensor, pull: float, weight: float, tolerance: float | None = None
) -> Tensor:
    """Solve (pull I + weight H^T H)(x - xhat) = weight (H^T y - H^T H xhat), each image on its own."""
    target = weight * (operator.target(y) - operator.normal(xhat))
    return xhat + solve_regularised(operator, target, pull, weight, tolerance)


def solve_regularised(
    operator: LinearOperator,
    g: Tensor,
    pull: float,
    weight: float = 1.0,
    tolerance: float | None = None,
    iterations: int | None = None,
) -> Tensor:
    """(pull I + weight H^T H)^-1 g by conjugate gradients, g [B, C, H, W], each image on its own.

    tolerance:  relative residual at which an image is done; by default what its precision allows.
    iterations: at most this many; by default ten times the longer side.
    """
    if tolerance is None:
        tolerance = 1e-12 if g.dtype == torch.float64 else 1e-6
    residual = g
    direction, solution = residual.clone(), torch.zeros_like(g)
    square = _dot(residual, residual)
    goal = tolerance**2 * square
    for _ in range(10 * max(g.shape[-2:]) if iterations is None else iterations):
        if bool((square <= goal).all()):
            break
        applied = pull * direction + weight * operator.normal(direction)
        # A finished image has residual zero; the floor keeps 0 / 0 out while the others go on.
        step = square / _dot(direction, applied).clamp_min(_tiny(g))
        solution = solution + step * direction
        residual = residual - step * applied
        fresh = _dot(residual, residual)
        direction = residual + fresh / square.clamp_min(_tiny(g)) * direction
        square = fresh
    return solution


def _tiny(like: Tensor) -> float:
    return float(torch.finfo(like.dtype).tiny)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum(dim=(1, 2, 3), keepdim=True).to(a.dtype)
