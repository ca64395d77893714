"""From what a network answers (the noise, v, the clean picture) at what it is given (a timestep) to (x, sigma) -> clean.

With s = 1 / sqrt(1 + sigma^2) and the network's input u = s x, which is sqrt(abar) clean + sqrt(1 - abar) noise:

    epsilon   clean = x - sigma F(u, t)             F estimates the noise        (Ho et al. 2020)
    v         clean = s u - s sigma F(u, t)         F estimates s noise - s sigma clean   (Salimans and Ho 2022, App. D)
    sample    clean = F(u, t)                       F estimates the clean picture
    denoised  clean = F(x, sigma)                   nothing to do

The timestep t is found in the table of ln sigma_t by linear interpolation, so it is a fraction between two steps; where
the network takes whole steps only, the nearest in ln sigma. Below the table's first noise level and above its last one t
stays at the end, while x is scaled by its true sigma.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .networks.preconditioning import TableTimestep
from .noise_schedule import NoiseSchedule

PREDICTIONS = ("epsilon", "v", "sample", "denoised")
TIMESTEPS = ("interpolated", "nearest")


def check_prediction(prediction: str) -> None:
    if prediction not in PREDICTIONS:
        raise ValueError(f"the prediction must be one of {', '.join(PREDICTIONS)}; got {prediction!r}")


class Timestep(nn.Module):
    """sigma [B] > 0 -> t [B] float32 in 0 .. T - 1, made of operations that every run time has."""

    def __init__(self, schedule: NoiseSchedule, mode: str = "interpolated") -> None:
        super().__init__()
        if mode not in TIMESTEPS:
            raise ValueError(f"the timestep must be {' or '.join(TIMESTEPS)}; got {mode!r}")
        self.mode, self.table = mode, TableTimestep(schedule.betas())

    def forward(self, sigma: Tensor) -> Tensor:
        t: Tensor = self.table(sigma.to(torch.float32))
        return t.round() if self.mode == "nearest" else t


class FromPrediction(nn.Module):
    """A network F(u, t) as D(x, sigma): x [B, C, H, W] in units of the [-1, 1] range, sigma [B] > 0 -> clean [B, C, H, W].

    channels: C. What the network answers beyond them (a variance) is dropped.
    whole_steps: hand t as int64, for networks that look it up in a table; needs timestep="nearest".
    An answer that is not a tensor is taken by its attribute `sample`, as diffusers' networks name it.
    """

    def __init__(
        self,
        network: nn.Module,
        prediction: str,
        schedule: NoiseSchedule,
        *,
        channels: int,
        timestep: str = "interpolated",
        whole_steps: bool = False,
    ) -> None:
        super().__init__()
        check_prediction(prediction)
        if prediction == "denoised":
            raise ValueError("a network that answers (x, sigma) with the clean picture needs no schedule")
        if whole_steps and timestep != "nearest":
            raise ValueError(f"a network that takes whole steps needs timestep='nearest', got {timestep!r}")
        self.network, self.prediction, self.channels, self.whole_steps = network, prediction, channels, whole_steps
        self.timestep = Timestep(schedule, timestep)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        noise = sigma.to(torch.float32).reshape(-1, 1, 1, 1)
        scale = (1 + noise.square()).rsqrt()
        t = self.timestep(sigma)
        answer = picture(self.network(x * scale, t.long() if self.whole_steps else t))
        out = answer[:, : self.channels].to(torch.float32)
        if self.prediction == "epsilon":
            return x - noise * out
        if self.prediction == "v":
            return scale * (x * scale - noise * out)
        return out


class FromDenoised(nn.Module):
    """A network that already is D(x, sigma), but may answer in another precision, with more channels, or in a wrapper."""

    def __init__(self, network: nn.Module, *, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return picture(self.network(x, sigma))[:, : self.channels].to(torch.float32)


class FromRange(nn.Module):
    """A denoiser D' of pictures in [low, high] as one of pictures in [-1, 1]:

    D(x, sigma) = (D'(low + g (x + 1), g sigma) - low) / g - 1,     g = (high - low) / 2
    """

    def __init__(self, denoiser: nn.Module, value_range: tuple[float, float]) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.low, self.gain = check_range(value_range)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        clean = self.denoiser(self.low + self.gain * (x + 1), self.gain * sigma)
        return (clean - self.low) / self.gain - 1


def check_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """(low, half the width). Raises ValueError unless low < high, both finite."""
    low, high = (float(v) for v in value_range)
    if not (low < high and high - low < float("inf")):
        raise ValueError(f"the value range must be two numbers, the lower first; got {low:g} and {high:g}")
    return low, (high - low) / 2


def picture(answer: Any) -> Tensor:
    """The tensor in a network's answer."""
    found = answer if isinstance(answer, Tensor) else getattr(answer, "sample", None)
    if not isinstance(found, Tensor) or found.ndim != 4:
        raise TypeError(
            "the network must answer with a tensor [B, C, H, W] or an object whose .sample is one; got "
            f"{type(answer).__name__}" + (f" of shape {tuple(found.shape)}" if isinstance(found, Tensor) else "")
        )
    return found
