"""EDM preconditioning: a raw network F becomes a denoiser D(x, sigma) in the alpha = 1 convention.

    D(x; sigma) = c_skip x + c_out F(c_in x, c_noise)
    c_skip = s_d^2 / (sigma^2 + s_d^2)            c_out   = sigma s_d / sqrt(sigma^2 + s_d^2)
    c_in   = 1 / sqrt(sigma^2 + s_d^2)            c_noise = ln(sigma) / 4

Source: Karras, Aittala, Aila, Laine, "Elucidating the Design Space of Diffusion-Based Generative Models", Table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EDMDenoiser(nn.Module):
    """D(x, sigma): x [B, C, H, W] in units of the [-1, 1] range, sigma [B] > 0 -> clean estimate [B, C, H, W].

    The arithmetic around the network stays in float32 whatever precision the network runs in.
    """

    def __init__(self, network: nn.Module, sigma_data: float = 0.5) -> None:
        super().__init__()
        if not sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, got {sigma_data}")
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s = sigma.to(torch.float32).reshape(-1, 1, 1, 1)
        total = s.square() + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = s * self.sigma_data * total.rsqrt()
        f = self.network(x * total.rsqrt(), s.reshape(-1).log() / 4)
        return c_skip * x + c_out * f.to(torch.float32)
