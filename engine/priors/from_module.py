"""A torch module of the user's own as a prior."""

from __future__ import annotations

from typing import Any

from torch import nn

from .config import PriorConfig
from .noise_schedule import as_schedule
from .prediction import FromDenoised
from .store import as_denoiser

ARCHITECTURE = "module"


def describe(
    *,
    name: str,
    licence: str,
    prediction: str,
    schedule: Any,
    timestep: str,
    value_range: tuple[float, float],
    channels: int,
    multiple: int,
) -> PriorConfig:
    """The facts of such a prior; it has no folder, so `files` is empty. Raises ValueError or TypeError naming the fact."""
    if prediction != "denoised":
        schedule = as_schedule("linear" if schedule is None else schedule).to_settings()
    return PriorConfig(
        name=name,
        architecture=ARCHITECTURE,
        settings={},
        channels=channels,
        multiple=multiple,
        licence=licence,
        notes={},
        files={},
        prediction=prediction,
        schedule=schedule,
        timestep=timestep,
        value_range=value_range,
    )


def wrap(module: nn.Module, config: PriorConfig, *, whole_steps: bool) -> nn.Module:
    """(x, sigma) -> denoised around `module`, in evaluation mode and frozen. Raises TypeError for what is no module."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"a prior is made from a torch.nn.Module, got {type(module).__name__}")
    if config.prediction == "denoised":
        module = FromDenoised(module, channels=config.channels)
    return as_denoiser(module, config, whole_steps=whole_steps).eval().requires_grad_(False)
