"""K gradient steps on chip: pointwise and block-local operators, one load and one store for all K.

The kernels are compiled C++ on the CPU. They take each pixel or macroblock through all its steps in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from ... import _native
from ..operators import HDR, JPEG, Quantize
from ..operators.base import Operator
from .reference import Observed
from .settings import EXACT, LocalMAP

Sampling = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"]
# (xhat, y, r, k2, eta, K, out) -> None
Kernel = Callable[[Tensor, Tensor, float, float, float, int, Tensor], object]


def _hdr(operator: HDR) -> Kernel:
    gradient: Literal["exact", "surrogate"] = "exact" if operator.differentiable else "surrogate"
    return lambda xhat, y, r, k2, eta, steps, out: _native.hdr_steps(
        xhat, y, operator.scale, r, k2, eta, steps, gradient=gradient, out=out
    )


def _quantize(operator: Quantize) -> Kernel:
    return lambda xhat, y, r, k2, eta, steps, out: _native.quantize_steps(
        xhat, y, operator.bits, r, k2, eta, steps, out=out
    )


def _jpeg(operator: JPEG) -> Kernel:
    tables = operator.tables.to(torch.float32)
    luma, chroma = tables[0].contiguous(), tables[1:].contiguous()
    sampling, kept = cast(Sampling, operator.subsampling), cast(Literal["decimate", "average"], operator.chroma)
    return lambda xhat, y, r, k2, eta, steps, out: _native.jpeg_steps(
        xhat, y, luma, chroma, sampling, r, k2, eta, steps, chroma=kept, out=out
    )


def kernel_for(operator: Operator) -> Kernel | None:
    """The fused steps of an operator on its device, or None where there are none."""
    if operator.device.type != "cpu":
        return None
    if isinstance(operator, HDR):
        return _hdr(operator)
    if isinstance(operator, Quantize):
        return _quantize(operator)
    if isinstance(operator, JPEG):
        return _jpeg(operator)
    return None


class OnChip:
    """The fused steps of `kernel_for(operator)`."""

    name = "onchip"

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float]) -> None:
        kernel = kernel_for(operator)
        if kernel is None:
            raise ValueError(f"{type(operator).__name__} has no fused steps on {operator.device}: use strategy auto")
        if settings.inner_steps == EXACT:
            raise ValueError('inner_steps="exact" needs a linear operator; give a number of steps for this one')
        self.kernel, self.settings, self.sigmas = kernel, settings, sigmas

    @staticmethod
    def serves(operator: Operator) -> bool:
        return kernel_for(operator) is not None

    def observe(self, y: Tensor) -> Observed:
        return (y.contiguous(),)

    def solve(self, xhat: Tensor, observed: Observed, index: int) -> Tensor:
        (y,) = observed
        s, sigma = self.settings, self.sigmas[index]
        r = s.r(sigma)
        out = torch.empty_like(xhat, memory_format=torch.contiguous_format)
        self.kernel(xhat.contiguous(), y, r, s.weight(sigma) / r, s.eta, int(s.inner_steps), out)
        return out

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps, "kernel": f"cpu {_native.isa()}"}
