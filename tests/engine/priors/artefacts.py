"""What a picture must not have after denoising: a grid, a colour cast, values that blow up. As numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def grid(x: Tensor, period: int) -> float:
    """Amplitude of everything in x [1, C, H, W] that repeats every `period` pixels: the largest standard deviation, over the
    channels, of the period x period picture that averaging x over its periods gives. Slow content is taken away before.

    A network whose coarsest level has a stride of `period` can print nothing else.
    """
    height, width = (side - side % period for side in x.shape[-2:])
    x = x[..., :height, :width].double()
    tiles = x.reshape(*x.shape[:2], height // period, period, width // period, period)
    slow = tiles.mean((3, 5), keepdim=True)
    phases = (tiles - slow - _slopes(tiles - slow)).mean((2, 4))
    return float(phases.flatten(2).std(2, correction=0).amax())


def _slopes(tiles: Tensor) -> Tensor:
    """The plane fitted to each tile: a gradient of the picture is no grid."""
    _, _, _, p, _, q = tiles.shape
    rows = torch.linspace(-1, 1, p, dtype=tiles.dtype).reshape(1, 1, 1, p, 1, 1)
    columns = torch.linspace(-1, 1, q, dtype=tiles.dtype).reshape(1, 1, 1, 1, 1, q)
    down = (tiles * rows).mean((3, 5), keepdim=True) / (rows.square().mean())
    across = (tiles * columns).mean((3, 5), keepdim=True) / (columns.square().mean())
    return down * rows + across * columns


@dataclass(frozen=True)
class Artefacts:
    """grid: amplitude that the result has and the clean picture has not; cast: largest shift of a channel's mean;
    reach: largest magnitude. All in units of [-1, 1]."""

    grid: float
    cast: float
    reach: float


def artefacts(denoised: Tensor, clean: Tensor, period: int) -> Artefacts:
    """Of a denoised picture beside the clean one."""
    difference = denoised.double() - clean.double()
    cast = float(difference.mean((0, 2, 3)).abs().amax())
    return Artefacts(grid(difference, period), cast, float(denoised.abs().amax()))
