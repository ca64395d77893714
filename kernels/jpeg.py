"""All K steps for JPEG, whole macroblocks on chip: one load, one store.

    x <- x - eta * [(1 - r)(x - xhat) + r k2 (H(x) - y)],   x_0 = xhat,   H = decode(encode(x)),   J = I      (Eq. 17)

    encode: 255 (x + 1)/2 -> Y - 128, Cb, Cr -> chroma decimated or averaged -> 8x8 DCT-II -> round to even c / table
    decode: times the table, inverse DCT, chroma repeated, RGB, back to [-1, 1]; no clipping, no rounding to 8 bits

A program, one warp, holds the 256 pixels of a few macroblocks of 8 down x 8 across pixels each. The DCT of a line of
eight pixels takes 22 multiplications within a thread; lines and columns change places through shared memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from . import arguments, schedule
from ._triton import cdiv, jit, launch, tl
from .schedule import inner_constants

# JFIF's four digits, as in the reference implementations; decoding uses the exact inverse.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2), "4:4:0": (2, 1), "4:1:1": (1, 4)}
PIXELS = 256
WARPS = 1


@dataclass(frozen=True)
class Plan:
    """The constants of one JPEG setting on a device. tables: float32 [3, 8, 8] for Y, Cb, Cr."""

    tables: Tensor
    down: int
    across: int
    average: bool


def plan(
    tables: Tensor, subsampling: str = "4:2:0", *, average: bool = False, device: torch.device | str = "cpu"
) -> Plan:
    """tables: [3, 8, 8] for Y, Cb, Cr, >= 1. subsampling: a key of SUBSAMPLING. average: mean of chroma, not
    decimation.
    """
    if subsampling not in SUBSAMPLING:
        raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLING)}, got {subsampling!r}")
    if tuple(tables.shape) != (3, 8, 8) or not bool((tables >= 1).all()):
        raise ValueError(f"tables must be [3, 8, 8] with entries of at least 1, got shape {tuple(tables.shape)}")
    on_device = tables.to(device=device, dtype=torch.float32).contiguous()
    return Plan(on_device, *SUBSAMPLING[subsampling], average)


@jit
def _split8(lines: tl.tensor, LINES: tl.constexpr) -> tl.tensor:
    """[LINES, 8] -> its eight columns."""
    even, odd = tl.split(tl.reshape(lines, (LINES, 2, 2, 2)))
    x04, x26 = tl.split(even)
    x15, x37 = tl.split(odd)
    x0, x4 = tl.split(x04)
    x2, x6 = tl.split(x26)
    x1, x5 = tl.split(x15)
    x3, x7 = tl.split(x37)
    return x0, x1, x2, x3, x4, x5, x6, x7


@jit
def _join8(
    x0: tl.tensor,
    x1: tl.tensor,
    x2: tl.tensor,
    x3: tl.tensor,
    x4: tl.tensor,
    x5: tl.tensor,
    x6: tl.tensor,
    x7: tl.tensor,
    LINES: tl.constexpr,
) -> tl.tensor:
    """Eight columns -> [LINES, 8]."""
    even = tl.join(tl.join(x0, x4), tl.join(x2, x6))
    odd = tl.join(tl.join(x1, x5), tl.join(x3, x7))
    return tl.reshape(tl.join(even, odd), (LINES, 8))


@jit
def _dct_lines(lines: tl.tensor, LINES: tl.constexpr) -> tl.tensor:
    """Orthonormal DCT-II of each line [LINES, 8], even and odd halves apart; 1/2 cos(k pi/16) are the numbers."""
    x0, x1, x2, x3, x4, x5, x6, x7 = _split8(lines, LINES)
    d0, d1, d2, d3 = x0 - x7, x1 - x6, x2 - x5, x3 - x4
    s0, s1, s2, s3 = x0 + x7, x1 + x6, x2 + x5, x3 + x4
    e0, e1, f0, f1 = s0 + s3, s1 + s2, s0 - s3, s1 - s2
    return _join8(
        0.35355339059327373 * (e0 + e1),
        0.4903926402016152 * d0 + 0.4157348061512726 * d1 + 0.2777851165098011 * d2 + 0.09754516100806417 * d3,
        0.46193976625564337 * f0 + 0.19134171618254492 * f1,
        0.4157348061512726 * d0 - 0.09754516100806417 * d1 - 0.4903926402016152 * d2 - 0.2777851165098011 * d3,
        0.35355339059327373 * (e0 - e1),
        0.2777851165098011 * d0 - 0.4903926402016152 * d1 + 0.09754516100806417 * d2 + 0.4157348061512726 * d3,
        0.19134171618254492 * f0 - 0.46193976625564337 * f1,
        0.09754516100806417 * d0 - 0.2777851165098011 * d1 + 0.4157348061512726 * d2 - 0.4903926402016152 * d3,
        LINES,
    )


@jit
def _idct_lines(lines: tl.tensor, LINES: tl.constexpr) -> tl.tensor:
    """The transpose of `_dct_lines`, which is its inverse."""
    c0, c1, c2, c3, c4, c5, c6, c7 = _split8(lines, LINES)
    e0, e1 = 0.35355339059327373 * (c0 + c4), 0.35355339059327373 * (c0 - c4)
    f0 = 0.46193976625564337 * c2 + 0.19134171618254492 * c6
    f1 = 0.19134171618254492 * c2 - 0.46193976625564337 * c6
    s0, s1, s2, s3 = e0 + f0, e1 + f1, e1 - f1, e0 - f0
    d0 = 0.4903926402016152 * c1 + 0.4157348061512726 * c3 + 0.2777851165098011 * c5 + 0.09754516100806417 * c7
    d1 = 0.4157348061512726 * c1 - 0.09754516100806417 * c3 - 0.4903926402016152 * c5 - 0.2777851165098011 * c7
    d2 = 0.2777851165098011 * c1 - 0.4903926402016152 * c3 + 0.09754516100806417 * c5 + 0.4157348061512726 * c7
    d3 = 0.09754516100806417 * c1 - 0.2777851165098011 * c3 + 0.4157348061512726 * c5 - 0.4903926402016152 * c7
    return _join8(s0 + d0, s1 + d1, s2 + d2, s3 + d3, s3 - d3, s2 - d2, s1 - d1, s0 - d0, LINES)


@jit
def _quantised(blocks: tl.tensor, table: tl.tensor, BLOCKS: tl.constexpr) -> tl.tensor:
    """[BLOCKS, 8 rows, 8 columns] through DCT, rounding to multiples of the table, and back.

    Coefficients stand transposed between the two halves, and so does the table [1, 8, 8]. Adding 1.5 * 2^23 rounds
    half to even.
    """
    LINES: tl.constexpr = 8 * BLOCKS
    c = _dct_lines(tl.reshape(blocks, (LINES, 8)), LINES)
    c = tl.reshape(tl.permute(tl.reshape(c, (BLOCKS, 8, 8)), (0, 2, 1)), (LINES, 8))
    c = tl.reshape(_dct_lines(c, LINES), (BLOCKS, 8, 8))
    c = ((tl.div_rn(c, tl.broadcast_to(table, c.shape)) + 12582912.0) - 12582912.0) * table
    c = _idct_lines(tl.reshape(c, (LINES, 8)), LINES)
    c = tl.reshape(tl.permute(tl.reshape(c, (BLOCKS, 8, 8)), (0, 2, 1)), (LINES, 8))
    return tl.reshape(_idct_lines(c, LINES), (BLOCKS, 8, 8))


@jit
def _luma(plane: tl.tensor, table: tl.tensor, M: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr) -> tl.tensor:
    """M macroblocks of luminance [M, 8 DOWN, 8 ACROSS] quantised."""
    blocks = tl.permute(tl.reshape(plane, (M * DOWN, 8, ACROSS, 8)), (0, 2, 1, 3))
    blocks = _quantised(tl.reshape(blocks, (M * DOWN * ACROSS, 8, 8)), table, M * DOWN * ACROSS)
    blocks = tl.permute(tl.reshape(blocks, (M * DOWN, ACROSS, 8, 8)), (0, 2, 1, 3))
    return tl.reshape(blocks, (M, 8 * DOWN, 8 * ACROSS))


@jit
def _chroma(
    plane: tl.tensor,
    table: tl.tensor,
    M: tl.constexpr,
    DOWN: tl.constexpr,
    ACROSS: tl.constexpr,
    AVERAGE: tl.constexpr,
) -> tl.tensor:
    """M macroblocks of chroma [M, 8 DOWN, 8 ACROSS] subsampled, quantised and repeated."""
    groups = tl.reshape(plane, (M * 8, DOWN, 8, ACROSS))
    if AVERAGE:
        kept = tl.sum(tl.sum(groups, axis=3), axis=1) * (1.0 / (DOWN * ACROSS))
    else:
        first = (tl.arange(0, DOWN)[None, :, None, None] == 0) & (tl.arange(0, ACROSS)[None, None, None, :] == 0)
        kept = tl.sum(tl.sum(tl.where(first, groups, 0.0), axis=3), axis=1)
    small = tl.reshape(_quantised(tl.reshape(kept, (M, 8, 8)), table, M), (M * 8, 1, 8, 1))
    return tl.reshape(tl.broadcast_to(small, (M * 8, DOWN, 8, ACROSS)), (M, 8 * DOWN, 8 * ACROSS))


@jit
def _jpeg_kernel(
    xhat_ptr: tl.tensor,
    y_ptr: tl.tensor,
    out_ptr: tl.tensor,
    quant_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    macroblocks: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    STEPS: tl.constexpr,
    DOWN: tl.constexpr,
    ACROSS: tl.constexpr,
    AVERAGE: tl.constexpr,
    M: tl.constexpr,
) -> None:
    keep, gain, eta = inner_constants(table_ptr, step_ptr)
    transposed = tl.arange(0, 8)[None, None, :] * 8 + tl.arange(0, 8)[None, :, None]
    table_y = tl.load(quant_ptr + transposed)
    table_cb = tl.load(quant_ptr + 64 + transposed)
    table_cr = tl.load(quant_ptr + 128 + transposed)

    macroblock = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    per_row = width // (8 * ACROSS)
    per_image = (height // (8 * DOWN)) * per_row
    image, place = macroblock // per_image, macroblock % per_image
    size = tl.cast(height, tl.int64) * width
    corner = image * 3 * size + (place // per_row) * (8 * DOWN) * width + (place % per_row) * (8 * ACROSS)
    row, column = tl.arange(0, 8 * DOWN)[None, :, None], tl.arange(0, 8 * ACROSS)[None, None, :]
    here = corner[:, None, None] + row * width + column
    inside = (macroblock < macroblocks)[:, None, None] & (row >= 0) & (column >= 0)

    red = tl.load(xhat_ptr + here, mask=inside, other=0.0)
    green = tl.load(xhat_ptr + here + size, mask=inside, other=0.0)
    blue = tl.load(xhat_ptr + here + 2 * size, mask=inside, other=0.0)
    # The part of the gradient that does not change: (1 - r) xhat + r k2 y.
    fixed_red = keep * red + gain * tl.load(y_ptr + here, mask=inside, other=0.0)
    fixed_green = keep * green + gain * tl.load(y_ptr + here + size, mask=inside, other=0.0)
    fixed_blue = keep * blue + gain * tl.load(y_ptr + here + 2 * size, mask=inside, other=0.0)
    for _ in range(STEPS):
        # The constant 127.5 of the grey level only reaches Y, and with - 128 leaves - 0.5; chroma's + 128 - 128 cancel.
        y = 127.5 * (0.299 * red + 0.587 * green + 0.114 * blue) - 0.5
        cb = 127.5 * (-0.1687 * red - 0.3313 * green + 0.5 * blue)
        cr = 127.5 * (0.5 * red - 0.4187 * green - 0.0813 * blue)
        y = (_luma(y, table_y, M, DOWN, ACROSS) + 0.5) * (1.0 / 127.5)
        cb = _chroma(cb, table_cb, M, DOWN, ACROSS, AVERAGE) * (1.0 / 127.5)
        cr = _chroma(cr, table_cr, M, DOWN, ACROSS, AVERAGE) * (1.0 / 127.5)
        seen_red = y - 3.681999032607e-05 * cb + 1.401987576935 * cr
        seen_green = y - 0.3441132813133 * cb - 0.7141038211151 * cr
        seen_blue = y + 1.771978116737 * cb - 0.000134583412916 * cr
        red -= eta * (keep * red + gain * seen_red - fixed_red)
        green -= eta * (keep * green + gain * seen_green - fixed_green)
        blue -= eta * (keep * blue + gain * seen_blue - fixed_blue)
    tl.store(out_ptr + here, red, mask=inside)
    tl.store(out_ptr + here + size, green, mask=inside)
    tl.store(out_ptr + here + 2 * size, blue, mask=inside)


def steps(
    xhat: Tensor,
    y: Tensor,
    setting: Plan,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    out: Tensor | None = None,
    pixels: int = PIXELS,
    warps: int = WARPS,
) -> Tensor:
    """K steps. xhat, y: float32 [B, 3, H, W] in [-1, 1] units; H, W whole macroblocks. `out` may be xhat.

    Raises ValueError for other sizes: extend the picture first, or use the plain loop.
    """
    arguments.float32(xhat=xhat, y=y, tables=setting.tables)
    b, c, h, w = arguments.pictures("xhat", xhat)
    arguments.same_shape(xhat, y=y)
    down, across = setting.down, setting.across
    if c != 3 or h % (8 * down) or w % (8 * across):
        raise ValueError(
            f"xhat must be [B, 3, H, W] with H a multiple of {8 * down} and W of {8 * across}, got {tuple(xhat.shape)}"
        )
    rows, index = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    macroblocks = b * (h // (8 * down)) * (w // (8 * across))
    m = max(1, pixels // (64 * down * across))
    launch(
        _jpeg_kernel,
        cdiv(macroblocks, m),
        xhat,
        y,
        out,
        setting.tables,
        rows,
        index,
        macroblocks,
        h,
        w,
        STEPS=arguments.at_least_one(inner),
        DOWN=down,
        ACROSS=across,
        AVERAGE=setting.average,
        M=m,
        num_warps=warps,
    )
    return out


@cache
def _twin_constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(to YCbCr, back, orthonormal DCT-II [8 coefficients, 8 samples])."""
    matrix = torch.tensor(TO_YCBCR, dtype=torch.float64)
    n = torch.arange(8, dtype=torch.float64)
    dct = 0.5 * torch.cos(math.pi / 16 * (2 * n + 1) * n[:, None])
    dct[0] /= math.sqrt(2)
    there, back, cosines = (m.to(device, dtype) for m in (matrix, torch.linalg.inv(matrix), dct))
    return there, back, cosines


