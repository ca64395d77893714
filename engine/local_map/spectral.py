"""K gradient steps as one filter, where H^T H is diagonal in a cheap basis.

    x_K = xhat + V filter(lam) (V^-1 H^T y - lam V^-1 xhat),     filter = q(m) r k2

H^T y is transformed once a measurement; a step costs two transforms and one pass over the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators.base import LinearOperator, Operator, Spectrum
from .reference import Observed
from .settings import LocalMAP

# Filters of all steps are kept when they fit in this many bytes; a longer run makes each one when it is needed.
TABLE_BYTES = 64 * 2**20


class Spectral:
    """The closed form of K steps (or of the exact minimiser) for operators with a `spectrum`."""

    name = "spectral"

    def __init__(
        self,
        operator: LinearOperator,
        settings: LocalMAP,
        sigmas: Sequence[float],
        shape: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        basis = operator.spectrum(tuple(shape))
        if basis is None:
            raise ValueError(f"{type(operator).__name__} has no cheap basis: use strategy polynomial or auto")
        self.operator, self.settings, self.sigmas = operator, settings, sigmas
        self.basis: Spectrum = basis.seen or basis
        self.dtype = dtype
        self.eigenvalues = self.basis.eigenvalues.to(dtype)
        steps = [s for s in sigmas if s > 0]
        fits = len(steps) * self.eigenvalues.numel() * dtype.itemsize <= TABLE_BYTES
        self._filters = [self._make_filter(s) for s in steps] if fits else None

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        return isinstance(operator, LinearOperator) and operator.spectrum(tuple(shape)) is not None

    def observe(self, y: Tensor) -> Observed:
        return (self.basis.to_basis(self.operator.adjoint(y)),)

    def solve(self, xhat: Tensor, observed: Observed, index: int) -> Tensor:
        (target,) = observed
        gain = self._filters[index] if self._filters is not None else self._make_filter(self.sigmas[index])
        misfit = torch.addcmul(target, self.eigenvalues, self.basis.to_basis(xhat), value=-1)
        return xhat + self.basis.from_basis(misfit.mul_(gain))

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps}

    def _make_filter(self, sigma: float) -> Tensor:
        return self.settings.filter(self.basis.eigenvalues, sigma).to(self.dtype)
