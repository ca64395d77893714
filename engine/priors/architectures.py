"""Which networks a prior's config.json can name. A new architecture is one more line in `ARCHITECTURES`.

A builder takes the `settings` object of config.json and returns a freshly initialised nn.Module (x, sigma) -> denoised
in the alpha = 1 convention; the caller loads the trained weights over it. Settings that do not fit raise TypeError,
KeyError or ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from .edm import EDMDenoiser
from .unet import UNet, UNetConfig


def build_edm_unet(settings: Mapping[str, Any]) -> nn.Module:
    """{"channels": [...], "blocks": [...], "embedding": n, "image_channels": n, "sigma_data": s}."""
    shape: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    sigma_data = float(shape.pop("sigma_data"))
    return EDMDenoiser(UNet(UNetConfig(**shape)), sigma_data)


def unet_config(denoiser: EDMDenoiser) -> UNetConfig:
    """The shape of the U-Net inside. Raises TypeError where there is another network."""
    if not isinstance(denoiser.network, UNet):
        raise TypeError(f"only denoisers around lmaps' own UNet can be saved, got {type(denoiser.network).__name__}")
    return denoiser.network.config


def edm_unet_settings(denoiser: EDMDenoiser) -> dict[str, Any]:
    """The settings that make `build_edm_unet` build a denoiser of the same shape."""
    c = unet_config(denoiser)
    return {
        "channels": list(c.channels),
        "blocks": list(c.blocks),
        "embedding": c.embedding,
        "image_channels": c.image_channels,
        "sigma_data": denoiser.sigma_data,
    }


ARCHITECTURES: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {"edm-unet": build_edm_unet}
