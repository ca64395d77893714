"""A linear operator given by an explicit matrix: the independent truth that strategies are held against."""

from __future__ import annotations

import torch
from torch import Tensor

from lmaps.engine.operators.base import LinearOperator, Spectrum


class Dense(LinearOperator):
    """y = A vec(x) for pictures of one shape [C, H, W]; with `diagonal`, it also offers the basis of A^T A."""

    def __init__(self, matrix: Tensor, shape: tuple[int, int, int], diagonal: bool) -> None:
        super().__init__()
        self.matrix, self.shape, self.diagonal = matrix, shape, diagonal

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.to(x.dtype).T

    def adjoint(self, u: Tensor) -> Tensor:
        return (u @ self.matrix.to(u.dtype)).reshape(-1, *self.shape)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        return (y.shape[0], *self.shape)

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum | None:
        if not self.diagonal:
            return None
        _, s, vt = torch.linalg.svd(self.matrix.double(), full_matrices=True)
        lam = torch.zeros(vt.shape[0], dtype=torch.float64)
        lam[: len(s)] = s**2
        return Spectrum(
            to_basis=lambda x: x.flatten(1) @ vt.to(x.dtype).T,
            from_basis=lambda c: (c @ vt.to(c.dtype)).reshape(-1, *self.shape),
            eigenvalues=lam,
        )


def wide(rows: int, shape: tuple[int, int, int], diagonal: bool) -> Dense:
    """A random matrix with largest singular value 1."""
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn((rows, shape[0] * shape[1] * shape[2]), generator=generator, dtype=torch.float64)
    return Dense(matrix / torch.linalg.matrix_norm(matrix, 2), shape, diagonal)
