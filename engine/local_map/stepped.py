"""K gradient steps one by one, each fused: phase retrieval, whose steps need a Fourier transform between them, and on a GPU
any blur whose K steps are wanted literally.

For phase retrieval, with z = F pad((x + 1)/2), the data gradient is 1/2 crop F^-1 (z - y z/|z|). A step is a forward
transform, one compiled pass over the spectrum, and an inverse transform; what belongs to the measurement is brought into
the spectrum's layout once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _native
from ..operators import PhaseRetrieval
from ..operators.base import Operator
from ..operators.phase_retrieval import even_half
from . import cpu, gpu_steps
from .device import Index, Solve, on_gpu, on_host, place
from .reference import Observed
from .settings import LocalMAP


class Stepped:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 J^T(H(x) - y)], step by step; float32."""

    name = "stepped"
    capturable = True

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int]) -> None:
        self.settings = settings
        self.steps: Solve
        if on_gpu(operator.device):
            launched = gpu_steps.launched(operator, settings, sigmas, shape, operator.device)
            self._observe, self.steps, self.kernel = launched.observe, launched.solve, launched.kernel
        elif isinstance(operator, PhaseRetrieval):
            # A real picture's spectrum is even in modulus, so only the even part of y has a gradient.
            self._observe = lambda y: even_half(y).contiguous()
            self.steps, self.kernel = on_host(_compiled_steps(operator, settings, sigmas)), cpu.describe()
        else:
            raise ValueError(f"{type(operator).__name__} has no fused steps on {operator.device}: use strategy auto")

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        return gpu_steps.serves(operator) if on_gpu(operator.device) else isinstance(operator, PhaseRetrieval)

    def observe(self, y: Tensor) -> Observed:
        return (self._observe(y),)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (prepared,) = observed
        return self.steps(xhat, prepared, place(index))

    def kind(self, index: int) -> int:
        return 0

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps, "kernel": self.kernel}


def _compiled_steps(operator: PhaseRetrieval, settings: LocalMAP, sigmas: Sequence[float]) -> cpu.Solve:
    steps = settings.whole_steps()

    def solve(xhat: Tensor, half: Tensor, index: int) -> Tensor:
        height, width = xhat.shape[-2:]
        size = operator.measurement_size(height, width)
        sigma, eta = sigmas[index], settings.eta
        pull, weight = 1 - settings.r(sigma), settings.weight(sigma)
        x = xhat.clone(memory_format=torch.contiguous_format)
        for _ in range(steps):
            z = torch.fft.rfft2(0.5 * x + 0.5, s=size, norm="ortho")
            _native.phase_middle(z, half)
            g = torch.fft.irfft2(z, s=size, norm="ortho")[..., :height, :width]
            x.lerp_(xhat, eta * pull).sub_(g, alpha=0.5 * eta * weight)
        return x

    return solve
