"""What a training run is made of: its settings, its noise levels, its loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..unet import UNetConfig


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a run; on one machine they reproduce it, where they were the same from its beginning (see `history`).

    images:    crops seen in all. The last `cooldown` share of them lets the learning rate fall to zero.
    total_minutes: the length in minutes of all chunks together, in place of images; 0: images say it. The same share of
               them lets the rate fall, so a run ends with rate zero however fast the machine is.
    crop:      side of a training crop in pixels, a multiple of the network's.
    muon_rate: learning rate of the convolutions (Muon); rate: of everything else (AdamW).
    ema_images: half-life of the weight average, in crops.
    warmup_from: crops seen when the optimisers were last fresh; the rate warms up from there.
    started_from: the prior whose weights the run began with, "" for random ones.
    """

    network: UNetConfig = field(default_factory=UNetConfig)
    sigma_data: float = 0.5
    images: int = 1_000_000
    batch: int = 32
    crop: int = 64
    muon_rate: float = 7e-4
    rate: float = 5e-4
    weight_decay: float = 0.0
    warmup_images: int = 5_000
    cooldown: float = 0.2
    ema_images: int = 20_000
    seed: int = 0
    warmup_from: int = 0
    started_from: str = ""
    total_minutes: float = 0.0

    def __post_init__(self) -> None:
        if self.crop % self.network.multiple:
            raise ValueError(f"crop must be a multiple of {self.network.multiple} for this network, got {self.crop}")
        if self.images < self.batch or self.batch < 1:
            raise ValueError(f"images must be at least one batch, got images={self.images}, batch={self.batch}")
        if not 0 <= self.cooldown <= 1:
            raise ValueError(f"cooldown must lie in [0, 1], got {self.cooldown}")
        if self.total_minutes < 0:
            raise ValueError(f"total_minutes must not be negative, got {self.total_minutes}")

    def finished(self, seen: int, seconds: float) -> bool:
        return seconds >= 60 * self.total_minutes if self.total_minutes else seen >= self.images

    def rate_factor(self, seen: int, seconds: float = 0.0) -> float:
        """Share of the full learning rate after `seen` crops and `seconds`: up in a line, level, down in a line."""
        up = min(1.0, (seen - self.warmup_from + self.batch) / max(self.warmup_images, 1))
        if self.total_minutes:
            length, done = 60 * self.total_minutes, seconds
        else:
            length, done = self.images, seen
        down = (length - done) / max(self.cooldown * length, 1e-9)
        return max(0.0, min(up, down, 1.0))

    def ema_decay(self, seen: int) -> float:
        """Weight of the old average at one step; the half-life grows with the run so that the start is forgotten."""
        half_life = min(self.ema_images, max(seen, self.batch) * 0.1)
        return float(0.5 ** (self.batch / half_life))


# Where a run starts from; every setting can still be given by itself. "gpu" is for a machine that takes thousands of crops a
# second: batches and crops large enough to fill it, rates raised with the root of the batch, a wider network within 32 MB.
RECIPES = {
    "cpu": Recipe(),
    "gpu": Recipe(
        network=UNetConfig(channels=(64, 128, 256), blocks=(2, 2, 6)),
        images=6_000_000,
        batch=256,
        crop=96,
        muon_rate=1.5e-3,
        rate=1e-3,
        warmup_images=100_000,
        ema_images=150_000,
    ),
}


def draw_sigma(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Noise levels of a batch: nine tenths log-normal around the levels restoration uses, one tenth anywhere.

    ln sigma ~ N(ln 0.22, 1.2^2), or uniform in [ln 0.004, ln 110] so that no level in 0.005 .. 100 is unknown.
    """
    normal = torch.randn(count, generator=generator, device=device) * 1.2 + math.log(0.22)
    low, high = math.log(0.004), math.log(110.0)
    anywhere = torch.rand(count, generator=generator, device=device) * (high - low) + low
    wide = torch.rand(count, generator=generator, device=device) < 0.1
    return torch.where(wide, anywhere, normal.clamp(low, high)).exp()


def denoising_loss(denoiser: nn.Module, clean: Tensor, sigma: Tensor, noise: Tensor, sigma_data: float) -> Tensor:
    """mean of ((D(x + sigma n, sigma) - x) / c_out)^2, the EDM loss with its own weight 1 / c_out^2."""
    s = sigma[:, None, None, None]
    c_out = s * sigma_data / (s.square() + sigma_data**2).sqrt()
    error = (denoiser(clean + s * noise, sigma) - clean) / c_out
    return error.square().mean()
