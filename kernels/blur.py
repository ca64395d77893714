"""Blur by a small kernel with any padding, its exact adjoint, and gradient steps of two launches each.

    (H x)_p   = sum_t k_t x~_(p + t - a),        a = size // 2 on each axis, x~ the picture extended beyond its border
    (H^T u)_p = sum_(p' that copies p) sum_t k_t u_(p' - t + a),                            u = 0 outside the picture
    x <- x - eta * [(1 - r)(x - xhat) + r k2 H^T (H x - y)]

The adjoint gathers: a pixel near the border also collects what the padding copied from it, so it is exact for every
padding, and needs no atomics. H^T waits for its neighbours' H, so a step is two launches. `stencil` takes one for
the smallest kernels, `separable` serves products of two profiles, and for large ones FFTs do less work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import arguments, schedule
from ._triton import cdiv, jit, launch, tl
from .schedule import inner_constants

PADDINGS = {"zero": 0, "reflect": 1, "circular": 2, "replicate": 3}
TILE = (8, 64)


@dataclass(frozen=True)
class Plan:
    """A blur kernel [h, w] float32 on the device and how pictures are extended."""

    kernel: Tensor
    padding: str

    @property
    def reach(self) -> tuple[int, int]:
        """The furthest that a pixel is moved down and across."""
        return self.kernel.shape[0] // 2, self.kernel.shape[1] // 2


def plan(kernel: Tensor, padding: str = "reflect", device: torch.device | str = "cpu") -> Plan:
    """kernel: [h, w], applied as a cross-correlation with its centre at size // 2, taken as it is (not normalised)."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    if kernel.ndim != 2 or kernel.numel() == 0:
        raise ValueError(f"kernel must be a non-empty [h, w], got shape {tuple(kernel.shape)}")
    return Plan(kernel.to(device=device, dtype=torch.float32).contiguous(), padding)


def check_size(setting: Plan, height: int, width: int) -> None:
    """One bounce or one turn is all that the kernels follow, so a picture must not be smaller than the padding."""
    for reach, side, name in zip(setting.reach, (height, width), ("height", "width"), strict=True):
        least = {"zero": 1, "reflect": reach + 1, "circular": max(reach, 1), "replicate": 2}[setting.padding]
        if side < least:
            raise ValueError(f"{setting.padding} padding of this kernel needs a {name} of at least {least}, got {side}")


@jit
def source(p: tl.tensor, size: tl.tensor, PADDING: tl.constexpr) -> tl.tensor:
    """Where the extended axis copies position p from; for zero padding p itself, in or out of range."""
    if PADDING == 1:
        p = tl.where(p < 0, -p, p)
        p = tl.where(p >= size, 2 * (size - 1) - p, p)
    elif PADDING == 2:
        p = tl.where(p < 0, p + size, p)
        p = tl.where(p >= size, p - size, p)
    elif PADDING == 3:
        p = tl.minimum(tl.maximum(p, 0), size - 1)
    return p


@jit
def copy_of(p: tl.tensor, size: tl.tensor, fold: tl.tensor, PADDING: tl.constexpr) -> tl.tensor:
    """The fold-th position of the extended axis that copies position p, or one out of reach. fold 0 is p itself."""
    nowhere = -2 * size
    if PADDING == 1:
        p = tl.where(fold == 1, tl.where(p > 0, -p, nowhere), tl.where(fold == 2, 2 * (size - 1) - p, p))
        p = tl.where((fold == 2) & (p < size), nowhere, p)
    elif PADDING == 2:
        p = tl.where(fold == 1, p - size, tl.where(fold == 2, p + size, p))
    elif PADDING == 3:
        beyond = tl.where(p == 0, -fold, tl.where(p == size - 1, p + fold, nowhere))
        p = tl.where(fold == 0, p, beyond)
    return p


