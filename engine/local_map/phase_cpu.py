"""The steps of phase retrieval on a CPU. With z = F pad((x + 1)/2), the data gradient is 1/2 crop F^-1 (z - y z/|z|).

Compiled code takes all K steps, transforms included, where the field's sides are products of 2, 3 and 5; for other sides
torch transforms, and only what lies between is compiled. A real picture's spectrum is even in modulus, so only the even
part of y has a gradient, and half of it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _native
from ..operators import PhaseRetrieval
from ..operators.fourier import is_smooth
from ..operators.phase_retrieval import even_half, even_upper
from . import cpu
from .device import Launched, on_host
from .settings import LocalMAP


def compiled(operator: PhaseRetrieval, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int]) -> Launched:
    """The steps of `operator` for pictures of `shape` [B, C, H, W]."""
    height, width = shape[-2:]
    field = operator.measurement_size(height, width)
    if all(map(is_smooth, field)):
        phase = _native.PhaseRetrieval(height, width, *field)
        solve = cpu.whole(
            lambda xhat, upper, r, k2, eta, steps, out: phase.steps(xhat, upper, r, k2, eta, steps, out=out),
            settings,
            sigmas,
        )
        return Launched(lambda y: even_upper(y).contiguous(), on_host(solve), cpu.describe(), whole=True)
    between = _steps_around_torch(field, settings, sigmas)
    return Launched(lambda y: even_half(y).contiguous(), on_host(between), f"{cpu.describe()} and torch.fft")


def _steps_around_torch(field: tuple[int, int], settings: LocalMAP, sigmas: Sequence[float]) -> cpu.Solve:
    steps = settings.whole_steps()

    def solve(xhat: Tensor, half: Tensor, index: int) -> Tensor:
        height, width = xhat.shape[-2:]
        sigma, eta = sigmas[index], settings.eta
        pull, weight = 1 - settings.r(sigma), settings.weight(sigma)
        x = xhat.clone(memory_format=torch.contiguous_format)
        for _ in range(steps):
            z = torch.fft.rfft2(0.5 * x + 0.5, s=field, norm="ortho")
            _native.phase_middle(z, half)
            g = torch.fft.irfft2(z, s=field, norm="ortho")[..., :height, :width]
            x.lerp_(xhat, eta * pull).sub_(g, alpha=0.5 * eta * weight)
        return x

    return solve
