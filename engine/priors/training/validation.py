"""How well a network denoises held-out photographs: the figure that training reports and shapes are compared by."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SIGMAS = (0.05, 0.1, 0.2, 0.4, 1.0)
CROP = 256


@torch.no_grad()
def denoising_psnr(denoiser: nn.Module, clean: Tensor, sigma: float) -> float:
    """Mean PSNR in dB over the pictures of `clean` [F, 3, H, W] in [-1, 1], noise from a fixed seed, result clipped."""
    scores = []
    for index, picture in enumerate(clean.split(1)):
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(picture.shape, generator=generator).to(picture.device)
        with torch.autocast(picture.device.type, torch.bfloat16):
            restored = denoiser(picture + sigma * noise, picture.new_full((1,), sigma)).clamp(-1, 1)
        scores.append(10 * math.log10(4 / float((restored - picture).square().mean())))
    return sum(scores) / len(scores)


def validate(denoiser: nn.Module, crops: Tensor) -> dict[str, float]:
    """PSNR at each of SIGMAS, by the noise level as text."""
    return {str(s): round(denoising_psnr(denoiser, crops, s), 3) for s in SIGMAS}
