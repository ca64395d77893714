"""All K steps for the operators that act on each pixel alone and are not linear: one load, one store.

x <- x - eta * [(1 - r)(x - xhat) + r k2 J^T (H(x) - y)],      x_0 = xhat

HDR:       H(x) = clip(scale x, -1, 1);    J = scale where |scale x| <= 1, else 0, or the surrogate J = I (Eq. 17)
Quantise:  H(x) = 2 floor(u L + 1/2) / L - 1,  u = (x + 1)/2,  L = 2^bits - 1;    J = I                  (Eq. 32)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import arguments, schedule
from ._triton import cdiv, jit, launch, tl
from .planes import plane_block
from .schedule import inner_constants

BLOCK = 512


@jit
def _hdr_kernel(
    xhat_ptr: tl.tensor,
    y_ptr: tl.tensor,
    out_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    size: tl.tensor,
    STEPS: tl.constexpr,
    SCALE: tl.constexpr,
    SURROGATE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    keep, gain, eta = inner_constants(table_ptr, step_ptr)
    plane, offsets, inside = plane_block(size, BLOCK)
    here = plane * size + offsets
    xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
    y = tl.load(y_ptr + here, mask=inside, other=0.0)
    x = xhat
    for _ in range(STEPS):
        scaled = SCALE * x
        pull = gain * (tl.minimum(tl.maximum(scaled, -1.0), 1.0) - y)
        if not SURROGATE:
            pull = tl.where(tl.abs(scaled) <= 1.0, SCALE * pull, 0.0)
        x -= eta * (keep * (x - xhat) + pull)
    tl.store(out_ptr + here, x, mask=inside)


@jit
def _quantise_kernel(
    xhat_ptr: tl.tensor,
    y_ptr: tl.tensor,
    out_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    size: tl.tensor,
    STEPS: tl.constexpr,
    LEVELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    keep, gain, eta = inner_constants(table_ptr, step_ptr)
    plane, offsets, inside = plane_block(size, BLOCK)
    here = plane * size + offsets
    xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
    y = tl.load(y_ptr + here, mask=inside, other=0.0)
    x = xhat
    for _ in range(STEPS):
        level = tl.floor((x + 1.0) * (0.5 * LEVELS) + 0.5)
        x -= eta * (keep * (x - xhat) + gain * (level * (2.0 / LEVELS) - 1.0 - y))
    tl.store(out_ptr + here, x, mask=inside)


def hdr(
    xhat: Tensor,
    y: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    scale: float = 2.0,
    surrogate: bool = False,
    out: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """K steps for HDR. xhat, y: float32 [B, C, H, W] in [-1, 1] units. `out` may be xhat."""
    options = {"SCALE": float(scale), "SURROGATE": surrogate}
    return _run(_hdr_kernel, xhat, y, table, step, inner, out, block, options)


def quantise(
    xhat: Tensor,
    y: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    bits: int = 2,
    out: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """K steps for quantisation to 2^bits levels, surrogate J = I. Arguments as for `hdr`."""
    if not 1 <= bits <= 16:
        raise ValueError(f"bits must be from 1 to 16, got {bits}")
    return _run(_quantise_kernel, xhat, y, table, step, inner, out, block, {"LEVELS": 2**bits - 1})


def _run(
    kernel: Any,
    xhat: Tensor,
    y: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    out: Tensor | None,
    block: int,
    options: dict[str, float | bool],
) -> Tensor:
    arguments.float32(xhat=xhat, y=y)
    b, c, h, w = arguments.pictures("xhat", xhat)
    arguments.same_shape(xhat, y=y)
    rows, index = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    steps = arguments.at_least_one(inner)
    programs = b * c * cdiv(h * w, block)
    launch(kernel, programs, xhat, y, out, rows, index, h * w, STEPS=steps, **options, BLOCK=block)
    return out


def hdr_twin(
    xhat: Tensor,
    y: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    scale: float = 2.0,
    surrogate: bool = False,
) -> Tensor:
    """The plain loop, in the dtype of xhat."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    x = xhat
    for _ in range(inner):
        jacobian = 1.0 if surrogate else scale * ((scale * x).abs() <= 1).to(x.dtype)
        x = x - eta * (keep * (x - xhat) + gain * jacobian * ((scale * x).clamp(-1, 1) - y))
    return x


def quantise_twin(xhat: Tensor, y: Tensor, table: Tensor, step: int | Tensor, inner: int, *, bits: int = 2) -> Tensor:
    """The plain loop, in the dtype of xhat."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    levels = 2**bits - 1
    x = xhat
    for _ in range(inner):
        measured = 2 * torch.floor((x + 1) / 2 * levels + 0.5) / levels - 1
        x = x - eta * (keep * (x - xhat) + gain * (measured - y))
    return x