@jit
def tile_position(height: tl.tensor, width: tl.tensor, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> tl.tensor:
    """(plane as int64, first row, first column) of this program's tile."""
    across = tl.cdiv(width, COLUMNS)
    tiles = tl.cdiv(height, ROWS) * across
    program = tl.program_id(0)
    plane = program // tiles
    tile = program - plane * tiles
    return plane.to(tl.int64), (tile // across) * ROWS, (tile % across) * COLUMNS


@jit
def _measure_kernel(
    x_ptr: tl.tensor,
    y_ptr: tl.tensor,
    out_ptr: tl.tensor,
    kernel_ptr: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    KH: tl.constexpr,
    KW: tl.constexpr,
    PADDING: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """H x, less y with RESIDUAL."""
    plane, top, left = tile_position(height, width, ROWS, COLUMNS)
    start = plane * height * width
    row, column = top + tl.arange(0, ROWS), left + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for ty in range(KH):
        i = source(row + ty - KH // 2, height, PADDING)
        for tx in range(KW):
            j = source(column + tx - KW // 2, width, PADDING)
            seen = ((i >= 0) & (i < height))[:, None] & ((j >= 0) & (j < width))[None, :]
            x = tl.load(x_ptr + start + i[:, None] * width + j[None, :], mask=seen, other=0.0)
            total += tl.load(kernel_ptr + ty * KW + tx) * x
    here = start + row[:, None] * width + column[None, :]
    inside = (row < height)[:, None] & (column < width)[None, :]
    if RESIDUAL:
        total -= tl.load(y_ptr + here, mask=inside, other=0.0)
    tl.store(out_ptr + here, total, mask=inside)


@jit
def _adjoint_kernel(
    u_ptr: tl.tensor,
    x_ptr: tl.tensor,
    xhat_ptr: tl.tensor,
    out_ptr: tl.tensor,
    kernel_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    KH: tl.constexpr,
    KW: tl.constexpr,
    PADDING: tl.constexpr,
    FOLDS_Y: tl.constexpr,
    FOLDS_X: tl.constexpr,
    UPDATE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """H^T u, or with UPDATE the step of x along it. Only tiles near the border look for copies beyond it."""
    plane, top, left = tile_position(height, width, ROWS, COLUMNS)
    start = plane * height * width
    row, column = top + tl.arange(0, ROWS), left + tl.arange(0, COLUMNS)
    near_y = (top <= KH // 2) | (top + ROWS >= height - KH // 2)
    near_x = (left <= KW // 2) | (left + COLUMNS >= width - KW // 2)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for fold_y in range(FOLDS_Y):
        from_y = copy_of(row, height, fold_y, PADDING)
        for fold_x in range(FOLDS_X):
            from_x = copy_of(column, width, fold_x, PADDING)
            if ((fold_y == 0) | near_y) & ((fold_x == 0) | near_x):
                for ty in range(KH):
                    i = from_y - ty + KH // 2
                    for tx in range(KW):
                        j = from_x - tx + KW // 2
                        seen = ((i >= 0) & (i < height))[:, None] & ((j >= 0) & (j < width))[None, :]
                        u = tl.load(u_ptr + start + i[:, None] * width + j[None, :], mask=seen, other=0.0)
                        total += tl.load(kernel_ptr + ty * KW + tx) * u
    here = start + row[:, None] * width + column[None, :]
    inside = (row < height)[:, None] & (column < width)[None, :]
    if UPDATE:
        keep, gain, eta = inner_constants(table_ptr, step_ptr)
        x = tl.load(x_ptr + here, mask=inside, other=0.0)
        xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
        total = x - eta * (keep * (x - xhat) + gain * total)
    tl.store(out_ptr + here, total, mask=inside)


def measure(
    x: Tensor, setting: Plan, *, y: Tensor | None = None, out: Tensor | None = None, tile: tuple[int, int] = TILE
) -> Tensor:
    """H x, or H x - y where y is given. float32 [B, C, H, W], any planes. `out` must not be x."""
    tensors = {"x": x, "kernel": setting.kernel} | ({} if y is None else {"y": y})
    arguments.float32(**tensors)
    b, c, h, w = arguments.pictures("x", x)
    check_size(setting, h, w)
    if y is not None:
        arguments.same_shape(x, y=y)
    out = _apart(arguments.output(out, x), x, "x")
    kh, kw = setting.kernel.shape
    launch(
        _measure_kernel,
        b * c * cdiv(h, tile[0]) * cdiv(w, tile[1]),
        x,
        x if y is None else y,
        out,
        setting.kernel,
        h,
        w,
        KH=kh,
        KW=kw,
        PADDING=PADDINGS[setting.padding],
        RESIDUAL=y is not None,
        ROWS=tile[0],
        COLUMNS=tile[1],
    )
    return out


def adjoint(u: Tensor, setting: Plan, *, out: Tensor | None = None, tile: tuple[int, int] = TILE) -> Tensor:
    """H^T u, exact at the borders. float32 [B, C, H, W]. `out` must not be u."""
    arguments.float32(u=u, kernel=setting.kernel)
    _, _, h, w = arguments.pictures("u", u)
    check_size(setting, h, w)
    out = _apart(arguments.output(out, u), u, "u")
    index = schedule.index(0, u.device)
    _launch_adjoint(u, u, u, out, setting, (u, index), False, tile)
    return out


def steps(
    xhat: Tensor,
    y: Tensor,
    setting: Plan,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
    tile: tuple[int, int] = TILE,
) -> Tensor:
    """K steps of two launches each. xhat, y: float32 [B, C, H, W]. `out` must not be xhat; scratch is like xhat."""
    arguments.float32(xhat=xhat, y=y)
    rows = schedule.checked(table, step, xhat.device)
    out = _apart(arguments.output(out, xhat), xhat, "xhat")
    scratch = arguments.output(scratch, xhat, "scratch")
    x = xhat
    for _ in range(arguments.at_least_one(inner)):
        measure(x, setting, y=y, out=scratch, tile=tile)
        _launch_adjoint(scratch, x, xhat, out, setting, rows, True, tile)
        x = out
    return out


def _launch_adjoint(
    u: Tensor,
    x: Tensor,
    xhat: Tensor,
    out: Tensor,
    setting: Plan,
    rows: tuple[Tensor, Tensor],
    update: bool,
    tile: tuple[int, int],
) -> None:
    b, c, h, w = u.shape
    kh, kw = setting.kernel.shape
    folds = {"zero": (1, 1), "reflect": (3, 3), "circular": (3, 3), "replicate": (kh // 2 + 1, kw // 2 + 1)}
    launch(
        _adjoint_kernel,
        b * c * cdiv(h, tile[0]) * cdiv(w, tile[1]),
        u,
        x,
        xhat,
        out,
        setting.kernel,
        *rows,
        h,
        w,
        KH=kh,
        KW=kw,
        PADDING=PADDINGS[setting.padding],
        FOLDS_Y=folds[setting.padding][0],
        FOLDS_X=folds[setting.padding][1],
        UPDATE=update,
        ROWS=tile[0],
        COLUMNS=tile[1],
    )


def _apart(out: Tensor, source_: Tensor, name: str) -> Tensor:
    if out.data_ptr() == source_.data_ptr():
        raise ValueError(f"out must not be {name}: neighbours are still to be read when it is written")
    return out


def measure_twin(x: Tensor, kernel: Tensor, padding: str) -> Tensor:
    """H x in the dtype of x, for the same sizes."""
    kernel = kernel.to(x)
    kh, kw = kernel.shape
    margins = (kw // 2, kw - 1 - kw // 2, kh // 2, kh - 1 - kh // 2)
    mode = "constant" if padding == "zero" else padding
    extended = torch.nn.functional.pad(x, margins, mode=mode)
    planes = extended.reshape(-1, 1, *extended.shape[-2:])
    return torch.nn.functional.conv2d(planes, kernel[None, None]).reshape(x.shape)


def adjoint_twin(u: Tensor, kernel: Tensor, padding: str) -> Tensor:
    """H^T u by automatic differentiation of <H x, u>."""
    with torch.enable_grad():
        x = torch.zeros_like(u, requires_grad=True)
        (g,) = torch.autograd.grad(measure_twin(x, kernel, padding), x, u)
    return g


def steps_twin(
    xhat: Tensor, y: Tensor, kernel: Tensor, padding: str, table: Tensor, step: int | Tensor, inner: int
) -> Tensor:
    """The plain loop, in the dtype of xhat."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    x = xhat
    for _ in range(inner):
        residual = measure_twin(x, kernel, padding) - y
        x = x - eta * (keep * (x - xhat) + gain * adjoint_twin(residual, kernel, padding))
    return x
