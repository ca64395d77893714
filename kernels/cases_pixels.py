"""Problems for the kernels that look at no neighbours, and for JPEG. See `cases`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import group_norm, jpeg, mask, modulate, pointwise, schedule, spectral, transition
from .cases import TOLERANCE, Case, Setting

BLOCKS = tuple({"block": block} for block in (256, 512, 1024, 2048))


def masks(s: Setting) -> list[Case]:
    x, y, k = s.pictures(), s.pictures(), s.inner(100)
    m = (s.uniform(1, 1, s.side, s.side) < 0.3).float()

    def literal(out: Tensor, **tile: Any) -> Tensor:
        return mask.steps(x, y, m, s.table, s.step, k, out=out, **tile)

    def closed(out: Tensor, **tile: Any) -> Tensor:
        return mask.closed_form(x, y, m, s.table, s.step, k, out=out, **tile)

    def twin() -> Tensor:
        return mask.steps_twin(x.double(), y.double(), m.double(), s.table, 1, k)

    def plain() -> Tensor:
        return mask.steps_twin(x, y, m, s.table, 1, k)

    moved, tile = 12 * x.numel() + 4 * m.numel(), s.tile(block=4096)
    return [
        Case(f"mask, {k} steps", literal, twin, plain, x, moved, 4 * k * x.numel(), tile, BLOCKS),
        Case("mask, closed form", closed, twin, plain, x, moved, 40 * x.numel(), tile, BLOCKS),
    ]


def spectra(s: Setting) -> list[Case]:
    shape = (s.batch, 3, s.side, s.side // 2 + 1)
    lam = s.uniform(1, 1, *shape[2:])
    return [_spectrum(s, lam, *(s.normal(*shape, dtype=t) for _ in range(2))) for t in (torch.float32, torch.complex64)]


def _spectrum(s: Setting, lam: Tensor, c: Tensor, b: Tensor) -> Case:
    wide = torch.complex128 if c.is_complex() else torch.float64

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return spectral.apply(c, b, lam, s.table, s.step, 100, out=out, **tile)

    return Case(
        f"spectral filter, {'complex' if c.is_complex() else 'real'}",
        kernel,
        lambda: spectral.apply_twin(c.to(wide), b.to(wide), lam, s.table, 1, 100),
        lambda: spectral.apply_twin(c, b, lam, s.table, 1, 100),
        c,
        3 * c.numel() * c.element_size() + 4 * lam.numel(),
        40 * c.numel(),
        s.tile(block=4096),
        BLOCKS,
    )


def hdr(s: Setting) -> list[Case]:
    return [_hdr(s, surrogate) for surrogate in (False, True)]


def _hdr(s: Setting, surrogate: bool) -> Case:
    x, y, k = s.pictures(), s.pictures(), s.inner(100)

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return pointwise.hdr(x, y, s.table, s.step, k, surrogate=surrogate, out=out, **tile)

    return Case(
        f"HDR {'surrogate' if surrogate else 'clip gradient'}, {k} steps",
        kernel,
        lambda: pointwise.hdr_twin(x.double(), y.double(), s.table, 1, k, surrogate=surrogate),
        lambda: pointwise.hdr_twin(x, y, s.table, 1, k, surrogate=surrogate),
        x,
        12 * x.numel(),
        8 * k * x.numel(),
        s.tile(block=4096),
        BLOCKS,
        smooth=surrogate,
    )


def quantise(s: Setting) -> list[Case]:
    x, y, k = s.pictures(), s.pictures(), s.inner(100)

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return pointwise.quantise(x, y, s.table, s.step, k, out=out, **tile)

    return [
        Case(
            f"quantise, {k} steps",
            kernel,
            lambda: pointwise.quantise_twin(x.double(), y.double(), s.table, 1, k),
            lambda: pointwise.quantise_twin(x, y, s.table, 1, k),
            x,
            12 * x.numel(),
            10 * k * x.numel(),
            s.tile(block=4096),
            BLOCKS,
            smooth=False,
        )
    ]


def jpegs(s: Setting) -> list[Case]:
    return [_jpeg(s, sampling, planes) for sampling, planes in (("4:2:0", 1.5), ("4:2:2", 2.0), ("4:4:4", 3.0))]


def _jpeg(s: Setting, sampling: str, planes: float) -> Case:
    x, y, k = s.pictures(), s.pictures(), s.inner(100)
    setting = jpeg.plan((torch.arange(64).reshape(8, 8) * 3.0 + 60).expand(3, 8, 8), sampling, device=s.device)
    # For a pixel and step: four passes of 42 operations for 8 values, rounding; then colours and update.
    operations = planes * (4 * 42 / 8 + 4) + 42

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return jpeg.steps(x, y, setting, s.table, s.step, k, out=out, **tile)

    return Case(
        f"JPEG {sampling}, {k} steps",
        kernel,
        lambda: jpeg.steps_twin(x.double(), y.double(), setting, s.table, 1, k),
        lambda: jpeg.steps_twin(x, y, setting, s.table, 1, k),
        x,
        12 * x.numel(),
        int(operations * k * x.numel() / 3),
        s.tile(pixels=4096),
        tuple({"pixels": pixels, "warps": warps} for pixels in (256, 512, 1024) for warps in (1, 2, 4)),
        smooth=False,
    )


def transitions(s: Setting) -> list[Case]:
    x = s.pictures()
    seeds = torch.arange(s.batch, dtype=torch.int64, device=s.device)
    scaled = torch.empty_like(x)

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return transition.apply(x, seeds, s.table, s.step, out=out, scaled=scaled, **tile)

    def plain() -> Tensor:
        *_, noise, scale = schedule.row(s.table, 1, torch.float32)
        x_next = x + noise * torch.randn_like(x)
        scaled.copy_(scale * x_next)
        return x_next

    return [
        Case(
            "transition, noise and scaling",
            kernel,
            lambda: transition.apply_twin(x.double(), seeds, s.table, 1)[0],
            plain,
            x,
            12 * x.numel(),
            60 * x.numel(),
            s.tile(quads=1024),
            tuple({"quads": quads} for quads in (128, 256, 512)),
        )
    ]


def norms(s: Setting) -> list[Case]:
    shapes = ((64, 16), (64, 4)) if s.small else ((128, 256), (512, 16))
    return [
        _norm(s, s.normal(s.batch, c, side, side) + 1, dtype, tolerance)
        for dtype, tolerance in ((torch.float32, TOLERANCE), (torch.bfloat16, 4e-3))
        for c, side in shapes
    ]


def _norm(s: Setting, numbers: Tensor, dtype: torch.dtype, tolerance: float) -> Case:
    x = numbers.to(dtype).contiguous(memory_format=torch.channels_last)
    b, c, side, _ = x.shape
    weight, bias, scale, shift = s.normal(c), s.normal(c), s.normal(b, c), s.normal(b, c)

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return group_norm.apply(x, 32, weight, bias, scale=scale, shift=shift, out=out, **tile)

    def plain() -> Tensor:
        h = torch.nn.functional.group_norm(x, 32, weight.to(dtype), bias.to(dtype))
        h = h * (1 + scale.to(dtype)[:, :, None, None]) + shift.to(dtype)[:, :, None, None]
        return torch.nn.functional.silu(h)

    return Case(
        f"GroupNorm + SiLU, {str(dtype)[6:]} {c}x{side}x{side}",
        kernel,
        lambda: group_norm.apply_twin(x.double(), 32, weight, bias, scale=scale, shift=shift),
        plain,
        x,
        2 * x.numel() * x.element_size(),
        12 * x.numel(),
        s.tile(small=512),
        tuple({"stretches": n, "tile": t} for n in (64, 128, 256) for t in (2048, 4096, 8192)),
        tolerance,
    )


def modulations(s: Setting) -> list[Case]:
    c, side = (48, 8) if s.small else (96, 128)
    x = s.normal(s.batch, c, side, side).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    scale, shift = s.normal(s.batch, 2 * c).chunk(2, dim=1)

    def kernel(out: Tensor, **tile: Any) -> Tensor:
        return modulate.apply(x, scale, shift, out=out, **tile)

    def plain() -> Tensor:
        h = x * (1 + scale.to(x.dtype)[:, :, None, None]) + shift.to(x.dtype)[:, :, None, None]
        return torch.nn.functional.silu(h)

    return [
        Case(
            f"scale-shift + SiLU, bfloat16 {c}x{side}x{side}",
            kernel,
            lambda: modulate.apply_twin(x.double(), scale, shift),
            plain,
            x,
            2 * x.numel() * x.element_size(),
            8 * x.numel(),
            s.tile(block=4096),
            tuple({"block": block} for block in (1024, 2048, 4096, 8192)),
            4e-3,
        )
    ]


BUILDERS = (masks, spectra, hdr, quantise, jpegs, transitions, norms, modulations)
