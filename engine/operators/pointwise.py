"""Operators that act on every value alone: clipping and quantisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import checks
from .base import Operator


class HDR(Operator):
    """H(x) = clip(scale x, -1, 1): [B, C, H, W] in [-1, 1] -> the same shape. High dynamic range reconstruction.

    gradient: "clip" takes the derivative through the clip, J = scale where |scale x| <= 1 and 0 elsewhere (the
    reference set-up); "identity" puts J = 1 in the inner problem (Eq. 18 of the paper).
    """

    start_inverts = True

    def __init__(self, scale: float = 2.0, *, gradient: str = "clip") -> None:
        super().__init__()
        self.scale = checks.real(scale, "scale", 0, open_low=True)
        self.gradient = checks.one_of(gradient, "gradient", ("clip", "identity"))
        self.differentiable = gradient == "clip"

    def forward(self, x: Tensor) -> Tensor:
        checks.picture(x, "HDR")
        return (self.scale * x).clamp(-1, 1)

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        inside = (self.scale * x).abs() <= 1
        return torch.where(inside, self.scale * u, torch.zeros_like(u))

    def surrogate_vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return u if self.gradient == "identity" else self.vjp(x, u)

    def start(self, y: Tensor) -> Tensor:
        """y / scale: right wherever nothing was clipped."""
        return y / self.scale

    def config(self) -> dict[str, Any]:
        return {"operator": "HDR", "scale": self.scale, "gradient": self.gradient}


class Quantize(Operator):
    """H(x) = 2 floor((2^bits - 1) (x + 1)/2 + 1/2) / (2^bits - 1) - 1: [B, C, H, W] in [-1, 1] -> the same shape.

    bits = 2 gives the levels -1, -1/3, 1/3, 1. Values outside [-1, 1] go to further levels of the same spacing:
    there is no clipping, as in the reference set-up. Eq. 32 of the paper. The gradient takes J = 1 (Eq. 18).
    """

    differentiable = False
    start_inverts = True

    def __init__(self, bits: int = 2) -> None:
        super().__init__()
        self.bits = checks.whole(bits, "bits", 1, 16)

    @property
    def intervals(self) -> int:
        """2^bits - 1, the number of steps from -1 to 1."""
        return int(2**self.bits - 1)

    @property
    def coarseness(self) -> float:
        """(3 / intervals)^1.3: about the best scale of the noise levels from 2 to 6 bits."""
        return float((3 / self.intervals) ** 1.3)

    def forward(self, x: Tensor) -> Tensor:
        checks.picture(x, "Quantize")
        return torch.floor((x + 1) * (self.intervals / 2) + 0.5) / self.intervals * 2 - 1

    def surrogate_vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return u

    def start(self, y: Tensor) -> Tensor:
        """The measurement itself."""
        return y.clone()

    def config(self) -> dict[str, Any]:
        return {"operator": "Quantize", "bits": self.bits}
