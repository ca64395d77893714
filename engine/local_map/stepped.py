"""K gradient steps one by one, each fused: phase retrieval and camera shake, whose steps need Fourier transforms between them,
and on a GPU any blur and MRI whose K steps are wanted literally.

What belongs to the measurement is brought into the steps' own layout once.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..operators import PhaseRetrieval
from ..operators.base import Operator
from . import camera_cpu, phase_cpu
from .device import Index, kernel_facts, on_gpu, place
from .reference import Observed
from .settings import LocalMAP


class Stepped:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 J^T(H(x) - y)], step by step; float32."""

    name = "stepped"
    capturable = True

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int]) -> None:
        self.settings = settings
        if on_gpu(operator.device):
            from . import gpu_steps  # brings Triton, which a CPU has no use for

            made = gpu_steps.launched(operator, settings, sigmas, shape, operator.device)
        elif isinstance(operator, PhaseRetrieval):
            made = phase_cpu.compiled(operator, settings, sigmas, shape)
        elif (camera := camera_cpu.camera_of(operator)) is not None:
            made = camera_cpu.compiled(camera, settings, sigmas, shape)
        else:
            raise ValueError(f"{type(operator).__name__} has no fused steps on {operator.device}: use strategy auto")
        self._observe, self.steps = made.observe, made.solve
        self._kernel = kernel_facts(made.kernel, made.passed_over)
        self.few_passes = made.whole

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        if not on_gpu(operator.device):
            return isinstance(operator, PhaseRetrieval) or camera_cpu.camera_of(operator) is not None
        from . import gpu_steps

        return gpu_steps.serves(operator)

    def observe(self, y: Tensor) -> Observed:
        return (self._observe(y),)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (prepared,) = observed
        return self.steps(xhat, prepared, place(index))

    def kind(self, index: int) -> int:
        return 0

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps, **self._kernel}
