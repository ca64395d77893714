"""A large picture denoised in overlapping tiles, so that memory follows the tile and not the picture."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..priors import Prior
from .base import Denoiser
from .choose import open_denoiser

SMALLEST = 32


class TiledDenoiser:
    """D(x) = sum_t w_t D_t(x_t) / sum_t w_t: a denoiser of one tile size, for pictures of `size` (H, W).

    Tiles overlap by a quarter of their side or more, and w_t falls linearly to nothing over that overlap, so that no
    seam is left. Each step of a restoration is blended, and H acts on the whole picture: tiles suit every task.
    """

    def __init__(self, denoiser: Denoiser, size: tuple[int, int], tile: tuple[int, int]) -> None:
        self.denoiser, self.size, self.tile = denoiser, size, tile
        self.backend, self.precision = denoiser.backend, denoiser.precision
        self.supports_gradient, self.capturable = denoiser.supports_gradient, denoiser.capturable
        self.device = denoiser.device
        self.origins = [(top, left) for top in _origins(size[0], tile[0]) for left in _origins(size[1], tile[1])]
        window = _ramp(tile[0])[:, None] * _ramp(tile[1])
        total = torch.zeros(size, dtype=torch.float32)
        for area in self._areas():
            total[area] += window
        # Moved once: a copy from the CPU in every call would wait for the GPU.
        self._window, self._scale = window.to(self.device), (1 / total).to(self.device)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        out = torch.zeros_like(x, memory_format=torch.contiguous_format)
        for rows, columns in self._areas():
            out[..., rows, columns] += self._window * self.denoiser(x[..., rows, columns].contiguous(), sigma)
        return out * self._scale

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        with torch.no_grad():
            out.zero_()
            for rows, columns in self._areas():
                part = x[..., rows, columns].contiguous()
                answer = torch.empty_like(part)
                self.denoiser.into(part, sigma, answer)
                out[..., rows, columns] += answer.mul_(self._window)
            out.mul_(self._scale)

    def describe(self) -> dict[str, Any]:
        return {**self.denoiser.describe(), "size": self.size, "tile": self.tile, "tiles": len(self.origins)}

    def _areas(self) -> list[tuple[slice, slice]]:
        high, wide = self.tile
        return [(slice(top, top + high), slice(left, left + wide)) for top, left in self.origins]


def open_tiled(prior: Prior, *, tile: int | None, size: tuple[int, int], **options: Any) -> Denoiser:
    """`open_denoiser`, in tiles of `tile` x `tile` pixels where the picture is larger; None: the whole picture at once.

    Raises ValueError for a tile below 32 pixels.
    """
    if tile is not None and tile < SMALLEST:
        raise ValueError(f"tile must be at least {SMALLEST} pixels, got {tile}")
    if tile is None or max(size) <= tile:
        return open_denoiser(prior, size=size, **options)
    part = min(tile, size[0]), min(tile, size[1])
    return TiledDenoiser(open_denoiser(prior, size=part, **options), size, part)


def _origins(side: int, tile: int) -> list[int]:
    """First pixels of tiles that cover `side`, evenly spaced, overlapping by a quarter of a tile or more."""
    count = math.ceil((side - tile) / (tile - tile // 4)) + 1
    return [round(i * (side - tile) / max(count - 1, 1)) for i in range(count)]


def _ramp(tile: int) -> Tensor:
    """[tile] weights: rising linearly from the border to 1, a quarter of the tile inside."""
    along = torch.arange(tile, dtype=torch.float32)
    distance = torch.minimum(along, along.flip(0)) + 0.5
    return (distance / max(tile // 4, 1)).clamp(max=1)
