"""The filter of the closed form, applied between the two transforms of the basis in which H^T H is diagonal.

    c <- c + q(m) r k2 (b - lam c),      m = (1 - r) + r k2 lam,      q(m) = (1 - (1 - eta m)^K) / m

c: coefficients of xhat, b: of H^T y, lam: eigenvalues of H^T H. See `filter` for q.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import arguments, schedule
from ._triton import cdiv, jit, launch, tl
from .filter import filter_gain, filter_gain_twin
from .planes import plane_block, shared_plane
from .schedule import inner_constants

BLOCK = 1024


@jit
def _spectral_kernel(
    c_ptr: tl.tensor,
    b_ptr: tl.tensor,
    lam_ptr: tl.tensor,
    out_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    size: tl.tensor,
    channels: tl.tensor,
    lam_batch: tl.tensor,
    lam_channel: tl.tensor,
    STEPS: tl.constexpr,
    PARTS: tl.constexpr,
    CORRECTION: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    keep, gain, eta = inner_constants(table_ptr, step_ptr)
    plane, offsets, inside = plane_block(size, BLOCK)
    here = plane * size + offsets
    lam_here = shared_plane(plane, channels, lam_batch, lam_channel) + offsets // PARTS
    lam = tl.load(lam_ptr + lam_here, mask=inside, other=0.0)
    c = tl.load(c_ptr + here, mask=inside, other=0.0)
    b = tl.load(b_ptr + here, mask=inside, other=0.0)
    q = filter_gain(keep + gain * lam, eta, STEPS)
    change = q * gain * (b - lam * c)
    tl.store(out_ptr + here, change if CORRECTION else c + change, mask=inside)


def apply(
    c: Tensor,
    b: Tensor,
    lam: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int | None,
    *,
    correction: bool = False,
    out: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """Filtered coefficients. c, b: float32 or complex64 [B, C, ...]; lam: float32 [1 or B, 1 or C, ...], >= 0.

    inner=None gives the exact minimiser. `out` may be c. Complex numbers are handled as interleaved pairs.
    correction: only what is added to c. For a basis of the directions that H sees, and so that rounding is relative to the
    correction, not to the picture.
    """
    if c.dtype not in (torch.float32, torch.complex64):
        raise TypeError(f"c must be float32 or complex64, got {c.dtype}")
    if c.ndim < 2:
        raise ValueError(f"c must be [B, C, ...], got shape {tuple(c.shape)}")
    arguments.same_shape(c, b=b)
    if b.dtype != c.dtype:
        raise TypeError(f"b must be {c.dtype} like c, got {b.dtype}")
    strides = arguments.plane_strides("lam", lam, c.shape)
    out = arguments.output(out, c)
    pairs = [torch.view_as_real(t) if t.is_complex() else t for t in (c, b, out)]
    arguments.float32(c=pairs[0], b=pairs[1], lam=lam)
    rows, index = schedule.checked(table, step, c.device)
    size = pairs[0][0, 0].numel()
    programs = c.shape[0] * c.shape[1] * cdiv(size, block)
    parts = 2 if c.is_complex() else 1
    launch(
        _spectral_kernel,
        programs,
        pairs[0],
        pairs[1],
        lam,
        pairs[2],
        rows,
        index,
        size,
        c.shape[1],
        *strides,
        STEPS=arguments.inner_steps(inner),
        PARTS=parts,
        CORRECTION=correction,
        BLOCK=block,
    )
    return out


def apply_twin(c: Tensor, b: Tensor, lam: Tensor, table: Tensor, step: int | Tensor, inner: int | None) -> Tensor:
    """The formula, in the precision of c."""
    keep, gain, eta, *_ = schedule.row(table, step, c.real.dtype)
    lam = lam.to(keep.dtype)
    return c + filter_gain_twin(keep + gain * lam, eta, inner) * gain * (b - lam * c)