def measure_twin(x: Tensor, setting: Plan) -> Tensor:
    """H(x) in the dtype of x, step by step as the standard describes it."""
    matrix, back, _ = _twin_constants(x.dtype, x.device)
    tables = setting.tables.to(x.dtype).reshape(3, 1, 8, 1, 8)
    ycc = torch.einsum("ij,bjhw->bihw", matrix, (x + 1) * 127.5)
    ycc[:, 1:] += 128
    planes = [_block_twin(ycc[:, :1], tables[:1])]
    down, across = setting.down, setting.across
    chroma = ycc[:, 1:, ::down, ::across]
    if setting.average:
        chroma = torch.nn.functional.avg_pool2d(ycc[:, 1:], (down, across))
    chroma = _block_twin(chroma, tables[1:]) - 128
    planes.append(chroma.repeat_interleave(down, 2).repeat_interleave(across, 3))
    rgb: Tensor = torch.einsum("ij,bjhw->bihw", back, torch.cat(planes, dim=1))
    return rgb / 127.5 - 1


def _block_twin(planes: Tensor, tables: Tensor) -> Tensor:
    b, c, h, w = planes.shape
    *_, dct = _twin_constants(planes.dtype, planes.device)
    blocks = (planes - 128).reshape(b, c, h // 8, 8, w // 8, 8)
    coefficients = torch.einsum("ki,bcyixj,lj->bcykxl", dct, blocks, dct)
    coefficients = torch.round(coefficients / tables) * tables
    return torch.einsum("ki,bcykxl,lj->bcyixj", dct, coefficients, dct).reshape(b, c, h, w) + 128


def steps_twin(xhat: Tensor, y: Tensor, setting: Plan, table: Tensor, step: int | Tensor, inner: int) -> Tensor:
    """The plain loop, in the dtype of xhat."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    x = xhat
    for _ in range(inner):
        x = x - eta * (keep * (x - xhat) + gain * (measure_twin(x, setting) - y))
    return x
