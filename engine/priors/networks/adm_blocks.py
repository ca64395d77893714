"""The blocks of ADM, with the parameter names of guided-diffusion's checkpoints.

The numbers in the names (`in_layers.2`) are positions in the original's lists; what stands between them (SiLU, dropout)
has no weights. Source: Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", section 3.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from .layers import FloatLinear, Norm, attention, double, halve, pointwise, tokens

GROUPS = 32


class ResBlock(nn.Module):
    """skip(x) + conv(SiLU(GN(h) (1 + scale) + shift)), h = conv(SiLU(GN(x))), scale and shift linear in the embedding.

    Without `scale_shift` the embedding is added to h before the norm. `resample` halves or doubles the picture between
    the first SiLU and its convolution, and on the skip. emb is SiLU(embedding) [B, E].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        scale_shift: bool,
        resample: Literal["down", "up"] | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_layers = nn.ModuleDict({"0": Norm(GROUPS, inputs), "2": nn.Conv2d(inputs, outputs, 3, padding=1)})
        self.emb_layers = nn.ModuleDict({"1": FloatLinear(embedding, (2 if scale_shift else 1) * outputs)})
        self.out_layers = nn.ModuleDict({"0": Norm(GROUPS, outputs), "3": nn.Conv2d(outputs, outputs, 3, padding=1)})
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers["0"](x)
        if self.resample == "down":
            h, x = halve(h), halve(x)
        elif self.resample == "up":
            h, x = double(h), double(x)
        h = self.in_layers["2"](h)
        modulation = self.emb_layers["1"](emb)
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.out_layers["0"](h, scale, shift)
        else:
            h = self.out_layers["0"](h + modulation[:, :, None, None].to(h.dtype))
        out: Tensor = self.skip_connection(x) + self.out_layers["3"](h)
        return out


class AttentionBlock(nn.Module):
    """x + proj(attention(qkv(GN(x)))) over all pixels.

    The 3C outputs of qkv are laid out [head][q, k, v][channel], or with `new_order` [q, k, v][head][channel].
    """

    def __init__(self, channels: int, heads: int, *, new_order: bool) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"{heads} heads do not divide the {channels} channels of an attention block")
        self.heads, self.new_order = heads, new_order
        self.norm = Norm(GROUPS, channels, silu=False)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        qkv = pointwise(self.qkv, tokens(self.norm(x)))
        if self.new_order:
            q, k, v = qkv.unflatten(2, (3, self.heads, -1)).unbind(2)
        else:
            q, k, v = qkv.unflatten(2, (self.heads, 3, -1)).unbind(3)
        mixed = pointwise(self.proj_out, attention(q, k, v))
        return x + mixed.transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):
    """Halve the picture: by a convolution of stride 2, or by means of 2x2 pixels."""

    def __init__(self, channels: int, *, convolution: bool) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if convolution else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = halve(x) if self.op is None else self.op(x)
        return out


class Upsample(nn.Module):
    """Double the picture by repeating pixels, then a convolution if there is one."""

    def __init__(self, channels: int, *, convolution: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if convolution else None

    def forward(self, x: Tensor) -> Tensor:
        x = double(x)
        return x if self.conv is None else self.conv(x)


class Stage(nn.ModuleList):
    """A numbered entry of input_blocks or output_blocks: layers in turn, the residual ones with the embedding."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


class Head(nn.ModuleDict):
    """The last norm, SiLU and convolution: `out.0` and `out.2`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__({"0": Norm(GROUPS, inputs), "2": nn.Conv2d(inputs, outputs, 3, padding=1)})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self["2"](self["0"](x))
        return out


class TimeEmbedding(nn.ModuleDict):
    """`time_embed.0` and `time_embed.2`: two linear layers around a SiLU, in float32."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__({"0": FloatLinear(inputs, outputs), "2": FloatLinear(outputs, outputs)})

    def forward(self, waves: Tensor) -> Tensor:
        out: Tensor = self["2"](functional.silu(self["0"](waves)))
        return out
