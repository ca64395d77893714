"""The network inside the shipped photograph prior: a small convolutional U-Net.

A pixel-unshuffle stem puts every layer at half resolution or lower, the down and up paths meet by addition, and there is
no normalisation and no attention: nothing in the network depends on global statistics, so one set of weights serves any
height and width, and a 64x64 crop is treated exactly like the same pixels inside a large photograph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .norm import scale_shift_silu


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Shape of the network.

    channels: widths at 1/2, 1/4, 1/8 ... of the image's resolution.
    blocks:   residual blocks a level, on the way down and again on the way up; the last level has them once.
    embedding: width of the noise-level embedding.
    """

    channels: tuple[int, ...] = (48, 96, 192)
    blocks: tuple[int, ...] = (2, 2, 6)
    embedding: int = 128
    image_channels: int = 3

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.blocks) or not self.channels:
            raise ValueError(f"channels and blocks need one entry a level each, got {self.channels} and {self.blocks}")
        if min(self.channels) < 1 or min(self.blocks) < 1:
            raise ValueError(f"widths and block counts must be positive, got {self.channels} and {self.blocks}")
        if self.embedding < 2 or self.embedding % 2:
            raise ValueError(f"embedding must be an even number of at least 2, got {self.embedding}")

    @property
    def multiple(self) -> int:
        """Height and width handed to the network must be divisible by this."""
        return 2 ** len(self.channels)


class NoiseEmbedding(nn.Module):
    """c_noise [B] -> features [B, width]: sines and cosines of the log noise level, then a two-layer perceptron."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        octaves = torch.linspace(-2.0, 4.0, width // 2, dtype=torch.float32)
        self.register_buffer("frequencies", math.pi * octaves.exp2(), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, c_noise: Tensor) -> Tensor:
        phase = c_noise[:, None] * self.frequencies
        features: Tensor = self.mlp(torch.cat([phase.cos(), phase.sin()], dim=1))
        return features


class ResidualBlock(nn.Module):
    """x + conv(SiLU(conv(x) * (1 + scale) + shift)), scale and shift from the noise level."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1, bias=False)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        # The block starts as the identity, which lets a network without normalisation train at a high rate.
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        scale, shift = self.modulation(noise).chunk(2, dim=1)
        h = scale_shift_silu(self.conv_in(x), scale, shift)
        out: Tensor = x + self.conv_out(h)
        return out


class UNet(nn.Module):
    """F(x, c_noise): x [B, C, H, W] with H and W divisible by `config.multiple`, c_noise [B] -> [B, C, H, W]."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, depth = config.channels, len(config.channels)
        pixels = 4 * config.image_channels
        self.embedding = NoiseEmbedding(config.embedding)
        self.unshuffle = nn.PixelUnshuffle(2)
        self.stem = nn.Conv2d(pixels, widths[0], 3, padding=1, bias=False)

        def level(i: int) -> nn.ModuleList:
            return nn.ModuleList(ResidualBlock(widths[i], config.embedding) for _ in range(config.blocks[i]))

        self.down = nn.ModuleList(level(i) for i in range(depth - 1))
        self.shrink = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 2, stride=2, bias=False) for i in range(depth - 1)
        )
        self.bottom = level(depth - 1)
        self.grow = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[i + 1], 4 * widths[i], 1, bias=False), nn.PixelShuffle(2))
            for i in range(depth - 1)
        )
        self.up = nn.ModuleList(level(i) for i in range(depth - 1))
        self.head = nn.Conv2d(widths[0], pixels, 3, padding=1, bias=False)
        self.shuffle = nn.PixelShuffle(2)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        noise = self.embedding(c_noise)
        h = self.stem(self._follow(self.unshuffle(x)))
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, noise)
            skips.append(h)
            h = shrink(h)
        for block in self.bottom:
            h = block(h, noise)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = self._follow(grow(h)) + skips.pop()
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, noise)
        out: Tensor = self.shuffle(self.head(h))
        return out

    def _follow(self, h: Tensor) -> Tensor:
        """h in the layout of the weights: on CUDA the (un)shuffles answer in NCHW whatever they are given, and all that
        comes after would stay so. The weights say it, not x: their strides are plain numbers also while exporting.
        """
        if _is_channels_last(self.stem.weight):
            return h.contiguous(memory_format=torch.channels_last)
        return h


def _is_channels_last(weight: Tensor) -> bool:
    """False for what is both, as a tensor of one channel is."""
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
