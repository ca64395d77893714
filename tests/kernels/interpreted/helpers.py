"""Shared by the interpreter's tests."""

import torch
from torch import Tensor

from lmaps.kernels import schedule

TOLERANCE = 2e-6


def error(out: Tensor, reference: Tensor) -> float:
    """Relative RMS error; NaN anywhere makes it NaN, which no bound passes."""
    out, reference = (torch.view_as_real(t) if t.is_complex() else t for t in (out, reference))
    return float(torch.linalg.vector_norm(out.double() - reference) / torch.linalg.vector_norm(reference))


def poisoned(like: Tensor) -> Tensor:
    """A buffer of NaN: whatever a kernel leaves unwritten shows."""
    return torch.full_like(like, float("nan"))


def guarded(like: Tensor) -> tuple[Tensor, Tensor]:
    """(a contiguous poisoned view, the larger buffer around it, whose margins must stay as they are)."""
    buffer = torch.full((like.numel() + 64,), 7.0, dtype=like.dtype)
    view = buffer[32:-32].view(like.shape)
    view.fill_(float("nan"))
    return view, buffer


def margins_untouched(buffer: Tensor) -> bool:
    return bool((buffer[:32] == 7).all() and (buffer[-32:] == 7).all())


def table() -> Tensor:
    """Three steps: nearly all data, even, nearly all prior."""
    return schedule.table(
        r=[0.99999, 0.5, 0.01],
        k2=1.5,
        eta=0.5,
        sigma=[3.0, 2.0, 1.0],
        sigma_next=[2.0, 1.0, 0.5],
        rho=[1.0, 0.6, 0.0],
        scale=0.3,
    )


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 1
