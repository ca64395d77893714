"""The fused steps of pointwise and block-local operators on a GPU: Triton kernels, all K steps in one launch.

Checked in Triton's interpreter and by compiling for two generations of GPUs; not yet run on one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...kernels import available, jpeg, pointwise
from ..operators import HDR, JPEG, Quantize
from ..operators.base import Operator
from .device import Solve, table
from .settings import LocalMAP


def fused(
    operator: Operator, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int], device: torch.device
) -> Solve | None:
    """All K steps of a pointwise or block-local operator in one launch, or None where there is no kernel for it."""
    if not available()[0]:
        return None
    rows, steps = table(settings, sigmas, device), settings.whole_steps()
    if isinstance(operator, HDR):
        scale, surrogate = operator.scale, not operator.differentiable
        return lambda xhat, y, index: pointwise.hdr(
            xhat.contiguous(), y, rows, index, steps, scale=scale, surrogate=surrogate
        )
    if isinstance(operator, Quantize):
        bits = operator.bits
        return lambda xhat, y, index: pointwise.quantise(xhat.contiguous(), y, rows, index, steps, bits=bits)
    if isinstance(operator, JPEG) and whole_macroblocks(operator, shape):
        plan = jpeg.plan(
            _three(operator.tables), operator.subsampling, average=operator.chroma == "average", device=device
        )
        return lambda xhat, y, index: jpeg.steps(xhat.contiguous(), y, plan, rows, index, steps)
    return None


def whole_macroblocks(operator: JPEG, shape: Sequence[int]) -> bool:
    """The kernel takes RGB pictures of whole macroblocks; others go through torch."""
    down, across = jpeg.SUBSAMPLING[operator.subsampling]
    return shape[1] == 3 and shape[2] % (8 * down) == 0 and shape[3] % (8 * across) == 0


def _three(tables: Tensor) -> Tensor:
    """Tables for Y, Cb and Cr from those for luminance and chrominance."""
    return tables if len(tables) == 3 else torch.cat([tables[:1], tables[1:], tables[1:]])
