"""A small denoiser whose every parameter matters, so that no test passes because a layer happens to be zero."""

from __future__ import annotations

import torch

from lmaps.engine.priors.edm import EDMDenoiser
from lmaps.engine.priors.unet import UNet, UNetConfig

CONFIG = UNetConfig(channels=(6, 10, 12), blocks=(1, 1, 2), embedding=16)


def random_denoiser(seed: int = 0, config: UNetConfig = CONFIG) -> EDMDenoiser:
    """The shipped architecture, small, with random weights in all layers (a fresh one answers c_skip x)."""
    denoiser = EDMDenoiser(UNet(config), sigma_data=0.5).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in denoiser.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7 / fan_in**0.5
    return denoiser
