"""How near a black hole's picture is to the true one: closures do not say where in the field it lies."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .metrics import psnr

# Shifts of up to a quarter of the side, 30 along each axis.
SHIFTS, FURTHEST = 30, 0.25
FWHM = 2 * math.sqrt(2 * math.log(2))


def shifted_psnr(x: Tensor, truth: Tensor, blur: float = 0.0, fov: float = 158.0) -> Tensor:
    """PSNR after the best shift of x, [B, 1, n, n] in [0, 1] -> [B], dB.

    The shifts are 30 x 30, from -1/4 to 1/4 of the side, by bilinear interpolation, black from outside.
    blur: full width at half maximum of the Gaussian that both are seen through after that; fov: the side; microarcseconds.
    Raises ValueError for pictures that do not compare. Source: Zheng et al. 2025, "InverseBench", black hole imaging.
    """
    best = aligned(x, truth)
    if blur > 0:
        pixels = blur / FWHM * x.shape[-1] / fov
        best, truth = _blurred(best, pixels), _blurred(truth, pixels)
    return psnr(best, truth)


def aligned(x: Tensor, truth: Tensor) -> Tensor:
    """x by the shift that brings it nearest to the truth, each image by itself."""
    psnr(x, truth)  # refuses what does not compare
    return torch.cat([_aligned(a, b) for a, b in zip(x.split(1), truth.split(1), strict=True)])


def _aligned(x: Tensor, truth: Tensor) -> Tensor:
    steps = torch.linspace(-2 * FURTHEST, 2 * FURTHEST, SHIFTS, dtype=x.dtype, device=x.device)
    moves = torch.cartesian_prod(steps, steps)
    maps = torch.eye(2, 3, dtype=x.dtype, device=x.device).repeat(len(moves), 1, 1)
    maps[:, :, 2] = moves
    grid = functional.affine_grid(maps, [len(moves), *x.shape[1:]], align_corners=False)
    shifted = functional.grid_sample(x.expand(len(moves), -1, -1, -1), grid, align_corners=False)
    return shifted[(shifted - truth).square().flatten(1).sum(1).argmin()][None]


def _blurred(x: Tensor, deviation: float) -> Tensor:
    """By a Gaussian of `deviation` pixels, black beyond the border."""
    reach = math.ceil(4 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) / deviation).square())
    taps = (taps / taps.sum())[None, None, None]
    rows = functional.conv2d(x.flatten(0, 1)[:, None], taps, padding=(0, reach))
    return functional.conv2d(rows, taps.mT, padding=(reach, 0)).reshape(x.shape)
