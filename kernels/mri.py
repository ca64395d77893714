"""Gradient steps for Cartesian MRI with one or several coils, as two passes over each coil's spectrum.

    x <- x - eta * [(1 - r)(x - xhat) + r k2 sum_c conj(s_c) F^-1 m (m F s_c x - y_c)]

    rows:    inverse transform of every coil's rows, sum over coils, update of x, forward transform of every coil's rows
    columns: forward transform of the columns, residual, inverse transform of the columns

x is complex, as two channels (real, imaginary). F is orthonormal with its zero frequency first; `plan` and
`measurement` bring data whose zero frequency is in the middle into that order, so that no step ever shifts anything.
K steps are 2 K + 1 launches.
"""

from __future__ import annotations

from collections.abc import Callable
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
    """down, across: transforms of the columns and rows. maps: float32 [2, 1 or B, coils, H, W]; mask: [1 or B, 1, H,
    W].
    """

    down: radix.Axis
    across: radix.Axis
    maps: Tensor
    mask: Tensor


def plan(maps: Tensor, mask: Tensor) -> Plan:
    """maps: complex [1 or B, coils, H, W]; mask: real weights [1 or B, 1, H, W], zero frequency in the middle.

    Raises ValueError for sides that the transforms do not take (`radix.factors`), TypeError for the wrong kind of
    numbers.
    """
    if not maps.is_complex() or mask.is_complex():
        raise TypeError(f"maps must be complex and mask real, got {maps.dtype} and {mask.dtype}")
    if maps.ndim != 4 or mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2:] != maps.shape[2:]:
        raise ValueError(
            "maps must be [1 or B, coils, H, W] and mask [1 or B, 1, H, W], "
            f"got {tuple(maps.shape)} and {tuple(mask.shape)}"
        )
    axes = [radix.axis(length, maps.device) for length in maps.shape[2:]]
    weights = torch.fft.ifftshift(mask.to(torch.float32), dim=(-2, -1)).contiguous()
    return Plan(axes[0], axes[1], _planar(maps), weights)


def measurement(y: Tensor) -> Tensor:
    """y complex [B, coils, H, W], zero frequency in the middle -> what the steps use, float32 [2, B, coils, H, W].

    The picture's own origin is in the middle too, which for even sides turns the sign of every other frequency.
    """
    h, w = y.shape[-2:]
    sign = 1 - 2 * ((torch.arange(h)[:, None] + torch.arange(w)[None, :]) % 2)
    return _planar(torch.fft.ifftshift(y, dim=(-2, -1)) * sign.to(y.device))


def _planar(z: Tensor) -> Tensor:
    return torch.stack((z.real, z.imag)).to(torch.float32).contiguous()


