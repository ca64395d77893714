"""Small networks with random weights in every layer, so that no test passes because a layer happens to be zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lmaps.engine.priors.networks import ARCHITECTURES

ADM: dict[str, Any] = {
    "model_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": [1, 2],
    "attention_resolutions": [2],
    "num_head_channels": 16,
}
DHARIWAL: dict[str, Any] = {
    "img_resolution": 16,
    "in_channels": 2,
    "out_channels": 2,
    "model_channels": 32,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [8],
}
DDPMPP: dict[str, Any] = {
    "img_resolution": 16,
    "in_channels": 1,
    "out_channels": 1,
    "model_channels": 16,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [8],
}
NCSNPP: dict[str, Any] = {
    **DDPMPP,
    "channel_mult": [1, 2, 2],
    "in_channels": 3,
    "out_channels": 3,
    "embedding_type": "fourier",
    "channel_mult_noise": 2,
    "encoder_type": "residual",
    "resample_filter": [1, 3, 3, 1],
}


def denoiser(
    architecture: str, network: dict[str, Any], preconditioning: dict[str, Any], label: int | None = None, seed: int = 0
) -> nn.Module:
    settings = {"network": network, "preconditioning": preconditioning, "class_label": label}
    module = ARCHITECTURES[architecture](settings).eval()
    randomise(module, seed)
    return module


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Weights that keep the size of what passes through them; norms around one, biases around zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if name.endswith("freqs"):
            buffer.copy_(16 * torch.randn(buffer.shape, generator=generator))
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.data = noise / parameter[0].numel() ** 0.5
        else:
            parameter.data = 0.2 * noise + (1 if name.endswith("weight") else 0)


def shapes(module: nn.Module, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Of the network inside a denoiser, as a checkpoint would have them."""
    state = module.state_dict()
    return {f"{prefix}{key.removeprefix('network.')}": tuple(value.shape) for key, value in state.items()}


def weights(module: nn.Module) -> dict[str, Tensor]:
    """Of the network inside a denoiser, in float64."""
    return {key.removeprefix("network."): value.detach().double() for key, value in module.state_dict().items()}
