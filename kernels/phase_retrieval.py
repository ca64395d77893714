"""Gradient steps for phase retrieval as two passes over half a spectrum.

    x <- x - eta * [(1 - r)(x - xhat) + r k2 J^T (|Z| - y)],      Z = F pad((x + 1)/2)
    J^T u = 1/2 Re crop F^-1 (u Z/|Z|)

    rows:    inverse transform of the rows, update of x, forward transform of the rows
    columns: forward transform of the columns, residual Z - y Z/|Z|, inverse transform of the columns

F is orthonormal. The modulus does not feel where in its frame the picture lies, so it sits in the corner; and x is
real, so that half the columns, and what of y is even, are enough: `measurement` prepares it once. The zeros of the
padding are neither stored nor read. K steps are 2 K + 1 launches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from . import arguments, radix, schedule, timing
from ._triton import cdiv, jit, launch, tl
from .radix import forward, inverse
from .schedule import inner_constants

# Lines a program, columns a program, warps. "ieee" does not spill at these (see the register budget in the tests).
WAYS = ("ieee", "tf32x3", "torch")
TILES = {"ieee": (2, 2, 8), "tf32x3": (4, 4, 8)}


@dataclass(frozen=True)
class Plan:
    """The transforms of one frame size [columns' length, rows' length]."""

    down: radix.Axis
    across: radix.Axis


def plan(height: int, width: int, device: torch.device | str = "cpu") -> Plan:
    """For a frame (the padded size) of height x width; see `radix.factors` for the lengths that are taken."""
    return Plan(radix.axis(height, device), radix.axis(width, device))


def measurement(y: Tensor) -> Tensor:
    """y [B, C, M, N] with its zero frequency at index side // 2 -> what the steps use, [B, C, M, N // 2 + 1]
    contiguous.

    That is (y(k) + y(-k)) / 2 with its zero frequency first. The noise in y is not even; its odd part has no gradient.
    """
    y = torch.fft.ifftshift(y, dim=(-2, -1))
    mirrored = torch.roll(y.flip(-2, -1), (1, 1), (-2, -1))
    return (0.5 * (y + mirrored))[..., : y.shape[-1] // 2 + 1].contiguous()


@jit
def _rows_kernel(
    x_ptr: tl.tensor,
    xhat_ptr: tl.tensor,
    out_ptr: tl.tensor,
    work_ptr: tl.tensor,
    tables_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    rows: tl.tensor,
    width: tl.tensor,
    half: tl.tensor,
    pitch: tl.tensor,
    N1: tl.constexpr,
    N2: tl.constexpr,
    BACK: tl.constexpr,
    FORTH: tl.constexpr,
    LINES: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """With BACK: inverse and update, else take x as it is. With FORTH: forward."""
    row = tl.program_id(0).to(tl.int64) * LINES + tl.arange(0, LINES)
    n2, n1 = tl.arange(0, 16)[None, :, None], tl.arange(0, N1)[None, None, :]
    n = N2 * n1 + n2
    here = row[:, None, None] * width + n
    inside = (row < rows)[:, None, None] & (n2 < N2) & (n < width)
    k1, k2 = tl.arange(0, N1)[None, :, None], tl.arange(0, 16)[None, None, :]
    k = k1 + N1 * k2
    there = work_ptr + row[:, None, None] * pitch + k
    known = (row < rows)[:, None, None] & (k2 < N2) & (k < half)
    plane = tl.cast(rows, tl.int64) * pitch
    x = tl.load(x_ptr + here, mask=inside, other=0.0)
    if BACK:
        keep, gain, eta = inner_constants(table_ptr, step_ptr)
        # A column and its mirror image add up to twice the real part; the first and the middle one stand alone.
        weight = tl.where((k == 0) | (k == half - 1), 1.0, 2.0)
        re = tl.load(there, mask=known, other=0.0) * weight
        im = tl.load(there + plane, mask=known, other=0.0) * weight
        g, _ = inverse(re, im, tables_ptr, LINES, N1, True, PRECISION)
        xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
        x -= eta * (keep * (x - xhat) + gain * 0.5 * g)
        tl.store(out_ptr + here, x, mask=inside)
    if FORTH:
        z = tl.where(inside, 0.5 * x + 0.5, 0.0)
        re, im = forward(z, z, tables_ptr, LINES, N1, True, PRECISION)
        tl.store(there, re, mask=known)
        tl.store(there + plane, im, mask=known)


@jit
def _columns_kernel(
    work_ptr: tl.tensor,
    y_ptr: tl.tensor,
    tables_ptr: tl.tensor,
    planes: tl.tensor,
    height: tl.tensor,
    half: tl.tensor,
    pitch: tl.tensor,
    N1: tl.constexpr,
    N2: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    blocks = tl.cdiv(half, COLUMNS)
    program = tl.program_id(0)
    image = (program // blocks).to(tl.int64)
    column = ((program % blocks) * COLUMNS + tl.arange(0, COLUMNS))[:, None, None]
    n2, n1 = tl.arange(0, 16)[None, :, None], tl.arange(0, N1)[None, None, :]
    n = N2 * n1 + n2
    here = work_ptr + (image * height + n) * pitch + column
    plane = tl.cast(planes, tl.int64) * height * pitch
    inside = (column < half) & (n2 < N2) & (n < height)
    re = tl.load(here, mask=inside, other=0.0)
    im = tl.load(here + plane, mask=inside, other=0.0)
    re, im = forward(re, im, tables_ptr, COLUMNS, N1, False, PRECISION)
    k1, k2 = tl.arange(0, N1)[None, :, None], tl.arange(0, 16)[None, None, :]
    k = k1 + N1 * k2
    y = tl.load(y_ptr + (image * (N1 * N2) + k) * half + column, mask=(column < half) & (k2 < N2), other=0.0)
    modulus = tl.sqrt_rn(re * re + im * im)
    kept = 1.0 - tl.where(modulus > 0.0, y / tl.where(modulus > 0.0, modulus, 1.0), 0.0)
    re, im = inverse(re * kept, im * kept, tables_ptr, COLUMNS, N1, False, PRECISION)
    tl.store(here, re, mask=inside)
    tl.store(here + plane, im, mask=inside)


def work(xhat: Tensor, setting: Plan) -> Tensor:
    """The scratch memory of `steps`: the rows' half spectra, real and imaginary apart."""
    half = setting.across.length // 2 + 1
    b, c, h, _ = xhat.shape
    return torch.empty((2, b * c * h, cdiv(half, 4) * 4), dtype=torch.float32, device=xhat.device)


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
    precision: str = "ieee",
    tiles: tuple[int, int, int] | None = None,
) -> Tensor:
    """K steps. xhat: float32 [B, C, H, W] in [-1, 1] units, no larger than the frame; y: from `measurement`.

    `out` must not be xhat, which every step reads. scratch: from `work`, for callers that keep it.
    precision: "ieee" (float32 products) or "tf32x3" (three tensor-core products each, nearly as exact: check before
    use).
    """
    scratch = work(xhat, setting) if scratch is None else scratch
    arguments.float32(xhat=xhat, y=y, scratch=scratch, tables=setting.down.tables)
    b, c, h, w = arguments.pictures("xhat", xhat)
    down, across = setting.down, setting.across
    half = across.length // 2 + 1
    if h > down.length or w > across.length:
        raise ValueError(f"xhat is {h}x{w}, larger than the frame {down.length}x{across.length}")
    if y.shape != (b, c, down.length, half):
        raise ValueError(f"y must be [{b}, {c}, {down.length}, {half}], from `measurement`; got {tuple(y.shape)}")
    if scratch.shape != (2, b * c * h, cdiv(half, 4) * 4):
        raise ValueError(f"scratch must come from `work` for this xhat, got shape {tuple(scratch.shape)}")
    rows, index = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    if out.data_ptr() == xhat.data_ptr():
        raise ValueError("out must not be xhat: every step reads xhat again")
    pitch = scratch.shape[2]
    lines, columns, warps = tiles or TILES[precision]

    def rows_pass(x: Tensor, back: bool, forth: bool) -> None:
        launch(
            _rows_kernel,
            cdiv(b * c * h, lines),
            x,
            xhat,
            out,
            scratch,
            across.tables,
            rows,
            index,
            b * c * h,
            w,
            half,
            pitch,
            N1=across.n1,
            N2=across.n2,
            BACK=back,
            FORTH=forth,
            LINES=lines,
            PRECISION=precision,
            num_warps=warps,
        )

    rows_pass(xhat, False, True)
    for i in range(arguments.at_least_one(inner)):
        launch(
            _columns_kernel,
            b * c * cdiv(half, columns),
            scratch,
            y,
            down.tables,
            b * c,
            h,
            half,
            pitch,
            N1=down.n1,
            N2=down.n2,
            COLUMNS=columns,
            PRECISION=precision,
            num_warps=warps,
        )
        rows_pass(xhat if i == 0 else out, True, i < inner - 1)
    return out


