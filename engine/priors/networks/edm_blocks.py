"""The blocks of EDM's U-Nets, with the parameter names of its checkpoints.

Source: Karras, Aittala, Aila, Laine, "Elucidating the Design Space of Diffusion-Based Generative Models" (arXiv
2206.00364), appendix F and table 7; InverseBench's networks are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import FloatLinear, Norm, attention, double, halve, pointwise, tokens

Direction = Literal["down", "up"]
Taps = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockStyle:
    """What all blocks of a network share.

    embedding:     width of the noise-level embedding.
    head_channels: width of an attention head; None for a single head whatever the width.
    scale_shift:   the embedding scales and shifts after the second norm; else it is added before it.
    skip_scale:    every sum with a skip is multiplied by this.
    project_skip:  a skip that resamples has a convolution even where the width stays.
    taps:          low-pass filter of the resampling, before it is normalised.
    """

    embedding: int
    head_channels: int | None
    scale_shift: bool
    skip_scale: float
    eps: float
    project_skip: bool
    taps: Taps = (1, 1)

    def heads(self, channels: int) -> int:
        return 1 if self.head_channels is None else channels // self.head_channels


def norm(channels: int, eps: float, *, silu: bool = True) -> Norm:
    """32 groups, or fewer where a group would have less than 4 channels."""
    groups = min(32, channels // 4)
    if groups < 1 or channels % groups:
        raise ValueError(
            f"a width of {channels} cannot be normalised in {groups} groups; take a multiple of 4 or of 32"
        )
    return Norm(groups, channels, eps=eps, silu=silu)


class Conv(nn.Conv2d):
    """A convolution, on the halved or doubled picture where `direction` says so."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, direction: Direction | None = None, taps: Taps = (1, 1)
    ) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        self.direction = direction
        if direction is not None:
            _register_filter(self, taps)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.direction is None else resample(x, self.direction, self.resample_filter))


class Resample(nn.Module):
    """Halving or doubling alone: the skip of a block whose width stays."""

    resample_filter: Tensor

    def __init__(self, direction: Direction, taps: Taps) -> None:
        super().__init__()
        self.direction = direction
        _register_filter(self, taps)

    def forward(self, x: Tensor) -> Tensor:
        return resample(x, self.direction, self.resample_filter)


class FilteredConv(nn.Conv2d):
    """A convolution first, over a wider border, and then its low-pass filtered result at every second pixel."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, taps: Taps) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2 + (len(taps) - 1) // 2)
        _register_filter(self, taps)

    def forward(self, x: Tensor) -> Tensor:
        return _depthwise(super().forward(x), self.resample_filter, padding=0)


def resample(x: Tensor, direction: Direction, kernel: Tensor) -> Tensor:
    """Low-pass filter with kernel [1, 1, n, n] of sum one, and keep every second pixel; or the transpose, times 4."""
    size = kernel.shape[-1]
    if size == 2:
        return halve(x) if direction == "down" else double(x)
    padding = (size - 1) // 2
    if direction == "down":
        return _depthwise(x, kernel, padding)
    channels = x.shape[1]
    weight = (4 * kernel).to(x.dtype).expand(channels, 1, size, size)
    return functional.conv_transpose2d(x, weight, stride=2, padding=padding, groups=channels)


def _depthwise(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    if kernel.shape[-1] == 2:
        return halve(x)
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape[2:])
    return functional.conv2d(x, weight, stride=2, padding=padding, groups=channels)


def _register_filter(module: nn.Module, taps: Taps) -> None:
    """A buffer that checkpoints hold too. A checkpoint with another filter is refused: two taps are never even read."""
    line = torch.tensor(taps, dtype=torch.float32, device="cpu")
    expected = (torch.outer(line, line) / line.sum().square())[None, None]
    module.register_buffer("resample_filter", expected)

    def check(_: nn.Module, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        given, errors = state.get(f"{prefix}resample_filter"), rest[-1]
        if given is not None and given.shape == expected.shape and not given.is_meta and isinstance(errors, list):
            wrong = (given.detach().cpu().float() - expected).abs().max()
            if not wrong < 1e-3:
                errors.append(f"{prefix}resample_filter is not the filter {taps}: it is off by {float(wrong):.3g}")

    module.register_load_state_dict_pre_hook(check)


class Block(nn.Module):
    """s (skip(x) + conv(SiLU(GN(h) (1 + scale) + shift))), h = conv(SiLU(GN(x))); then s (x + proj(attention(x))).

    scale and shift are linear in the embedding emb [B, E]; s is `style.skip_scale`. `direction` halves or doubles the
    picture before the first convolution, and on the skip. The 3C outputs of qkv are laid out [head][channel][q, k, v].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style: BlockStyle,
        *,
        direction: Direction | None = None,
        attend: bool = False,
    ) -> None:
        super().__init__()
        self.style, self.heads = style, style.heads(outputs) if attend else 0
        self.norm0 = norm(inputs, style.eps)
        self.conv0 = Conv(inputs, outputs, 3, direction, style.taps)
        self.affine = FloatLinear(style.embedding, (2 if style.scale_shift else 1) * outputs)
        self.norm1 = norm(outputs, style.eps)
        self.conv1 = Conv(outputs, outputs, 3)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs or (direction is not None and style.project_skip):
            self.skip = Conv(inputs, outputs, 1, direction, style.taps)
        elif direction is not None:
            self.skip = Resample(direction, style.taps)
        if self.heads:
            if outputs % self.heads:
                raise ValueError(f"{self.heads} attention heads do not divide {outputs} channels")
            self.norm2 = norm(outputs, style.eps, silu=False)
            self.qkv = Conv(outputs, 3 * outputs, 1)
            self.proj = Conv(outputs, outputs, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv0(self.norm0(x))
        modulation = self.affine(emb)
        if self.style.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.norm1(h, scale, shift)
        else:
            h = self.norm1(h + modulation[:, :, None, None].to(h.dtype))
        x = self._scaled(self.skip(x) + self.conv1(h))
        return self._scaled(x + self._attention(x)) if self.heads else x

    def _attention(self, x: Tensor) -> Tensor:
        q, k, v = pointwise(self.qkv, tokens(self.norm2(x))).unflatten(2, (self.heads, -1, 3)).unbind(4)
        return pointwise(self.proj, attention(q, k, v)).transpose(1, 2).reshape(x.shape)

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.style.skip_scale == 1 else x * self.style.skip_scale
