"""The fused steps of pointwise and block-local operators on a CPU: compiled C++."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from ... import _native
from ..operators import HDR, JPEG, Quantize
from ..operators.base import Operator
from .settings import LocalMAP

Sampling = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"]
# (xhat, y, r, k2, eta, K, out) -> None
Kernel = Callable[[Tensor, Tensor, float, float, float, int, Tensor], object]
# (xhat, y, index of the step) -> x_K
Solve = Callable[[Tensor, Tensor, int], Tensor]


def fused(operator: Operator, settings: LocalMAP, sigmas: Sequence[float]) -> Solve | None:
    """All K steps of `operator` in one call, or None where there are no fused steps."""
    kernel = _kernel(operator)
    return None if kernel is None else whole(kernel, settings, sigmas)


def whole(kernel: Kernel, settings: LocalMAP, sigmas: Sequence[float]) -> Solve:
    """All K steps of every noise level by one call of compiled code."""
    steps = settings.whole_steps()

    def solve(xhat: Tensor, y: Tensor, index: int) -> Tensor:
        r = settings.r(sigmas[index])
        out = torch.empty_like(xhat, memory_format=torch.contiguous_format)
        k2 = settings.weight(sigmas[index]) / r
        kernel(xhat.contiguous(), y, r, k2, settings.eta, steps, out)
        return out

    return solve


def describe() -> str:
    """The machine code in use, for stats."""
    return f"cpu {_native.isa()}"


def _kernel(operator: Operator) -> Kernel | None:
    if isinstance(operator, HDR):
        return _hdr(operator)
    if isinstance(operator, Quantize):
        return _quantize(operator)
    if isinstance(operator, JPEG):
        return _jpeg(operator)
    return None


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
