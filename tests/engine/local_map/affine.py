"""An affine operator given by an explicit matrix and constant, the counterpart of `Dense`."""

from __future__ import annotations

import torch
from torch import Tensor

from lmaps.engine.operators.base import AffineOperator, Spectrum

from .dense import Dense


class Shifted(AffineOperator):
    """y = A vec(x) + b. Its measurements are those of `dense`, shifted by b."""

    def __init__(self, dense: Dense) -> None:
        super().__init__()
        self.dense = dense
        generator = torch.Generator().manual_seed(11)
        self.b = torch.randn(len(dense.matrix), generator=generator, dtype=torch.float64)

    def tangent(self, d: Tensor) -> Tensor:
        return self.dense(d)

    def constant(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return self.b.to(like.dtype)

    def adjoint(self, u: Tensor) -> Tensor:
        return self.dense.adjoint(u)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        return self.dense.picture_shape(y)

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum | None:
        return self.dense.spectrum(shape)
