"""GroupNorm, scale-shift and SiLU in channels-last memory, float32 statistics.

    h = (x - mean_g) / sqrt(var_g + eps) * weight + bias
    h = h * (1 + scale) + shift          if scale and shift [B, C] are given (the time embedding of a diffusion U-Net)
    h = h * sigmoid(h)                   if silu

Small groups (H W C/G <= 8192 numbers) take one launch that reads x once. Larger ones take two, with x read twice:
statistics of up to 128 stretches of rows, then normalise, in which every program first merges the stretches (mean
and squared deviations by Chan's formula: no cancellation, and no atomics, so the result never varies).
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import arguments
from ._triton import cdiv, jit, launch, next_power_of_2, tl

SMALL = 8192
STRETCHES = 128
TILE = 4096


@jit
def _finish(
    x: tl.tensor,
    mean: tl.tensor,
    rstd: tl.tensor,
    channel: tl.tensor,
    valid: tl.tensor,
    image: tl.tensor,
    channels: tl.tensor,
    weight_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    shift_ptr: tl.tensor,
    MODULATED: tl.constexpr,
    SILU: tl.constexpr,
) -> tl.tensor:
    """The affine part and SiLU. channel, valid, mean and rstd broadcast against x."""
    slope = rstd * tl.load(weight_ptr + channel, mask=valid, other=0.0).to(tl.float32)
    offset = tl.load(bias_ptr + channel, mask=valid, other=0.0).to(tl.float32)
    if MODULATED:
        here = image.to(tl.int64) * channels + channel
        one_plus = 1.0 + tl.load(scale_ptr + here, mask=valid, other=0.0).to(tl.float32)
        slope *= one_plus
        offset = offset * one_plus + tl.load(shift_ptr + here, mask=valid, other=0.0).to(tl.float32)
    h = (x - mean) * slope + offset
    if SILU:
        h = h / (1.0 + tl.exp(-h))
    return h


@jit
def _small_kernel(
    x_ptr: tl.tensor,
    out_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    shift_ptr: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    groups: tl.tensor,
    eps: tl.constexpr,
    WIDTH: tl.constexpr,
    MODULATED: tl.constexpr,
    SILU: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """One program a group of one image: [ROWS, COLUMNS] numbers in registers."""
    program = tl.program_id(0)
    image = program // groups
    channel = (program - image * groups) * WIDTH + tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)[:, None]
    valid = tl.arange(0, COLUMNS)[None, :] < WIDTH
    inside = (row < rows) & valid
    here = (image.to(tl.int64) * rows + row) * channels + channel
    x = tl.load(x_ptr + here, mask=inside, other=0.0).to(tl.float32)
    count = tl.cast(rows * WIDTH, tl.float32)
    mean = tl.sum(tl.sum(x, axis=1), axis=0) / count
    deviation = tl.where(inside, x - mean, 0.0)
    variance = tl.sum(tl.sum(deviation * deviation, axis=1), axis=0) / count
    rstd = 1.0 / tl.sqrt_rn(variance + eps)
    h = _finish(
        x, mean, rstd, channel, valid, image, channels, weight_ptr, bias_ptr, scale_ptr, shift_ptr, MODULATED, SILU
    )
    tl.store(out_ptr + here, h.to(out_ptr.dtype.element_ty), mask=inside)


@jit
def _statistics_kernel(
    x_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    groups: tl.tensor,
    stretches: tl.tensor,
    WIDTH: tl.constexpr,
    STRETCH: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Mean and sum of squared deviations of each group over one stretch of rows of one image."""
    program = tl.program_id(0)
    image = program // stretches
    start = (program - image * stretches) * STRETCH
    group = tl.arange(0, GROUPS)
    column = tl.arange(0, COLUMNS)
    channel = group[None, :, None] * WIDTH + column[None, None, :]
    valid = (group[None, :, None] < groups) & (column[None, None, :] < WIDTH)
    seen = tl.zeros((), dtype=tl.float32)
    mean = tl.zeros((GROUPS,), dtype=tl.float32)
    square = tl.zeros((GROUPS,), dtype=tl.float32)
    for tile in range(0, STRETCH, ROWS):
        row = start + tile + tl.arange(0, ROWS)[:, None, None]
        inside = (row < tl.minimum(rows, start + STRETCH)) & valid
        here = (image.to(tl.int64) * rows + row) * channels + channel
        x = tl.load(x_ptr + here, mask=inside, other=0.0).to(tl.float32)
        count = tl.maximum(tl.minimum(tl.minimum(rows, start + STRETCH) - start - tile, ROWS), 0) * WIDTH
        new = tl.cast(count, tl.float32)
        tile_mean = tl.sum(tl.sum(x, axis=2), axis=0) / tl.maximum(new, 1.0)
        deviation = tl.where(inside, x - tile_mean[None, :, None], 0.0)
        total = tl.maximum(seen + new, 1.0)
        delta = tile_mean - mean
        square += tl.sum(tl.sum(deviation * deviation, axis=2), axis=0) + delta * delta * (seen * new / total)
        mean += delta * (new / total)
        seen += new
    target = partial_ptr + (program.to(tl.int64) * groups + group) * 2
    tl.store(target, mean, mask=group < groups)
    tl.store(target + 1, square, mask=group < groups)