def steps_twin(
    xhat: Tensor, y: Tensor, frame: tuple[int, int], table: Tensor, step: int | Tensor, inner: int
) -> Tensor:
    """The plain loop in the dtype of xhat, on the whole spectrum; y as measured, with its zero frequency in the
    middle.
    """
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    target = torch.fft.ifftshift(y, dim=(-2, -1))
    h, w = xhat.shape[-2:]
    x = xhat
    for _ in range(inner):
        z = torch.fft.fft2(0.5 * x + 0.5, s=frame, norm="ortho")
        back = torch.fft.ifft2((z.abs() - target) * torch.sgn(z), norm="ortho")
        x = x - eta * (keep * (x - xhat) + gain * 0.5 * back.real[..., :h, :w])
    return x


def steps_torch(xhat: Tensor, y: Tensor, setting: Plan, table: Tensor, step: int | Tensor, inner: int) -> Tensor:
    """The same loop as the best torch.fft sequence: half spectra, y from `measurement`. The alternative to the kernels.

    The constants are indexed on the device where `step` is a tensor, so that it can be captured too.
    """
    keep, gain, eta = schedule.columns(table, step)[:3]
    frame = (setting.down.length, setting.across.length)
    h, w = xhat.shape[-2:]
    x = xhat
    for _ in range(inner):
        z = torch.fft.rfft2(0.5 * x + 0.5, s=frame, norm="ortho")
        back = torch.fft.irfft2(z - y * torch.sgn(z), s=frame, norm="ortho")
        x = x - eta * (keep * (x - xhat) + (0.5 * gain) * back[..., :h, :w])
    return x


def run(way: str, xhat: Tensor, y: Tensor, setting: Plan, table: Tensor, step: int | Tensor, inner: int) -> Tensor:
    """K steps in one of WAYS: the kernels with either kind of product, or torch.fft."""
    if way == "torch":
        return steps_torch(xhat, y, setting, table, step, inner)
    return steps(xhat, y, setting, table, step, inner, precision=way)


def fastest_way(xhat: Tensor, y: Tensor, setting: Plan, table: Tensor, step: int | Tensor, inner: int) -> timing.Choice:
    """The quickest of WAYS on the GPU at hand for tensors like these, among those within 2e-6 of float64. Measures."""
    ways = {way: partial(run, way, xhat, y, setting, table, step, inner) for way in WAYS}
    exact = partial(steps_torch, xhat.double(), y.double(), setting, table.double(), step, inner)
    return timing.fastest(ways, exact)
