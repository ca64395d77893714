"""K gradient steps as a short polynomial in H^T H, for linear operators without a cheap basis.

    x_K = xhat + p(H^T H) (H^T y - H^T H xhat),     p(lam) = q(m) r k2

What the polynomial meets is H^T (y - H xhat), whose part along a singular value s of H carries a factor s. So the function to
approximate is the odd s p(s^2), and its expansion in Chebyshev polynomials of odd degree is nearly the best there is. With
z = 2 H^T H / L - 1 it needs one H^T H a degree:

    p(lam) = sum_j c_j V_j(z),     V_0 = 1,  V_1 = 2 z - 1,  V_(j+1) = 2 z V_j - V_(j-1),     s V_j(2 s^2 - 1) = T_(2j+1)(s)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ..operators.base import LinearOperator, Operator, norm_squared
from .device import Index, kernel_facts, number, on_gpu
from .polynomial_gpu import Recurrence
from .reference import Observed
from .settings import LocalMAP

# Power iteration approaches L from below, and outside [0, L] the polynomials grow quickly: leave room.
SAFETY = 1.02
TOLERANCE = 1e-4
HIGHEST_DEGREE = 400
# Enough for nearly every schedule, and tried first.
USUAL_DEGREE = 40


@dataclass(frozen=True, slots=True)
class Series:
    """p(lam) ~ sum_j coefficients[j] V_j(2 lam / bound - 1) on [0, bound]."""

    coefficients: tuple[float, ...]
    bound: float

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def apply(self, operator: LinearOperator, g: Tensor) -> Tensor:
        """p(H^T H) g."""
        return operator.chebyshev(g, self.coefficients, self.bound)


def expand(settings: LocalMAP, sigma: float, bound: float, tolerance: float) -> Series:
    """The shortest series whose correction differs from the exact one by at most `tolerance`, relatively.

    Raises ValueError when degree 400 is not enough: the data term then outweighs the prior beyond float32 anyway.
    """
    s, odd = _nodes()
    f = s * settings.filter(bound * s.square(), sigma)
    for rows in (USUAL_DEGREE + 1, HIGHEST_DEGREE + 1):
        c = (2.0 / len(s)) * odd[:rows] @ f
        error = ((odd[:rows] * c[:, None]).cumsum(0) - f).abs().amax(1)
        enough = (error <= tolerance * f.abs().max()).nonzero()
        if len(enough):
            return Series(tuple(c[: int(enough[0]) + 1].tolist()), bound)
    raise ValueError(
        f"a polynomial of degree {HIGHEST_DEGREE} does not reach {tolerance:g} for these settings "
        f"(k1={settings.k1}, k2={settings.k2}, eta={settings.eta}, inner_steps={settings.inner_steps}): "
        'use strategy "reference", or a larger k1'
    )


@cache
def _nodes() -> tuple[Tensor, Tensor]:
    """The points s = cos(angle) where functions are compared, and T_(2j+1)(s) for every j."""
    count = 2 * HIGHEST_DEGREE
    angle = (torch.arange(count, dtype=torch.float64) + 0.5) * (math.pi / (2 * count))
    odd = 2 * torch.arange(HIGHEST_DEGREE + 1, dtype=torch.float64) + 1
    return angle.cos(), torch.cos(odd[:, None] * angle)


class Polynomial:
    """The polynomial form of K steps, its degree chosen for each noise level."""

    name = "polynomial"
    capturable = True

    def __init__(
        self,
        operator: LinearOperator,
        settings: LocalMAP,
        sigmas: Sequence[float],
        shape: Sequence[int],
        tolerance: float = TOLERANCE,
        largest: float | None = None,
    ) -> None:
        """largest: lmax(H^T H) where it is known; by power iteration otherwise."""
        self.operator, self.settings = operator, settings
        bound = SAFETY * (norm_squared(operator, tuple(shape)) if largest is None else largest)
        if bound == 0:
            raise ValueError(f"{type(operator).__name__} maps every picture to zero: there is nothing to restore from")
        self.few_passes = operator.light
        self.series = [expand(settings, s, bound, tolerance) for s in sigmas if s > 0]
        self._gpu: Recurrence | None = None
        self._kernel = kernel_facts("torch", {})
        if on_gpu(operator.device):
            from .gpu_linear import normal  # brings Triton, which a CPU has no use for

            times, choice = normal(operator, shape, operator.device)
            self._kernel = kernel_facts(choice.way, choice.passed_over)
            coefficients = [s.coefficients for s in self.series]
            self._gpu = Recurrence(coefficients, bound, times, operator.device)

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        return isinstance(operator, LinearOperator)

    def observe(self, y: Tensor) -> Observed:
        return (self.operator.target(y),)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (target,) = observed
        if self._gpu is not None:
            return xhat + self._gpu.apply(target - self._gpu.normal(xhat), index)
        return xhat + self.series[number(index)].apply(self.operator, target - self.operator.normal(xhat))

    def kind(self, index: int) -> int:
        return self._gpu.degrees[index] if self._gpu is not None else 0

    def describe(self) -> dict[str, object]:
        return {
            "strategy": self.name,
            "inner_steps": self.settings.inner_steps,
            "degrees": [s.degree for s in self.series],
            **self._kernel,
        }
