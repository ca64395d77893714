"""Gradient steps for separable operators, H = A_down (x) A_across, as two banded passes.

    x <- x - eta * [(1 - r)(x - xhat) + r k2 (G_down x G_across - H^T y)],      G = A^T A on each axis

G is worked out once in float64, borders and padding included, and stored by its diagonals: the passes know nothing
of them. A blur with k taps on an axis has 2 k - 1 diagonals. The first pass goes down the columns, the second along
the rows with the update; each needs all of the other's neighbours, so a step is two launches. (Where only the end of
the K steps is wanted, the closed form of `spectral` in the axes' own bases is cheaper still.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import arguments, schedule
from ._triton import cdiv, jit, launch, tl
from .blur import source, tile_position
from .schedule import inner_constants

TILE = (16, 64)


@dataclass(frozen=True)
class Plan:
    """down: float32 [H, diagonals], across: float32 [W, diagonals]: G_(p, p + d), d from -reach to reach, wrapping
    around.
    """

    down: Tensor
    across: Tensor


def plan(down: Tensor, across: Tensor, device: torch.device | str = "cpu") -> Plan:
    """down: A_down [m, H], across: A_across [n, W]: what the operator does to a column and to a row, any precision."""
    return Plan(_diagonals(down, device), _diagonals(across, device))


def _diagonals(matrix: Tensor, device: torch.device | str) -> Tensor:
    """The diagonals of A^T A that are not zero, those far from the middle taken as wrapping around."""
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise ValueError(f"an axis is a matrix [measured, side], got shape {tuple(matrix.shape)}")
    a = matrix.to(torch.float64).cpu()
    gram = a.T @ a
    side = gram.shape[0]
    p = torch.arange(side)
    offset = (p[None, :] - p[:, None] + side // 2) % side - side // 2
    used = offset[gram != 0].abs()
    reach = min(int(used.max()) if used.numel() else 0, (side - 1) // 2)
    if used.numel() and int(used.max()) > reach:
        # An even side has one diagonal half-way around, which belongs to one direction only.
        reach += 1
    d = torch.arange(-reach, reach + 1)
    band = gram[p[:, None], (p[:, None] + d) % side]
    if 2 * reach >= side:
        band[:, -1] = 0
    return band.to(torch.float32).contiguous().to(device)


@jit
def _band_kernel(
    t_ptr: tl.tensor,
    x_ptr: tl.tensor,
    xhat_ptr: tl.tensor,
    hty_ptr: tl.tensor,
    out_ptr: tl.tensor,
    band_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    DIAGONALS: tl.constexpr,
    ALONG_ROWS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """The band applied to t down the columns, or along the rows and then the step of x."""
    plane, top, left = tile_position(height, width, ROWS, COLUMNS)
    start = plane * height * width
    row, column = top + tl.arange(0, ROWS), left + tl.arange(0, COLUMNS)
    inside = (row < height)[:, None] & (column < width)[None, :]
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for d in range(DIAGONALS):
        if ALONG_ROWS:
            g = tl.load(band_ptr + column * DIAGONALS + d, mask=column < width, other=0.0)[None, :]
            j = source(column + d - DIAGONALS // 2, width, 2)
            t = tl.load(t_ptr + start + row[:, None] * width + j[None, :], mask=inside, other=0.0)
        else:
            g = tl.load(band_ptr + row * DIAGONALS + d, mask=row < height, other=0.0)[:, None]
            i = source(row + d - DIAGONALS // 2, height, 2)
            t = tl.load(t_ptr + start + i[:, None] * width + column[None, :], mask=inside, other=0.0)
        total += g * t
    here = start + row[:, None] * width + column[None, :]
    if ALONG_ROWS:
        keep, gain, eta = inner_constants(table_ptr, step_ptr)
        x = tl.load(x_ptr + here, mask=inside, other=0.0)
        xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
        total -= tl.load(hty_ptr + here, mask=inside, other=0.0)
        total = x - eta * (keep * (x - xhat) + gain * total)
    tl.store(out_ptr + here, total, mask=inside)


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
    """K steps of two launches each. xhat, hty = H^T y: float32 [B, C, H, W]. scratch must be apart from out and
    xhat.
    """
    arguments.float32(xhat=xhat, hty=hty, down=setting.down, across=setting.across)
    b, c, h, w = arguments.pictures("xhat", xhat)
    arguments.same_shape(xhat, hty=hty)
    if (h, w) != (len(setting.down), len(setting.across)):
        raise ValueError(f"the plan is for pictures of {(len(setting.down), len(setting.across))}, got {(h, w)}")
    rows = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    scratch = arguments.output(scratch, xhat, "scratch")
    if len({xhat.data_ptr(), out.data_ptr(), scratch.data_ptr()}) < 3:
        raise ValueError("xhat, out and scratch must be three different tensors")
    programs = b * c * cdiv(h, tile[0]) * cdiv(w, tile[1])
    x = xhat
    for _ in range(arguments.at_least_one(inner)):
        for source_, target, band, along in ((x, scratch, setting.down, False), (scratch, out, setting.across, True)):
            launch(
                _band_kernel,
                programs,
                source_,
                x,
                xhat,
                hty,
                target,
                band,
                *rows,
                h,
                w,
                DIAGONALS=band.shape[1],
                ALONG_ROWS=along,
                ROWS=tile[0],
                COLUMNS=tile[1],
            )
        x = out
    return out


def steps_twin(
    xhat: Tensor, y: Tensor, down: Tensor, across: Tensor, table: Tensor, step: int | Tensor, inner: int
) -> Tensor:
    """The plain loop in the dtype of xhat, with the two matrices as they are; y is the measurement [B, C, m, n]."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    a, b = down.to(xhat), across.to(xhat)
    x = xhat
    for _ in range(inner):
        x = x - eta * (keep * (x - xhat) + gain * (a.T @ (a @ x @ b.T - y) @ b))
    return x
