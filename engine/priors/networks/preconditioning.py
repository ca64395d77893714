"""From a trained network F to a denoiser D(x, sigma), alpha = 1: x = clean + sigma noise, in units of the [-1, 1] range.

    noise estimate (DDPM, VP, iDDPM):  D = x - sigma F(x / sqrt(1 + sigma^2), t(sigma))[first C channels]
    score times sigma (VE):            D = x + sigma F(x, ln(sigma / 2))
    EDM:                               in lmaps.engine.priors.edm

t(sigma) is one of the modules below. Sources: Song et al., "Score-Based Generative Modeling through Stochastic
Differential Equations"; Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models"; Karras et al.,
"Elucidating the Design Space of Diffusion-Based Generative Models", Table 1 and appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def _wide(f: Tensor) -> Tensor:
    return f.to(torch.promote_types(f.dtype, torch.float32))


class NoiseEstimateDenoiser(nn.Module):
    """D(x, sigma): x [B, C, H, W], sigma [B] > 0 -> [B, C, H, W], around a network that estimates the unit noise.

    timestep: sigma [B] -> what the network is told [B]. Channels of the network beyond C (a learnt variance) are
    dropped. The arithmetic around the network is float32 whatever precision the network runs in.
    """

    def __init__(self, network: nn.Module, timestep: nn.Module) -> None:
        super().__init__()
        self.network, self.timestep = network, timestep

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.to(torch.float32)
        s = sigma.reshape(-1, 1, 1, 1)
        f = self.network(x * (1 + s.square()).rsqrt(), self.timestep(sigma))
        return x - s * _wide(f[:, : x.shape[1]])


class VEDenoiser(nn.Module):
    """D(x, sigma): x [B, C, H, W], sigma [B] > 0 -> [B, C, H, W], around a network that estimates the negative noise."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.to(torch.float32)
        f = self.network(x, (sigma / 2).log())
        return x + sigma.reshape(-1, 1, 1, 1) * _wide(f)


class LinearTimestep(nn.Module):
    """t(sigma) of linear betas in continuous time, scaled to 0 .. steps - 1; a fraction, not rounded.

        t = (steps - 1) (sqrt(b0^2 + 2 b1 ln(1 + sigma^2)) - b0) / b1

    b0 = beta_min, b1 = beta_d: 0.1 and 19.9 are the continuous form of 1000 betas from 1e-4 to 0.02. At the noise level
    of the discrete step k it answers k + 0.5 to k + 1. Beyond the last step, which no network has seen, it stays there.
    """

    def __init__(self, beta_min: float = 0.1, beta_d: float = 19.9, steps: int = 1000) -> None:
        super().__init__()
        if not (beta_min > 0 and beta_d > 0 and steps >= 2):
            raise ValueError(f"beta_min and beta_d must be positive, steps >= 2; got {beta_min}, {beta_d}, {steps}")
        self.beta_min, self.beta_d, self.last = float(beta_min), float(beta_d), float(steps - 1)

    def forward(self, sigma: Tensor) -> Tensor:
        growth = sigma.square().log1p()
        # sqrt(b0^2 + g) - b0 without its cancellation at small sigma.
        t = 2 * growth / ((self.beta_min**2 + 2 * self.beta_d * growth).sqrt() + self.beta_min)
        return (self.last * t).clamp(max=self.last)


class TableTimestep(nn.Module):
    """t(sigma) for any betas [T]: the exact inverse of sigma_k = sqrt(1 / prod_{j <= k} (1 - beta_j) - 1) at t = k.

    Between two steps t is linear in ln(sigma); outside the table it stays at the nearest end.
    Raises ValueError unless there are at least 2 betas, all between 0 and 1.
    """

    log_sigmas: Tensor
    slopes: Tensor

    def __init__(self, betas: Sequence[float]) -> None:
        super().__init__()
        b = np.asarray(betas, dtype=np.float64)
        if b.ndim != 1 or b.size < 2 or not ((b > 0) & (b < 1)).all():
            given = f"{b.size} from {b.min()} to {b.max()}" if b.size else "none"
            raise ValueError(f"betas must be at least 2 numbers between 0 and 1, got {given}")
        log_sigmas = 0.5 * np.log(np.expm1(-np.log1p(-b).cumsum()))
        for name, table in (("log_sigmas", log_sigmas[:-1]), ("slopes", 1 / np.diff(log_sigmas))):
            self.register_buffer(name, torch.from_numpy(table.astype(np.float32)), persistent=False)

    def forward(self, sigma: Tensor) -> Tensor:
        passed = (sigma.log()[:, None] - self.log_sigmas) * self.slopes
        return passed.clamp(0, 1).sum(dim=1)


class ImprovedTimestep(nn.Module):
    """t(sigma) of iDDPM: the number, from the noisiest step, of the nearest noise level u_j, rounded as in training.

    u_M = 0,  u_{j-1} = sqrt((u_j^2 + 1) / max(abar_{j-1} / abar_j, c1) - 1),  abar_j = sin^2(pi j / (2 M (c2 + 1)))
    t = M - 1 - argmin_j |u_j - sigma|
    """

    middles: Tensor

    def __init__(self, c1: float = 0.001, c2: float = 0.008, steps: int = 1000) -> None:
        super().__init__()
        if not (0 < c1 < 1 and c2 > 0 and steps >= 2):
            raise ValueError(f"c1 must lie in (0, 1), c2 be positive, steps >= 2; got {c1}, {c2}, {steps}")
        abar = [math.sin(0.5 * math.pi * j / steps / (c2 + 1)) ** 2 for j in range(steps + 1)]
        levels = np.zeros(steps + 1)
        for j in range(steps, 0, -1):
            levels[j - 1] = math.sqrt((levels[j] ** 2 + 1) / max(abar[j - 1] / abar[j], c1) - 1)
        self.steps = steps
        middles = (levels[1:] + levels[:-1]) / 2
        self.register_buffer("middles", torch.from_numpy(middles.astype(np.float32)), persistent=False)

    def forward(self, sigma: Tensor) -> Tensor:
        nearest = (sigma[:, None] < self.middles).sum(dim=1)
        return (self.steps - 1 - nearest).to(torch.float32)


def linear_betas(start: float = 1e-4, end: float = 0.02, steps: int = 1000) -> list[float]:
    """beta_k evenly spaced from start to end: [steps]."""
    return [float(beta) for beta in np.linspace(start, end, steps)]


def scaled_linear_betas(start: float, end: float, steps: int = 1000) -> list[float]:
    """beta_k whose square roots are evenly spaced: [steps]."""
    return [float(beta) for beta in np.linspace(start**0.5, end**0.5, steps) ** 2]


def cosine_betas(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> list[float]:
    """beta_k = min(1 - f(k+1)/f(k), largest), f(k) = cos^2(pi/2 (k/steps + offset) / (1 + offset)): [steps].

    Source: Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", section 3.2.
    """
    f = np.cos(0.5 * np.pi * (np.arange(steps + 1) / steps + offset) / (1 + offset)) ** 2
    return [float(beta) for beta in np.minimum(1 - f[1:] / f[:-1], largest)]
