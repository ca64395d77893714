"""K gradient steps on chip: pointwise and block-local operators, one load and one store for all K.

Each pixel or macroblock goes through all its steps in registers, in compiled C++ on a CPU, in a Triton kernel on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...kernels import available
from ..operators import HDR, JPEG, Quantize
from ..operators.base import Operator
from . import cpu
from .device import Index, Solve, on_gpu, on_host, place
from .reference import Observed
from .settings import LocalMAP


class OnChip:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 J^T(H(x) - y)], all K at once, for HDR, quantisation and JPEG; float32."""

    name = "onchip"
    capturable = True
    few_passes = True

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int]) -> None:
        device = operator.device
        self.settings = settings
        fused: Solve | None
        if on_gpu(device):
            from . import gpu  # brings Triton, which a CPU has no use for

            fused, self.kernel = gpu.fused(operator, settings, sigmas, shape, device), "triton"
        else:
            compiled, self.kernel = cpu.fused(operator, settings, sigmas), cpu.describe()
            fused = on_host(compiled) if compiled is not None else None
        if fused is None:
            raise ValueError(f"{type(operator).__name__} has no fused steps on {device} here: use strategy auto")
        self.fused = fused

    @staticmethod
    def serves(operator: Operator, shape: Sequence[int]) -> bool:
        if not isinstance(operator, HDR | Quantize | JPEG):
            return False
        if not on_gpu(operator.device):
            return True
        from . import gpu

        return available()[0] and not (isinstance(operator, JPEG) and not gpu.whole_macroblocks(operator, shape))

    def observe(self, y: Tensor) -> Observed:
        return (y.contiguous(),)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (y,) = observed
        return self.fused(xhat, y, place(index))

    def kind(self, index: int) -> int:
        return 0

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps, "kernel": self.kernel}
