"""Scale-shift and SiLU in channels-last memory: what stands between the two convolutions of a block without a norm.

    h = x * (1 + scale) + shift,    scale and shift [B, C] from the noise level
    h = h * sigmoid(h)              if silu

One launch that reads x once and writes h once; plain torch takes four.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import arguments
from ._triton import cdiv, jit, launch, next_power_of_2, tl

BLOCK = 2048


@jit
def _modulate_kernel(
    x_ptr: tl.tensor,
    out_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    shift_ptr: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    scale_stride: tl.tensor,
    shift_stride: tl.tensor,
    blocks: tl.tensor,
    SILU: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """One program ROWS pixels of one image, all channels."""
    program = tl.program_id(0)
    image = program // blocks
    row = (program - image * blocks) * ROWS + tl.arange(0, ROWS)[:, None]
    channel = tl.arange(0, COLUMNS)[None, :]
    valid = channel < channels
    inside = (row < rows) & valid
    here = (image.to(tl.int64) * rows + row) * channels + channel
    x = tl.load(x_ptr + here, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(scale_ptr + image.to(tl.int64) * scale_stride + channel, mask=valid, other=0.0).to(tl.float32)
    shift = tl.load(shift_ptr + image.to(tl.int64) * shift_stride + channel, mask=valid, other=0.0).to(tl.float32)
    h = x * (1.0 + scale) + shift
    if SILU:
        h = h / (1.0 + tl.exp(-h))
    tl.store(out_ptr + here, h.to(out_ptr.dtype.element_ty), mask=inside)


def apply(
    x: Tensor, scale: Tensor, shift: Tensor, *, silu: bool = True, out: Tensor | None = None, block: int = BLOCK
) -> Tensor:
    """h, [B, C, H, W] in channels-last memory and the dtype of x (float32, float16 or bfloat16). `out` may be x.

    scale, shift: [B, C] of any floating dtype; rows may lie apart (the halves of one [B, 2 C]), their channels not.
    Raises ValueError for other memory formats, TypeError for other dtypes.
    """
    b, c, h, w = arguments.pictures("x", x)
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"x must be float32, float16 or bfloat16, got {x.dtype}")
    out = torch.empty_like(x) if out is None else out
    for name, tensor in (("x", x), ("out", out)):
        if not tensor.is_contiguous(memory_format=torch.channels_last):
            raise ValueError(f"{name} must be in channels-last memory, got strides {tensor.stride()}")
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out must be {x.dtype} {tuple(x.shape)} like x, got {out.dtype} {tuple(out.shape)}")
    for name, vector in (("scale", scale), ("shift", shift)):
        if tuple(vector.shape) != (b, c) or not vector.is_floating_point() or (c > 1 and vector.stride(1) != 1):
            raise ValueError(
                f"{name} must be floating point {(b, c)} with its channels side by side, got {vector.dtype} "
                f"{tuple(vector.shape)} with strides {vector.stride()}"
            )
        if vector.device != x.device:
            raise ValueError(f"{name} is on {vector.device}, x on {x.device}: they must share a device")
    columns = next_power_of_2(c)
    rows = max(1, block // columns)
    blocks = cdiv(h * w, rows)
    sizes = (h * w, c, scale.stride(0), shift.stride(0), blocks)
    launch(_modulate_kernel, b * blocks, x, out, scale, shift, *sizes, SILU=silu, ROWS=rows, COLUMNS=columns)
    return out


def apply_twin(x: Tensor, scale: Tensor, shift: Tensor, *, silu: bool = True) -> Tensor:
    """The formula, in the dtype of x (float64 for tests), any memory format."""
    h = x * (1 + scale.to(x.dtype)[:, :, None, None]) + shift.to(x.dtype)[:, :, None, None]
    return h * torch.sigmoid(h) if silu else h