@jit
def _normalise_kernel(
    x_ptr: tl.tensor,
    out_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    bias_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    shift_ptr: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    groups: tl.tensor,
    stretches: tl.tensor,
    eps: tl.constexpr,
    WIDTH: tl.constexpr,
    MODULATED: tl.constexpr,
    SILU: tl.constexpr,
    STRETCH: tl.constexpr,
    STRETCHES: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Merge the statistics of all stretches, then normalise one stretch."""
    program = tl.program_id(0)
    image = program // stretches
    start = (program - image * stretches) * STRETCH
    group = tl.arange(0, GROUPS)
    part = tl.arange(0, STRETCHES)
    count = tl.maximum(tl.minimum(rows - part * STRETCH, STRETCH), 0).to(tl.float32)[:, None] * WIDTH
    source = partial_ptr + ((image.to(tl.int64) * stretches + part[:, None]) * groups + group[None, :]) * 2
    known = (part[:, None] < stretches) & (group[None, :] < groups)
    means = tl.load(source, mask=known, other=0.0)
    squares = tl.load(source + 1, mask=known, other=0.0)
    total = tl.cast(rows * WIDTH, tl.float32)
    mean = tl.sum(means * count, axis=0) / total
    delta = means - mean[None, :]
    variance = (tl.sum(squares, axis=0) + tl.sum(delta * delta * count, axis=0)) / total
    rstd = 1.0 / tl.sqrt_rn(variance + eps)
    column = tl.arange(0, COLUMNS)
    channel = group[None, :, None] * WIDTH + column[None, None, :]
    valid = (group[None, :, None] < groups) & (column[None, None, :] < WIDTH)
    for tile in range(0, STRETCH, ROWS):
        row = start + tile + tl.arange(0, ROWS)[:, None, None]
        inside = (row < tl.minimum(rows, start + STRETCH)) & valid
        here = (image.to(tl.int64) * rows + row) * channels + channel
        x = tl.load(x_ptr + here, mask=inside, other=0.0).to(tl.float32)
        h = _finish(
            x,
            mean[None, :, None],
            rstd[None, :, None],
            channel,
            valid,
            image,
            channels,
            weight_ptr,
            bias_ptr,
            scale_ptr,
            shift_ptr,
            MODULATED,
            SILU,
        )
        tl.store(out_ptr + here, h.to(out_ptr.dtype.element_ty), mask=inside)


def apply(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    eps: float = 1e-5,
    silu: bool = True,
    out: Tensor | None = None,
    small: int = SMALL,
    stretches: int = STRETCHES,
    tile: int = TILE,
) -> Tensor:
    """h, [B, C, H, W] in channels-last memory and the dtype of x (float32, float16 or bfloat16). `out` may be x.

    weight, bias: [C]; scale, shift: [B, C]; any floating dtype.
    Raises ValueError for other memory formats and for a C that `groups` does not divide, TypeError for other dtypes.
    """
    b, c, rows = _checked(x, groups, weight, bias, scale, shift)
    out = torch.empty_like(x) if out is None else out
    if out.shape != x.shape or out.dtype != x.dtype or not out.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"out must be {x.dtype} {tuple(x.shape)} in channels-last memory like x")
    width, modulated = c // groups, scale is not None
    columns = next_power_of_2(width)
    affine = (weight, bias, weight if scale is None else scale, bias if shift is None else shift)
    common = {"WIDTH": width, "COLUMNS": columns}
    style = {"eps": float(eps), "MODULATED": modulated, "SILU": silu}
    if next_power_of_2(rows) * columns <= small:
        launch(
            _small_kernel, b * groups, x, out, *affine, rows, c, groups, ROWS=next_power_of_2(rows), **common, **style
        )
        return out
    common["GROUPS"] = next_power_of_2(groups)
    common["ROWS"] = max(1, tile // (common["GROUPS"] * columns))
    common["STRETCH"] = cdiv(cdiv(rows, stretches), common["ROWS"]) * common["ROWS"]
    count = cdiv(rows, common["STRETCH"])
    partial = torch.empty((b, count, groups, 2), dtype=torch.float32, device=x.device)
    sizes = (rows, c, groups, count)
    launch(_statistics_kernel, b * count, x, partial, *sizes, **common, num_warps=8)
    common["STRETCHES"] = next_power_of_2(count)
    launch(_normalise_kernel, b * count, x, out, partial, *affine, *sizes, **common, **style, num_warps=8)
    return out


def _checked(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, scale: Tensor | None, shift: Tensor | None
) -> tuple[int, int, int]:
    b, c, h, w = arguments.pictures("x", x)
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"x must be float32, float16 or bfloat16, got {x.dtype}")
    if not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"x must be in channels-last memory, got strides {x.stride()} for shape {tuple(x.shape)}")
    if groups < 1 or c % groups:
        raise ValueError(f"groups must divide the {c} channels, got {groups}")
    if (scale is None) != (shift is None):
        raise ValueError("scale and shift go together: give both or neither")
    vectors = {"weight": (weight, (c,)), "bias": (bias, (c,)), "scale": (scale, (b, c)), "shift": (shift, (b, c))}
    for name, (tensor, shape) in vectors.items():
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point {shape}, got {tensor.dtype} {tuple(tensor.shape)}")
        arguments.contiguous(name, tensor, x.device)
    return b, c, h * w


def apply_twin(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    eps: float = 1e-5,
    silu: bool = True,
) -> Tensor:
    """The formula, in the dtype of x (float64 for tests), any memory format."""
    b, c = x.shape[:2]
    grouped = x.reshape(b, groups, -1)
    mean = grouped.mean(dim=2, keepdim=True)
    variance = (grouped - mean).square().mean(dim=2, keepdim=True)
    h = ((grouped - mean) / torch.sqrt(variance + eps)).reshape(x.shape)
    h = h * weight.to(x.dtype).view(1, c, 1, 1) + bias.to(x.dtype).view(1, c, 1, 1)
    if scale is not None and shift is not None:
        h = h * (1 + scale.to(x.dtype).view(b, c, 1, 1)) + shift.to(x.dtype).view(b, c, 1, 1)
    return h * torch.sigmoid(h) if silu else h
