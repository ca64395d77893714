"""A tiny guided-diffusion network, and the files people keep such networks in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lmaps.engine.priors.networks import ARCHITECTURES
from lmaps.engine.priors.networks.adm_config import ADMConfig

CONFIG = ADMConfig(model_channels=32, num_res_blocks=1, channel_mult=(1, 2), attention_resolutions=(2,))
# One level: tracing takes time for each layer.
SHALLOW = ADMConfig(model_channels=64, num_res_blocks=1, channel_mult=(1,), attention_resolutions=())


def tiny_adm(seed: int = 0, config: ADMConfig = CONFIG) -> nn.Module:
    """(x, sigma) -> denoised with random weights in all layers; H and W even."""
    network = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(config).items()}
    module = ARCHITECTURES["adm"]({"network": network, "preconditioning": {"kind": "vp"}, "class_label": None})
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 10
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5 / fan_in**0.5
    return module.eval()


def weights(seed: int = 0, config: ADMConfig = CONFIG) -> dict[str, Tensor]:
    """As guided-diffusion saves them."""
    return {key.removeprefix("network."): value for key, value in tiny_adm(seed, config).state_dict().items()}


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path
