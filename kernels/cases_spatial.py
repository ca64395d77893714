"""Problems for the kernels that look at neighbours or at the whole picture. See `cases`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import blur, mri, phase_retrieval, separable, stencil
from .cases import Case, Setting

TILES = tuple({"tile": (rows, columns)} for rows in (4, 8, 16) for columns in (32, 64, 128))
LINES = tuple({"tiles": (lines, columns, warps)} for lines in (1, 2, 4) for columns in (1, 2, 4, 8) for warps in (4, 8))


def blurs(s: Setting) -> list[Case]:
    """The smallest kernel, whose steps may take one launch, and the size of the paper's motion blur."""
    small, large = (3, 7) if s.small else (5, 61)
    return [_blur(s, small, s.inner(10)), _stencil(s, small, s.inner(10)), _blur(s, large, 1)]


def _blur(s: Setting, side: int, k: int) -> Case:
    x, y, n = s.pictures(), s.pictures(), s.batch * 3 * s.side**2
    taps, values = side * side, _positive(s, side)
    setting = blur.plan(values, "reflect", s.device)
    return Case(
        f"blur {side}x{side} reflect, {k} step{'s' * (k > 1)}",
        lambda out, **tile: blur.steps(x, y, setting, s.table, s.step, k, out=out, **tile),
        lambda: blur.steps_twin(x.double(), y.double(), values, "reflect", s.table, 1, k),
        lambda: blur.steps_twin(x, y, values, "reflect", s.table, 1, k),
        x,
        28 * k * n,
        (4 * taps + 6) * k * n,
        s.tile(tile=(64, 64)),
        TILES,
    )


def _stencil(s: Setting, side: int, k: int) -> Case:
    x, y, n = s.pictures(), s.pictures(), s.batch * 3 * s.side**2
    wide, values = (2 * side - 1) ** 2, _positive(s, side)
    normal = stencil.plan(blur.plan(values, "reflect", s.device), s.side, s.side)
    hty = blur.adjoint_twin(y, values, "reflect")
    return Case(
        f"stencil {side}x{side} reflect, {k} steps",
        lambda out, **tile: stencil.steps(x, hty, normal, s.table, s.step, k, out=out, **tile),
        lambda: blur.steps_twin(x.double(), y.double(), values, "reflect", s.table, 1, k),
        lambda: blur.steps_twin(x, y, values, "reflect", s.table, 1, k),
        x,
        16 * k * n,
        (2 * wide + 6) * k * n,
        s.tile(tile=(64, 64)),
        TILES,
    )


def _positive(s: Setting, side: int) -> Tensor:
    """A kernel whose values sum to about 1."""
    return s.uniform(side, side) / (0.5 * side * side)


def separables(s: Setting) -> list[Case]:
    x, y, k, n = s.pictures(), s.pictures(), s.inner(10), s.batch * 3 * s.side**2
    reach = 2 if s.small else 12
    offset = torch.arange(s.side)[:, None] - torch.arange(s.side)[None, :]
    axis = torch.exp(-((offset / (reach / 4)) ** 2) / 2) * (offset.abs() <= reach)
    axis = (axis / axis.sum(dim=1, keepdim=True)).to(s.device)
    setting = separable.plan(axis, axis, s.device)
    hty = axis.T @ y @ axis

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return separable.steps(x, hty, setting, s.table, s.step, k, out=out, **tile)

    return [
        Case(
            f"separable, {2 * reach + 1} taps, {k} steps",
            kernel,
            lambda: separable.steps_twin(x.double(), y.double(), axis, axis, s.table, 1, k),
            lambda: separable.steps_twin(x, y, axis, axis, s.table, 1, k),
            x,
            24 * k * n,
            (4 * setting.down.shape[1] + 6) * k * n,
            s.tile(tile=(64, 64)),
            TILES,
        )
    ]


def phases(s: Setting) -> list[Case]:
    return [_phase(s, precision) for precision in ("ieee", "tf32x3")]


def _phase(s: Setting, precision: str) -> Case:
    (side, frame), k = ((24, 32) if s.small else (256, 384)), s.inner(10)
    x, truth = s.pictures(3, side), s.pictures(3, side)
    size = (frame, frame)
    y = torch.fft.fft2(0.5 * truth + 0.5, s=size, norm="ortho").abs()
    y = torch.fft.fftshift(y, dim=(-2, -1)) + 0.05 * s.normal(s.batch, 3, *size)
    setting, prepared = phase_retrieval.plan(*size, s.device), phase_retrieval.measurement(y)
    scratch = phase_retrieval.work(x, setting)
    planes, half = 3 * s.batch, frame // 2 + 1

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return phase_retrieval.steps(
            x, prepared, setting, s.table, s.step, k, out=out, scratch=scratch, precision=precision, **tile
        )

    return Case(
        f"phase retrieval {frame}, {k} steps, {precision}",
        kernel,
        lambda: phase_retrieval.steps_twin(x.double(), y.double(), size, s.table, 1, k),
        lambda: phase_retrieval.steps_torch(x, prepared, setting, s.table, s.step, k),
        x,
        k * planes * (4 * 8 * side * half + 4 * frame * half + 12 * side * side),
        int(k * planes * 5 * frame * 8.6 * (side + 2 * half)),
        s.tile(tiles=(32, 32, 4)),
        LINES,
    )


def coils(s: Setting) -> list[Case]:
    return [_coil(s, precision) for precision in ("ieee", "tf32x3")]


def _coil(s: Setting, precision: str) -> Case:
    (side, count), k = ((32, 2) if s.small else (320, 15)), s.inner(10)
    x = s.pictures(2, side)
    maps = s.normal(1, count, side, side, dtype=torch.complex64) / (2 * count) ** 0.5
    sampled = (s.uniform(1, 1, 1, side) < 0.25).float().expand(1, 1, side, side)
    y = s.normal(s.batch, count, side, side, dtype=torch.complex64) * sampled
    setting, prepared = mri.plan(maps, sampled), mri.measurement(y)
    scratch = mri.work(prepared)
    wide = torch.complex128

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return mri.steps(
            x, prepared, setting, s.table, s.step, k, out=out, scratch=scratch, precision=precision, **tile
        )

    return Case(
        f"MRI {side}, {count} coils, {k} steps, {precision}",
        kernel,
        lambda: mri.steps_twin(x.double(), y.to(wide), maps.to(wide), sampled.double(), s.table, 1, k),
        lambda: mri.steps_torch(x, prepared, setting, s.table, s.step, k),
        x,
        k * count * s.batch * side * side * (4 * 8 + 8 + 16),
        int(k * count * s.batch * 20 * side * side * 8.4),
        s.tile(tiles=(32, 32, 4)),
        LINES,
    )


BUILDERS = (blurs, separables, phases, coils)
