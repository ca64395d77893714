"""The steps of `operators.NonlinearBlur` without a network on a CPU: compiled code, transforms included."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _native
from ..operators import NonlinearBlur
from ..operators.base import Operator
from ..operators.fourier import fast_length
from ..operators.nonlinear_blur import CameraShake
from ..operators.padding import sources
from . import cpu
from .device import Launched, on_host
from .settings import LocalMAP


def camera_of(operator: Operator) -> CameraShake | None:
    """The shaken camera inside `operator`, or None where there is none: a network that imitates one, or another operator."""
    camera = operator.model if isinstance(operator, NonlinearBlur) else None
    return camera if isinstance(camera, CameraShake) else None


def compiled(camera: CameraShake, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int]) -> Launched:
    """The steps for pictures of `shape` [B, 3, H, W]."""
    whole = _compiled(camera, shape[-2], shape[-1])
    steps = settings.whole_steps()

    def solve(xhat: Tensor, y: Tensor, index: int) -> Tensor:
        r = settings.r(sigmas[index])
        k2 = settings.weight(sigmas[index]) / r
        out = torch.empty_like(xhat, memory_format=torch.contiguous_format)
        return whole.steps(xhat.contiguous(), y, r, k2, settings.eta, steps, out=out)

    return Launched(lambda y: y.contiguous(), on_host(solve), cpu.describe(), whole=True)


def _compiled(camera: CameraShake, height: int, width: int) -> _native.CameraShake:
    kernels = camera.kernels()
    top, bottom, left, right = _reach(kernels)
    centre = (kernels.shape[-2] // 2, kernels.shape[-1] // 2)
    within = kernels[:, centre[0] - top : centre[0] + bottom + 1, centre[1] - left : centre[1] + right + 1]
    fft = (fast_length(height + top + bottom), fast_length(width + left + right))
    responses = torch.fft.fft2(within, s=fft).conj()[:, : fft[0] // 2 + 1].resolve_conj()
    rows, columns = sources(height, top, bottom, camera.padding), sources(width, left, right, camera.padding)
    return _native.CameraShake(
        height,
        width,
        rows.tolist(),
        columns.tolist(),
        *fft,
        responses.to(torch.complex64).contiguous(),
        camera.weights(height, width).to(torch.float32).contiguous(),
    )


def _reach(kernels: Tensor) -> tuple[int, int, int, int]:
    """How far (top, bottom, left, right) any of the kernels reaches from the centre that they share."""
    down, across = (kernels != 0).any(0).any(1).nonzero().flatten(), (kernels != 0).any(0).any(0).nonzero().flatten()
    row, column = kernels.shape[-2] // 2, kernels.shape[-1] // 2
    top, left = max(row - int(down[0]), 0), max(column - int(across[0]), 0)
    return top, max(int(down[-1]) - row, 0), left, max(int(across[-1]) - column, 0)
