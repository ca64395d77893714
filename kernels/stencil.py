"""Gradient steps of one launch each for blurs of up to 7x7: H^T H as a stencil that knows the borders.

    x <- x - eta * [(1 - r)(x - xhat) + r k2 (sum_d W_d(p) x_(p + d) - (H^T y)_p)],      |d| <= 2 reach

W_d(p) = (H^T H)_(p, p + d) depends on p only within 2 * reach of a border, so a table for the rows and columns of a
small picture serves every size, every padding exactly: reflection and replication never move a pixel further than
the kernel does. Circular padding wraps p + d instead. H^T y is worked out once, by `blur.adjoint`.

K steps with a halo of 2 * reach each do not fit a tile for the K that occur, so a step stays a launch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import arguments, blur, schedule
from ._triton import cdiv, jit, launch, tl
from .blur import source, tile_position
from .schedule import inner_constants

LARGEST_REACH = 3
TILE = (8, 64)


@dataclass(frozen=True)
class Plan:
    """weights: float32 [row classes, column classes, 4 reach_y + 1, 4 reach_x + 1]; size: the pictures' (H, W)."""

    weights: Tensor
    size: tuple[int, int]
    circular: bool


def plan(setting: blur.Plan, height: int, width: int) -> Plan:
    """The stencil of a blur for one size. Raises ValueError for a kernel with a reach of more than 3 pixels."""
    blur.check_size(setting, height, width)
    ry, rx = setting.reach
    if max(ry, rx) > LARGEST_REACH:
        raise ValueError(f"the kernel is {tuple(setting.kernel.shape)}: a stencil takes up to 7x7, use `blur.steps`")
    circular = setting.padding == "circular"
    small = (4 * ry + 1, 4 * rx + 1) if circular else (min(height, 4 * ry + 1), min(width, 4 * rx + 1))
    count = small[0] * small[1]
    impulses = torch.eye(count, dtype=torch.float64).reshape(count, 1, *small)
    kernel = setting.kernel.cpu()
    columns = blur.measure_twin(impulses, kernel, setting.padding)
    normal = torch.einsum("ihw,jhw->ij", columns[:, 0], columns[:, 0]).reshape(*small, *small)
    weights = torch.zeros(*small, 4 * ry + 1, 4 * rx + 1, dtype=torch.float64)
    for i in range(small[0]):
        for j in range(small[1]):
            for y in range(max(0, i - 2 * ry), min(small[0], i + 2 * ry + 1)):
                columns_ = slice(max(0, j - 2 * rx), min(small[1], j + 2 * rx + 1))
                shifted = slice(columns_.start - j + 2 * rx, columns_.stop - j + 2 * rx)
                weights[i, j, y - i + 2 * ry, shifted] = normal[i, j, y, columns_]
    if circular:
        weights = weights[2 * ry : 2 * ry + 1, 2 * rx : 2 * rx + 1]
    return Plan(weights.to(torch.float32).contiguous().to(setting.kernel.device), (height, width), circular)


@jit
def _class_of(p: tl.tensor, size: tl.tensor, CLASSES: tl.constexpr) -> tl.tensor:
    """Which row of the table position p uses: itself near the low border, the middle one, or as far from the high
    one.
    """
    return tl.where(p <= CLASSES // 2, p, tl.maximum(p - size + CLASSES, CLASSES // 2))


@jit
def _stencil_kernel(
    x_ptr: tl.tensor,
    xhat_ptr: tl.tensor,
    hty_ptr: tl.tensor,
    out_ptr: tl.tensor,
    weights_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    CLASSES_Y: tl.constexpr,
    CLASSES_X: tl.constexpr,
    DY: tl.constexpr,
    DX: tl.constexpr,
    CIRCULAR: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    keep, gain, eta = inner_constants(table_ptr, step_ptr)
    plane, top, left = tile_position(height, width, ROWS, COLUMNS)
    start = plane * height * width
    row, column = top + tl.arange(0, ROWS), left + tl.arange(0, COLUMNS)
    inside = (row < height)[:, None] & (column < width)[None, :]
    class_y, class_x = tl.minimum(row, 0), tl.minimum(column, 0)
    if not CIRCULAR:
        class_y, class_x = _class_of(row, height, CLASSES_Y), _class_of(column, width, CLASSES_X)
    weights = weights_ptr + (class_y[:, None] * CLASSES_X + class_x[None, :]) * (DY * DX)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for dy in range(DY):
        i = row + dy - DY // 2
        if CIRCULAR:
            i = source(source(i, height, 2), height, 2)
        for dx in range(DX):
            j = column + dx - DX // 2
            if CIRCULAR:
                j = source(source(j, width, 2), width, 2)
            seen = inside & ((i >= 0) & (i < height))[:, None] & ((j >= 0) & (j < width))[None, :]
            x = tl.load(x_ptr + start + i[:, None] * width + j[None, :], mask=seen, other=0.0)
            total += tl.load(weights + dy * DX + dx, mask=seen, other=0.0) * x
    here = start + row[:, None] * width + column[None, :]
    x = tl.load(x_ptr + here, mask=inside, other=0.0)
    xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
    total -= tl.load(hty_ptr + here, mask=inside, other=0.0)
    tl.store(out_ptr + here, x - eta * (keep * (x - xhat) + gain * total), mask=inside)


def steps(
    xhat: Tensor,
    hty: Tensor,
    setting: Plan,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
    tile: tuple[int, int] = TILE,
) -> Tensor:
    """K steps of one launch each. xhat, hty = H^T y: float32 [B, C, H, W]. out and scratch must be apart from xhat."""
    arguments.float32(xhat=xhat, hty=hty, weights=setting.weights)
    b, c, h, w = arguments.pictures("xhat", xhat)
    arguments.same_shape(xhat, hty=hty)
    if (h, w) != setting.size:
        raise ValueError(f"the plan is for pictures of {setting.size}, got {(h, w)}")
    rows = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    scratch = arguments.output(scratch, xhat, "scratch")
    if len({xhat.data_ptr(), out.data_ptr(), scratch.data_ptr()}) < 3:
        raise ValueError("xhat, out and scratch must be three different tensors")
    x = xhat
    for i in range(arguments.at_least_one(inner)):
        target = out if (inner - i) % 2 else scratch
        launch(
            _stencil_kernel,
            b * c * cdiv(h, tile[0]) * cdiv(w, tile[1]),
            x,
            xhat,
            hty,
            target,
            setting.weights,
            *rows,
            h,
            w,
            CLASSES_Y=setting.weights.shape[0],
            CLASSES_X=setting.weights.shape[1],
            DY=setting.weights.shape[2],
            DX=setting.weights.shape[3],
            CIRCULAR=setting.circular,
            ROWS=tile[0],
            COLUMNS=tile[1],
        )
        x = target
    return out
