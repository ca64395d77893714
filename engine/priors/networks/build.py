"""From JSON-able settings to the complete denoiser (x [B, C, H, W], sigma [B]) -> [B, C, H, W], alpha = 1 convention.

    {"network": fields of the network's config, "preconditioning": {"kind": ..., numbers}, "class_label": n or None}

Kinds of preconditioning and their numbers:

    "edm"         sigma_data = 0.5                                    lmaps.engine.priors.edm
    "vp"          beta_min = 0.1, beta_d = 19.9, steps = 1000         noise estimate, t from `LinearTimestep`
    "ve"                                                              score times sigma
    "iddpm"       c1 = 0.001, c2 = 0.008, steps = 1000                noise estimate, t from `ImprovedTimestep`
    "ddpm"        betas                                               noise estimate, t from `TableTimestep`

betas: {"kind": "linear" | "scaled_linear", "start": b, "end": b, "steps": T}, {"kind": "cosine", "steps": T}, or the T
numbers. Builders raise ValueError, KeyError or TypeError for settings that make no network. Every module they return
tells its `channels` and the `multiple` that H and W must be divisible by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from ..edm import EDMDenoiser
from .preconditioning import (
    ImprovedTimestep,
    LinearTimestep,
    NoiseEstimateDenoiser,
    TableTimestep,
    VEDenoiser,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
)

if TYPE_CHECKING:
    from .adm_config import ADMConfig
    from .edm_config import DhariwalConfig, SongConfig

# The networks are imported by what builds them: a program that runs the shipped prior starts without them.
Settings = Mapping[str, Any]


def build_adm(settings: Settings) -> nn.Module:
    """guided-diffusion's U-Net; settings as the module's text says, "network" the fields of `ADMConfig`."""
    from .adm import ADM
    from .adm_config import ADMConfig

    config = ADMConfig(**_tuples(settings["network"]))
    return _denoiser(ADM(config, settings.get("class_label")), config, settings)


def build_dhariwal(settings: Settings) -> nn.Module:
    """EDM's DhariwalUNet; settings as the module's text says, "network" the fields of `DhariwalConfig`."""
    from .dhariwal import DhariwalUNet
    from .edm_config import DhariwalConfig

    config = DhariwalConfig(**_tuples(settings["network"]))
    return _denoiser(DhariwalUNet(config, settings.get("class_label")), config, settings)


def build_song(settings: Settings) -> nn.Module:
    """EDM's SongUNet; settings as the module's text says, "network" the fields of `SongConfig`."""
    from .edm_config import SongConfig
    from .song import SongUNet

    config = SongConfig(**_tuples(settings["network"]))
    return _denoiser(SongUNet(config, settings.get("class_label")), config, settings)


ARCHITECTURES: dict[str, Callable[[Settings], nn.Module]] = {
    "adm": build_adm,
    "dhariwal": build_dhariwal,
    "song": build_song,
}


def _edm(network: nn.Module, sigma_data: float = 0.5) -> nn.Module:
    return EDMDenoiser(network, sigma_data)


def _ve(network: nn.Module) -> nn.Module:
    return VEDenoiser(network)


def _vp(network: nn.Module, **numbers: Any) -> nn.Module:
    return NoiseEstimateDenoiser(network, LinearTimestep(**numbers))


def _iddpm(network: nn.Module, **numbers: Any) -> nn.Module:
    return NoiseEstimateDenoiser(network, ImprovedTimestep(**numbers))


def _ddpm(network: nn.Module, betas: Any) -> nn.Module:
    return NoiseEstimateDenoiser(network, TableTimestep(_betas(betas)))


def _betas(description: Mapping[str, Any] | Sequence[float]) -> Sequence[float]:
    if not isinstance(description, Mapping):
        return description
    numbers = dict(description)
    makers: dict[str, Callable[..., list[float]]] = {
        "linear": linear_betas,
        "scaled_linear": scaled_linear_betas,
        "cosine": cosine_betas,
    }
    kind = numbers.pop("kind")
    if kind not in makers:
        raise ValueError(f"betas of kind {kind!r} are unknown; known are {', '.join(makers)}, or give the numbers")
    return makers[kind](**numbers)


_PRECONDITIONING: dict[str, Callable[..., nn.Module]] = {
    "edm": _edm,
    "ve": _ve,
    "vp": _vp,
    "iddpm": _iddpm,
    "ddpm": _ddpm,
}


def _denoiser(network: nn.Module, config: ADMConfig | DhariwalConfig | SongConfig, settings: Settings) -> nn.Module:
    if strange := settings.keys() - {"network", "preconditioning", "class_label"}:
        raise ValueError(f"unknown settings {sorted(strange)}; known are network, preconditioning and class_label")
    numbers = dict(settings["preconditioning"])
    kind = numbers.pop("kind")
    if kind not in _PRECONDITIONING:
        raise ValueError(f"preconditioning {kind!r} is unknown; known are {', '.join(sorted(_PRECONDITIONING))}")
    if kind in ("edm", "ve") and config.out_channels != config.in_channels:
        raise ValueError(f"{kind} preconditioning needs as many channels out as in, got {config.out_channels} out")
    module = _PRECONDITIONING[kind](network, **numbers)
    # Plain attributes, not parameters: a network's own description, for whoever loads it.
    module.channels, module.multiple = config.in_channels, config.multiple  # type: ignore[assignment]
    return module


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
