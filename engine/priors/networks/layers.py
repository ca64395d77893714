"""Building blocks shared by all networks: norms, float32 linear layers, attention over tokens, sinusoids, resampling.

Convolutions and matrix products may run in bfloat16 (weights narrowed, autocast); everything here that is sensitive to
it stays in float32: norm statistics, scale-shift and SiLU, the noise-level embedding. Nothing branches on data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..norm import norm_scale_shift_silu


class Norm(nn.GroupNorm):
    """GroupNorm, then SiLU if `silu`; with scale and shift [B, C] in between: h (1 + scale) + shift.

    x [B, C, H, W] -> the same shape and dtype. In between everything is float32 (float64 for float64 input), and one
    kernel on a GPU where `norm_scale_shift_silu` can.
    """

    def __init__(self, groups: int, channels: int, *, eps: float = 1e-5, silu: bool = True) -> None:
        super().__init__(groups, channels, eps=eps)
        self.silu = silu

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        return norm_scale_shift_silu(x, self, scale, shift, silu=self.silu).to(x.dtype)


class FloatLinear(nn.Module):
    """y = x W^T + b in float32 (float64 if the weights are), also under autocast: for the noise-level embedding.

    It is no nn.Linear, so that what narrows a network's linear layers to bfloat16 leaves it alone. These layers see one
    vector an image and cost nothing.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self._product(x)
        return self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


class Sinusoids(nn.Module):
    """t [B] -> [B, width]: cos(t w_i), then sin(t w_i) (or the other way round), w_i = 10000^(-i / last), i < width/2.

    last: width/2, or width/2 - 1 with `endpoint`, where the slowest wave is 1/10000.
    """

    frequencies: Tensor

    def __init__(self, width: int, *, endpoint: bool = False, sine_first: bool = False) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise ValueError(f"a sinusoidal embedding needs an even width of at least 4, got {width}")
        half, self.sine_first = width // 2, sine_first
        exponents = [i / (half - 1 if endpoint else half) for i in range(half)]
        # On the CPU by name: under torch.device("meta") it would be lost, and no checkpoint brings it back.
        table = torch.tensor([10000.0**-e for e in exponents], device="cpu", dtype=torch.float32)
        self.register_buffer("frequencies", table, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        phase = t[:, None] * self.frequencies
        waves = (phase.sin(), phase.cos()) if self.sine_first else (phase.cos(), phase.sin())
        return torch.cat(waves, dim=1)


class FourierWaves(nn.Module):
    """c [B] -> [B, width]: sin(2 pi c f_i), then cos(2 pi c f_i), with random frequencies f_i from the checkpoint."""

    freqs: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"a Fourier embedding needs an even width, got {width}")
        self.register_buffer("freqs", 16 * torch.randn(width // 2))

    def forward(self, c: Tensor) -> Tensor:
        phase = c[:, None] * (2 * math.pi * self.freqs)
        return torch.cat([phase.sin(), phase.cos()], dim=1)


def checked_label(label: int | None, classes: int | None) -> int | None:
    """The class of all pictures of a class-conditional network; None for a network without classes.

    Raises ValueError for a label that is missing, out of range, or given to a network without classes.
    """
    if not classes:
        if label is not None:
            raise ValueError(f"class_label = {label}, but the network is not class-conditional; leave it out")
        return None
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < classes:
        raise ValueError(
            f"the network is class-conditional: class_label (--class-label) must lie in 0 .. {classes - 1}, got {label!r}"
        )
    return label


def tokens(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H W, C]; no copy in channels-last memory."""
    return x.flatten(2).transpose(1, 2)


def pointwise(layer: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of size one over tokens: x [B, T, C] -> [B, T, C']."""
    return functional.linear(x, layer.weight.flatten(1), layer.bias)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v for each head: three [B, T, heads, D] -> [B, T, heads D]."""
    mixed = functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return mixed.transpose(1, 2).flatten(2)


def halve(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, H/2, W/2]: means of 2x2 pixels."""
    return functional.avg_pool2d(x, 2)


def double(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]: every pixel four times."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
