"""The fused steps on a GPU: Triton kernels that read the constants of a step from a table on the device.

Checked in Triton's interpreter and by compiling for two generations of GPUs; not yet run on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...kernels import available, jpeg, phase_retrieval, pointwise, schedule
from ..operators import HDR, JPEG, PhaseRetrieval, Quantize
from ..operators.base import Operator
from .cpu import Solve
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


def table(settings: LocalMAP, sigmas: Sequence[float], device: torch.device) -> Tensor:
    """The constants of every step, [N, 6] on the device."""
    levels = [s for s in sigmas if s > 0]
    r = [settings.r(s) for s in levels]
    k2 = [settings.weight(s) / settings.r(s) for s in levels]
    return schedule.table(r=r, k2=k2, eta=settings.eta, device=device)


def whole_macroblocks(operator: JPEG, shape: Sequence[int]) -> bool:
    """The kernel takes RGB pictures of whole macroblocks; others go through torch."""
    down, across = jpeg.SUBSAMPLING[operator.subsampling]
    return shape[1] == 3 and shape[2] % (8 * down) == 0 and shape[3] % (8 * across) == 0


def phase_steps(
    operator: PhaseRetrieval, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int], device: torch.device
) -> tuple[Solve, str]:
    """K steps of phase retrieval, and the name of the way that was the quickest when measured here."""
    rows, steps = table(settings, sigmas, device), settings.whole_steps()
    frame = operator.measurement_size(shape[2], shape[3])
    plan: Any = phase_retrieval.plan(*frame, device)
    picture = torch.zeros(tuple(shape), device=device)
    half = phase_retrieval.measurement(torch.ones((*shape[:2], *frame), device=device))
    way = phase_retrieval.fastest_way(picture, half, plan, rows, 0, steps)
    return lambda xhat, y, index: phase_retrieval.run(way, xhat.contiguous(), y, plan, rows, index, steps), way


def _three(tables: Tensor) -> Tensor:
    """Tables for Y, Cb and Cr from those for luminance and chrominance."""
    return tables if len(tables) == 3 else torch.cat([tables[:1], tables[1:], tables[1:]])