@jit
def _rows_kernel(
    x_ptr: tl.tensor,
    xhat_ptr: tl.tensor,
    out_ptr: tl.tensor,
    maps_ptr: tl.tensor,
    work_ptr: tl.tensor,
    tables_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    rows: tl.tensor,
    height: tl.tensor,
    maps_batch: tl.tensor,
    maps_plane: tl.tensor,
    COILS: tl.constexpr,
    N1: tl.constexpr,
    N2: tl.constexpr,
    BACK: tl.constexpr,
    FORTH: tl.constexpr,
    LINES: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """With BACK: inverse and update, else take x as it is. With FORTH: forward."""
    WIDTH: tl.constexpr = N1 * N2
    row = tl.program_id(0).to(tl.int64) * LINES + tl.arange(0, LINES)
    image, line = row // height, row % height
    n2, n1 = tl.arange(0, 16)[None, :, None], tl.arange(0, N1)[None, None, :]
    n = N2 * n1 + n2
    known = (row < rows)[:, None, None]
    inside = known & (n2 < N2)
    size = tl.cast(height, tl.int64) * WIDTH
    here = (image * 2 * size + line * WIDTH)[:, None, None] + n
    maps_here = maps_ptr + (image * maps_batch + line * WIDTH)[:, None, None] + n
    k1, k2 = tl.arange(0, N1)[None, :, None], tl.arange(0, 16)[None, None, :]
    seen = known & (k2 < N2)
    there = work_ptr + (image * COILS * size + line * WIDTH)[:, None, None] + k1 + N1 * k2
    plane = tl.cast(rows, tl.int64) * COILS * WIDTH
    x_re = tl.load(x_ptr + here, mask=inside, other=0.0)
    x_im = tl.load(x_ptr + here + size, mask=inside, other=0.0)
    if BACK:
        keep, gain, eta = inner_constants(table_ptr, step_ptr)
        g_re, g_im = x_re * 0.0, x_im * 0.0
        for coil in range(COILS):
            re = tl.load(there + coil * size, mask=seen, other=0.0)
            im = tl.load(there + coil * size + plane, mask=seen, other=0.0)
            re, im = inverse(re, im, tables_ptr, LINES, N1, False, PRECISION)
            s_re = tl.load(maps_here + coil * size, mask=inside, other=0.0)
            s_im = tl.load(maps_here + coil * size + maps_plane, mask=inside, other=0.0)
            g_re += s_re * re + s_im * im
            g_im += s_re * im - s_im * re
        hat_re = tl.load(xhat_ptr + here, mask=inside, other=0.0)
        hat_im = tl.load(xhat_ptr + here + size, mask=inside, other=0.0)
        x_re -= eta * (keep * (x_re - hat_re) + gain * g_re)
        x_im -= eta * (keep * (x_im - hat_im) + gain * g_im)
        tl.store(out_ptr + here, x_re, mask=inside)
        tl.store(out_ptr + here + size, x_im, mask=inside)
    if FORTH:
        for coil in range(COILS):
            s_re = tl.load(maps_here + coil * size, mask=inside, other=0.0)
            s_im = tl.load(maps_here + coil * size + maps_plane, mask=inside, other=0.0)
            z_re, z_im = s_re * x_re - s_im * x_im, s_re * x_im + s_im * x_re
            re, im = forward(z_re, z_im, tables_ptr, LINES, N1, False, PRECISION)
            tl.store(there + coil * size, re, mask=seen)
            tl.store(there + coil * size + plane, im, mask=seen)


@jit
def _columns_kernel(
    work_ptr: tl.tensor,
    y_ptr: tl.tensor,
    mask_ptr: tl.tensor,
    tables_ptr: tl.tensor,
    planes: tl.tensor,
    coils: tl.tensor,
    width: tl.tensor,
    mask_batch: tl.tensor,
    N1: tl.constexpr,
    N2: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    HEIGHT: tl.constexpr = N1 * N2
    blocks = tl.cdiv(width, COLUMNS)
    program = tl.program_id(0)
    plane = (program // blocks).to(tl.int64)
    column = ((program % blocks) * COLUMNS + tl.arange(0, COLUMNS))[:, None, None]
    n2, n1 = tl.arange(0, 16)[None, :, None], tl.arange(0, N1)[None, None, :]
    here = plane * HEIGHT * width + (N2 * n1 + n2) * width + column
    part = tl.cast(planes, tl.int64) * HEIGHT * width
    inside = (column < width) & (n2 < N2)
    re = tl.load(work_ptr + here, mask=inside, other=0.0)
    im = tl.load(work_ptr + here + part, mask=inside, other=0.0)
    re, im = forward(re, im, tables_ptr, COLUMNS, N1, False, PRECISION)
    k1, k2 = tl.arange(0, N1)[None, :, None], tl.arange(0, 16)[None, None, :]
    k = (k1 + N1 * k2) * width + column
    seen = (column < width) & (k2 < N2)
    m = tl.load(mask_ptr + (plane // coils) * mask_batch + k, mask=seen, other=0.0)
    y_here = y_ptr + plane * HEIGHT * width + k
    re = m * (m * re - tl.load(y_here, mask=seen, other=0.0))
    im = m * (m * im - tl.load(y_here + part, mask=seen, other=0.0))
    re, im = inverse(re, im, tables_ptr, COLUMNS, N1, False, PRECISION)
    tl.store(work_ptr + here, re, mask=inside)
    tl.store(work_ptr + here + part, im, mask=inside)


def work(y: Tensor) -> Tensor:
    """The scratch memory of `steps`: the coils' rows in frequency, shaped like the prepared measurement."""
    return torch.empty_like(y)


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
    """K steps. xhat: float32 [B, 2, H, W] (real, imaginary); y: from `measurement`.

    `out` must not be xhat, which every step reads. scratch: from `work`, for callers that keep it.
    precision: "ieee" (float32 products) or "tf32x3" (three tensor-core products each, nearly as exact: check before
    use).
    """
    scratch = work(y) if scratch is None else scratch
    down, across, maps, mask = setting.down, setting.across, setting.maps, setting.mask
    arguments.float32(xhat=xhat, y=y, scratch=scratch, maps=maps, mask=mask)
    b, c, h, w = arguments.pictures("xhat", xhat)
    coils = maps.shape[2]
    if (c, h, w) != (2, down.length, across.length) or maps.shape[1] not in (1, b) or mask.shape[0] not in (1, b):
        raise ValueError(
            f"xhat must be [B, 2, {down.length}, {across.length}] with the plan's batch, got {tuple(xhat.shape)}"
        )
    if y.shape != (2, b, coils, h, w):
        raise ValueError(f"y must be [2, {b}, {coils}, {h}, {w}], from `measurement`; got {tuple(y.shape)}")
    arguments.same_shape(y, scratch=scratch)
    rows, index = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    if out.data_ptr() == xhat.data_ptr():
        raise ValueError("out must not be xhat: every step reads xhat again")
    lines, columns, warps = tiles or TILES[precision]
    maps_strides = (coils * h * w if maps.shape[1] > 1 else 0, maps[0].numel())

    def rows_pass(x: Tensor, back: bool, forth: bool) -> None:
        launch(
            _rows_kernel,
            cdiv(b * h, lines),
            x,
            xhat,
            out,
            maps,
            scratch,
            across.tables,
            rows,
            index,
            b * h,
            h,
            *maps_strides,
            COILS=coils,
            N1=across.n1,
            N2=across.n2,
            BACK=back,
            FORTH=forth,
            LINES=lines,
            PRECISION=precision,
            num_warps=warps,
            num_stages=1,
        )

    rows_pass(xhat, False, True)
    for i in range(arguments.at_least_one(inner)):
        launch(
            _columns_kernel,
            b * coils * cdiv(w, columns),
            scratch,
            y,
            mask,
            down.tables,
            b * coils,
            coils,
            w,
            h * w if mask.shape[0] > 1 else 0,
            N1=down.n1,
            N2=down.n2,
            COLUMNS=columns,
            PRECISION=precision,
            num_warps=warps,
            num_stages=1,
        )
        rows_pass(xhat if i == 0 else out, True, i < inner - 1)
    return out


def steps_twin(
    xhat: Tensor, y: Tensor, maps: Tensor, mask: Tensor, table: Tensor, step: int | Tensor, inner: int
) -> Tensor:
    """The plain loop in the dtype of xhat; y, maps and mask as `measurement` and `plan` take them."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    x = hat = torch.complex(xhat[:, 0], xhat[:, 1])[:, None]
    for _ in range(inner):
        residual = mask * (mask * _centred(maps * x, torch.fft.fft2) - y)
        back = (maps.conj() * _centred(residual, torch.fft.ifft2)).sum(dim=1, keepdim=True)
        x = x - eta * (keep * (x - hat) + gain * back)
    return torch.cat((x.real, x.imag), dim=1)


def _centred(z: Tensor, transform: Callable[..., Tensor]) -> Tensor:
    shifted = transform(torch.fft.ifftshift(z, dim=(-2, -1)), norm="ortho")
    return torch.fft.fftshift(shifted, dim=(-2, -1))


def steps_torch(xhat: Tensor, y: Tensor, setting: Plan, table: Tensor, step: int | Tensor, inner: int) -> Tensor:
    """The same loop as the best torch.fft sequence, on the prepared data: the alternative to the kernels."""
    keep, gain, eta = schedule.columns(table, step)[:3]
    maps, target = torch.complex(setting.maps[0], setting.maps[1]), torch.complex(y[0], y[1])
    x = hat = torch.complex(xhat[:, 0], xhat[:, 1])[:, None]
    for _ in range(inner):
        residual = setting.mask * (setting.mask * torch.fft.fft2(maps * x, norm="ortho") - target)
        back = (maps.conj() * torch.fft.ifft2(residual, norm="ortho")).sum(dim=1, keepdim=True)
        x = x - eta * (keep * (x - hat) + gain * back)
    return torch.cat((x.real, x.imag), dim=1)


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
