"""K gradient steps as one filter, where H^T H is diagonal in a cheap basis.

    x_K = xhat + V filter(lam) (V^-1 H^T y - lam V^-1 xhat),     filter = q(m) r k2

H^T y is transformed once a measurement; a step costs two transforms and one pass over the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..operators.base import LinearOperator, Operator, Spectrum
from .device import Index, OnDevice, gather, on_gpu, place, settle, weights
from .reference import Observed
from .settings import LocalMAP

if TYPE_CHECKING:
    from .gpu_linear import ClosedForm

# Filters of all steps are kept when they fit in this many bytes; a longer run makes each one when it is needed.
TABLE_BYTES = 64 * 2**20


class Spectral:
    """The closed form of K steps (or of the exact minimiser) for operators with a `spectrum`."""

    name = "spectral"
    capturable = True

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
        self.few_passes = operator.light
        self.basis: Spectrum = basis.seen or basis
        self.dtype = dtype
        self.eigenvalues = self.basis.eigenvalues.to(dtype)
        where = operator.device
        self._fused: ClosedForm | None = None
        if on_gpu(where):
            from .gpu_linear import closed_form  # brings Triton, which a CPU has no use for

            self._fused = closed_form(operator, self.basis, settings, sigmas, shape, where)
        self._weights = weights(settings, sigmas, where)
        steps = [s for s in sigmas if s > 0]
        fits = len(steps) * self.eigenvalues.numel() * dtype.itemsize <= TABLE_BYTES
        self._filters = [self._make_filter(s) for s in steps] if fits and self._fused is None else None

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        return isinstance(operator, LinearOperator) and operator.spectrum(tuple(shape)) is not None

    def observe(self, y: Tensor) -> Observed:
        if self._fused is not None:
            return (self._fused.observe(y),)
        return (seen_in(self.basis, self.operator, y),)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (target,) = observed
        if self._fused is not None:
            return self._fused.solve(xhat, target, place(index))
        gain = self._gain(settle(index, self._weights.device))
        misfit = torch.addcmul(target, self.eigenvalues, self.basis.to_basis(xhat), value=-1)
        return xhat + self.basis.from_basis(misfit.mul_(gain))

    def kind(self, index: int) -> int:
        return 0

    def describe(self) -> dict[str, object]:
        kernel = "torch" if self._fused is None else self._fused.kernel
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps, "kernel": kernel}

    def _gain(self, index: Index) -> Tensor:
        """The filter of a step: from the table, or worked out on the device for an index that is there."""
        if isinstance(index, OnDevice):
            pull, weight = gather(self._weights, index).unbind()
            return self.settings.filter_of(self.basis.eigenvalues.double(), pull, weight).to(self.dtype)
        return self._filters[index] if self._filters is not None else self._make_filter(self.sigmas[index])

    def _make_filter(self, sigma: float) -> Tensor:
        return self.settings.filter(self.basis.eigenvalues, sigma).to(self.dtype)


def seen_in(basis: Spectrum, operator: LinearOperator, y: Tensor) -> Tensor:
    """H^T y in the basis, in y's precision but worked out in float64: it is done once, and its errors stay in every step."""
    exact = torch.promote_types(y.dtype, torch.float64)
    c = basis.to_basis(operator.target(y.to(exact)))
    if y.dtype == exact:
        return c
    return c.to(torch.complex64 if c.is_complex() else torch.float32)
