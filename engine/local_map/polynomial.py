"""K gradient steps as a short polynomial in H^T H, for linear operators without a cheap basis.

    x_K = xhat + p(H^T H) (H^T y - H^T H xhat),     p(lam) = q(m) r k2

p is smooth on [0, L], L = lmax(H^T H), so its Chebyshev series is cut far below degree K: each degree is one H^T H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..operators.base import LinearOperator, Operator, norm_squared
from .reference import Observed
from .settings import LocalMAP

# Power iteration approaches L from below, and outside [0, L] a Chebyshev series grows quickly: leave room.
SAFETY = 1.02
TOLERANCE = 3e-5
HIGHEST_DEGREE = 400


@dataclass(frozen=True, slots=True)
class Series:
    """p(lam) ~ sum_j coefficients[j] T_j(2 lam / bound - 1) on [0, bound]."""

    coefficients: tuple[float, ...]
    bound: float

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def apply(self, operator: LinearOperator, g: Tensor) -> Tensor:
        """p(H^T H) g by the three-term recurrence T_(j+1) = 2 z T_j - T_(j-1), z = 2 H^T H / bound - 1."""
        scale = 2.0 / self.bound
        out = self.coefficients[0] * g
        if self.degree == 0:
            return out
        before, now = g, scale * operator.normal(g) - g
        out = out + self.coefficients[1] * now
        for c in self.coefficients[2:]:
            before, now = now, (2 * scale) * operator.normal(now) - 2 * now - before
            out = out + c * now
        return out


def chebyshev(settings: LocalMAP, sigma: float, bound: float, tolerance: float) -> Series:
    """The shortest series whose correction differs from the exact one by at most `tolerance`, relatively.

    A correction p(H^T H) H^T e has singular values s p(s^2), so the error is weighed with sqrt(lam): what H hardly sees
    matters little.
    """
    count = 2 * HIGHEST_DEGREE
    angle = (torch.arange(count, dtype=torch.float64) + 0.5) * (math.pi / count)
    lam = 0.5 * bound * (angle.cos() + 1)
    p = settings.filter(lam, sigma)
    series = (2.0 / count) * torch.cos(torch.arange(HIGHEST_DEGREE + 1, dtype=torch.float64)[:, None] * angle) @ p
    series[0] /= 2
    goal = tolerance * float((lam.sqrt() * p).abs().max())
    # Partial sums are compared on the nodes themselves; the shortest one within the goal is found by bisection.
    terms = torch.cos(torch.arange(HIGHEST_DEGREE + 1, dtype=torch.float64)[:, None] * angle) * series[:, None]
    error = ((terms.cumsum(0) - p) * lam.sqrt()).abs().amax(1)
    good = (error <= goal).nonzero()
    if len(good) == 0:
        raise ValueError(
            f"a polynomial of degree {HIGHEST_DEGREE} does not reach {tolerance:g} for these settings "
            f"(k1={settings.k1}, k2={settings.k2}, eta={settings.eta}, inner_steps={settings.inner_steps}): "
            'use strategy "reference", or a larger k1'
        )
    degree = int(good[0])
    return Series(tuple(series[: degree + 1].tolist()), bound)


class Polynomial:
    """The Chebyshev form of K steps, its degree chosen for each noise level."""

    name = "polynomial"

    def __init__(
        self,
        operator: LinearOperator,
        settings: LocalMAP,
        sigmas: Sequence[float],
        shape: Sequence[int],
        tolerance: float = TOLERANCE,
    ) -> None:
        self.operator, self.settings = operator, settings
        bound = SAFETY * norm_squared(operator, tuple(shape))
        if bound == 0:
            raise ValueError(f"{type(operator).__name__} maps every picture to zero: there is nothing to restore from")
        self.series = [chebyshev(settings, s, bound, tolerance) for s in sigmas if s > 0]

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        return isinstance(operator, LinearOperator)

    def observe(self, y: Tensor) -> Observed:
        return (self.operator.adjoint(y),)

    def solve(self, xhat: Tensor, observed: Observed, index: int) -> Tensor:
        (target,) = observed
        return xhat + self.series[index].apply(self.operator, target - self.operator.normal(xhat))

    def describe(self) -> dict[str, object]:
        return {
            "strategy": self.name,
            "inner_steps": self.settings.inner_steps,
            "degrees": [s.degree for s in self.series],
        }
