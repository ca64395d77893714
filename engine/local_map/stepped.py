"""K gradient steps one by one, each fused: phase retrieval, whose steps need a Fourier transform between them.

With z = F pad((x + 1)/2), the data gradient is 1/2 crop F^-1 (z - y z/|z|). A step is a forward transform, one compiled pass
over the spectrum, and an inverse transform; what belongs to the measurement is brought into the spectrum's layout once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _native
from ...kernels import available
from ..operators import PhaseRetrieval
from ..operators.base import Operator
from ..operators.phase_retrieval import even_half
from . import cpu, gpu
from .cpu import Solve
from .reference import Observed
from .settings import LocalMAP


class Stepped:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 J^T(H(x) - y)] for H(x) = |F pad((x + 1)/2)|; float32."""

    name = "stepped"

    def __init__(
        self, operator: PhaseRetrieval, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int]
    ) -> None:
        self.settings = settings
        self.steps: Solve
        if operator.device.type == "cuda":
            self.steps, way = gpu.phase_steps(operator, settings, sigmas, shape, operator.device)
            self.kernel = f"triton {way}"
        else:
            self.steps, self.kernel = _compiled_steps(operator, settings, sigmas), cpu.describe()

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        if not isinstance(operator, PhaseRetrieval):
            return False
        return operator.device.type != "cuda" or available()[0]

    def observe(self, y: Tensor) -> Observed:
        # A real picture's spectrum is even in modulus, so only the even part of y has a gradient.
        return (even_half(y).contiguous(),)

    def solve(self, xhat: Tensor, observed: Observed, index: int) -> Tensor:
        (half,) = observed
        return self.steps(xhat, half, index)

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps, "kernel": self.kernel}


def _compiled_steps(operator: PhaseRetrieval, settings: LocalMAP, sigmas: Sequence[float]) -> Solve:
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
