"""The settings of the local MAP step and what follows from them at one noise level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

DataGradient = Literal["half", "full"]
EXACT: Literal["exact"] = "exact"
STRATEGIES = ("spectral", "polynomial", "onchip", "stepped", "autograd", "reference")


@dataclass(frozen=True, slots=True)
class LocalMAP:
    """argmin_x (1 - r) ||x - xhat||^2 + r k2 ||y - H(x)||^2 by K steps x <- x - eta g (Eq. 13, Algorithm 4).

    g = (1 - r) (x - xhat) + r k2 J^T (H(x) - y),     r = sigma^2 / (sigma^2 + k1^2 + 1e-6)

    k1:  noise level, in [-1, 1] units, at which prior and data weigh the same; >= 0.
    k2:  weight of the data term; > 0.
    eta: step size; > 0. Stable while eta ((1 - r) + r k2 L) < 2, L = lmax(J^T J).
    inner_steps: K, or "exact" for the minimiser itself (Eq. 15; linear H only).
    strategy: one of `STRATEGIES`, or "auto".
    data_gradient: "half" is J^T (H(x) - y), for which the paper's tuned values are stable; "full" has the printed factor 2.
    """

    k1: float
    k2: float
    eta: float
    inner_steps: int | Literal["exact"] = 100
    strategy: str = "auto"
    data_gradient: DataGradient = "half"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.k1) and self.k1 >= 0):
            raise ValueError(f"k1 must be a finite number >= 0, got {self.k1}")
        if not (math.isfinite(self.k2) and self.k2 > 0):
            raise ValueError(f"k2 must be a finite number > 0, got {self.k2}")
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise ValueError(f"eta must be a finite number > 0, got {self.eta}")
        whole = isinstance(self.inner_steps, int) and not isinstance(self.inner_steps, bool) and self.inner_steps >= 1
        if not whole and self.inner_steps != EXACT:
            raise ValueError(f'inner_steps must be a whole number >= 1 or "exact", got {self.inner_steps!r}')
        if self.strategy not in ("auto", *STRATEGIES):
            raise ValueError(f"strategy must be auto or one of {', '.join(STRATEGIES)}, got {self.strategy!r}")
        if self.data_gradient not in ("half", "full"):
            raise ValueError(f'data_gradient must be "half" or "full", got {self.data_gradient!r}')

    def whole_steps(self) -> int:
        """K, for strategies that take the steps one by one. Raises ValueError for "exact", which they cannot do."""
        if self.inner_steps == EXACT:
            raise ValueError('inner_steps="exact" needs a linear operator; give a number of steps for this one')
        return int(self.inner_steps)

    def r(self, sigma: float) -> float:
        """r = sigma^2 / (sigma^2 + k1^2 + 1e-6)."""
        return sigma * sigma / (sigma * sigma + self.k1 * self.k1 + 1e-6)

    def weight(self, sigma: float) -> float:
        """r k2, the weight of J^T (H(x) - y), doubled by data_gradient="full"."""
        return self.r(sigma) * self.k2 * (2.0 if self.data_gradient == "full" else 1.0)

    def filter(self, eigenvalues: Tensor, sigma: float) -> Tensor:
        """q(m) r k2 for every eigenvalue of H^T H, so that x_K = xhat + filter(H^T H) (H^T y - H^T H xhat).

        m = (1 - r) + r k2 lam,    q(m) = (1 - (1 - eta m)^K) / m,    q = 1 / m for K -> infinity.
        float64 in, float64 out. Directions that H does not see (lam = 0 to rounding) are left alone.
        """
        return self.filter_of(eigenvalues.double(), 1 - self.r(sigma), self.weight(sigma))

    def filter_of(self, lam: Tensor, pull: float | Tensor, weight: float | Tensor) -> Tensor:
        """`filter` for given pull = 1 - r and weight = r k2, numbers or scalars on lam's device."""
        m = pull + weight * lam
        if self.inner_steps == EXACT:
            return (weight / m) * (lam > 1e-12 * lam.amax())
        return weight * geometric(m, self.eta, int(self.inner_steps))


def geometric(m: Tensor, eta: float, steps: int) -> Tensor:
    """q(m) = (1 - (1 - eta m)^K) / m, stable for m -> 0, where it is eta K."""
    z = eta * m
    small = z < 0.5
    gentle = -((steps * (-z.where(small, z.new_zeros(()))).log1p()).expm1())
    steep = 1 - (1 - z) ** steps
    tiny = m.abs() < 1e-300
    safe = m.where(~tiny, m.new_ones(()))
    return (gentle.where(small, steep) / safe).where(~tiny, m.new_full((), eta * steps))
