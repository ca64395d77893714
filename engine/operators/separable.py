"""A linear map that works on rows and columns apart: H x = R x C^T, two small matrix products."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from .. import inference
from .base import Spectrum

# Singular values below this fraction of the largest count as zero in the pseudo-inverse.
CUTOFF = 1e-3
# A direction whose eigenvalue is below this fraction of the largest is not seen: K gradient steps change it by less than
# float32 can show.
UNSEEN = 1e-10


class Axis:
    """One axis of a separable map: a matrix A [m, n], float64 on the CPU, and what is derived from it on demand."""

    def __init__(self, matrix: Tensor) -> None:
        self.forward = matrix.to(torch.float64)

    @cached_property
    def adjoint(self) -> Tensor:
        return self.forward.mT

    @cached_property
    def normal(self) -> Tensor:
        return self.forward.mT @ self.forward

    @cached_property
    def pinv(self) -> Tensor:
        inverse: Tensor = torch.linalg.pinv(self.forward, rtol=CUTOFF)
        return inverse

    @cached_property
    @inference.left()
    def _svd(self) -> tuple[Tensor, Tensor]:
        _, s, vh = torch.linalg.svd(self.forward, full_matrices=True)
        eigenvalues = torch.zeros(self.forward.shape[1], dtype=torch.float64)
        eigenvalues[: s.numel()] = s.square()
        return eigenvalues, vh

    @property
    def eigenvalues(self) -> Tensor:
        """Squared singular values [n], zeros included."""
        return self._svd[0]

    @property
    def seen(self) -> int:
        """How many directions H sees; they come first."""
        return int((self.eigenvalues > UNSEEN * self.eigenvalues[0]).sum())

    @property
    def to_basis(self) -> Tensor:
        return self._svd[1]

    @property
    def from_basis(self) -> Tensor:
        return self._svd[1].mT

    @property
    def to_seen(self) -> Tensor:
        return self._svd[1][: self.seen]

    @property
    def from_seen(self) -> Tensor:
        return self._svd[1][: self.seen].mT


class AxisPair:
    """x [..., H, W] -> R x C^T [..., h, w] for R [h, H] and C [w, W].

    With R = U_R S_R V_R^T and C = U_C S_C V_C^T, H^T H is diagonal in the basis V_R^T x V_C with eigenvalues
    S_R^2 (outer) S_C^2: exact for any border, in two products a side.
    """

    def __init__(self, rows: Axis, columns: Axis) -> None:
        self.rows, self.columns = rows, columns
        self._cast: dict[tuple[str, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    @property
    def measurement_size(self) -> tuple[int, int]:
        return self.rows.forward.shape[0], self.columns.forward.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return self._apply("forward", x)

    def adjoint(self, u: Tensor) -> Tensor:
        return self._apply("adjoint", u)

    def normal(self, x: Tensor) -> Tensor:
        # Through the small measurement when it is at most half as long, else by R^T R and C^T C.
        m, n = self.rows.forward.shape
        return self.adjoint(self.forward(x)) if 2 * m <= n else self._apply("normal", x)

    def pinv(self, y: Tensor) -> Tensor:
        return self._apply("pinv", y)

    def spectrum(self, device: torch.device) -> Spectrum:
        eigenvalues = (self.rows.eigenvalues[:, None] * self.columns.eigenvalues)[None, None].to(device)
        seen = Spectrum(
            to_basis=lambda x: self._apply("to_seen", x),
            from_basis=lambda c: self._apply("from_seen", c),
            eigenvalues=eigenvalues[..., : self.rows.seen, : self.columns.seen],
        )
        return Spectrum(
            to_basis=lambda x: self._apply("to_basis", x),
            from_basis=lambda c: self._apply("from_basis", c),
            eigenvalues=eigenvalues,
            seen=seen,
        )

    def _apply(self, name: str, x: Tensor) -> Tensor:
        key = (name, x.dtype, x.device)
        pair = self._cast.get(key)
        if pair is None:
            pair = self._cast[key] = self._like(name, x)
        left, right = pair
        # A wide matrix shrinks the picture: let it go first, a tall one last.
        if left.shape[0] < left.shape[1]:
            return torch.matmul(left, x) @ right
        return torch.matmul(left, x @ right)

    @inference.left()
    def _like(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = getattr(self.rows, name), getattr(self.columns, name).mT
        return left.to(x.device, x.dtype).contiguous(), right.to(x.device, x.dtype).contiguous()
