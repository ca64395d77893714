"""The steps of `operators.NonlinearBlur` without a network on a CPU: compiled code, transforms included."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ... import _native
from ..operators import NonlinearBlur
from ..operators.base import Operator
from ..operators.convolution import half_response, trimmed
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
    shaken = _compiled(camera, shape[-2], shape[-1])
    solve = cpu.whole(
        lambda xhat, y, r, k2, eta, steps, out: shaken.steps(xhat, y, r, k2, eta, steps, out=out), settings, sigmas
    )
    return Launched(lambda y: y.contiguous(), on_host(solve), cpu.describe(), whole=True)


def _compiled(camera: CameraShake, height: int, width: int) -> _native.CameraShake:
    kernels, (top, bottom, left, right) = trimmed(camera.kernels())
    fft = (fast_length(height + top + bottom), fast_length(width + left + right))
    rows, columns = sources(height, top, bottom, camera.padding), sources(width, left, right, camera.padding)
    weights = camera.weights(height, width).to(torch.float32).contiguous()
    responses = half_response(kernels, fft)
    return _native.CameraShake(height, width, rows.tolist(), columns.tolist(), *fft, responses, weights)
