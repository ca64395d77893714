"""H = identity: the measurement is the picture plus noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import checks
from .base import LinearOperator, Spectrum


class Denoise(LinearOperator):
    """H(x) = x: [B, C, H, W] in [-1, 1] -> the same. The task is plain denoising of y = x + noise."""

    light = True

    def forward(self, x: Tensor) -> Tensor:
        checks.picture(x, "Denoise")
        return x.clone()

    def adjoint(self, u: Tensor) -> Tensor:
        return u.clone()

    def normal(self, x: Tensor) -> Tensor:
        return x.clone()

    def pinv(self, y: Tensor) -> Tensor:
        return y.clone()

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum:
        ones = torch.ones((1, 1, 1, 1), dtype=torch.float64, device=self.device)
        return Spectrum(to_basis=_same, from_basis=_same, eigenvalues=ones)

    def config(self) -> dict[str, Any]:
        return {"operator": "Denoise"}


def _same(x: Tensor) -> Tensor:
    return x
