"""Which networks a prior's config.json can name. A new architecture is one more line in `ARCHITECTURES`.

A builder takes the `settings` object of config.json and returns a freshly initialised nn.Module; the caller loads the
trained weights over it. It is (x, sigma) -> denoised in the alpha = 1 convention where config.json's "prediction" is
"denoised", else it answers (input, timestep) with that prediction. Settings that do not fit raise TypeError, KeyError
or ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from . import networks
from .edm import EDMDenoiser
from .from_diffusers import build_unet2d
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


def _bare(name: str) -> Callable[[Mapping[str, Any]], nn.Module]:
    """The network inside a denoiser of `networks`, for checkpoints trained to answer something else than it assumes."""

    def build(settings: Mapping[str, Any]) -> nn.Module:
        denoiser = networks.ARCHITECTURES[name](settings)
        network = denoiser.network
        if not isinstance(network, nn.Module):
            raise TypeError(f"the architecture {name!r} has no network inside")
        network.channels, network.multiple = denoiser.channels, denoiser.multiple
        return network

    return build


# Those that answer (input, timestep), so that config.json has to state prediction and schedule; the others must not.
BARE: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "diffusers-unet2d": build_unet2d,
    **{f"{name}-network": _bare(name) for name in networks.ARCHITECTURES},
}
ARCHITECTURES: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "edm-unet": build_edm_unet,
    **networks.ARCHITECTURES,
    **BARE,
}
