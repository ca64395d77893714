"""EDM's SongUNet, its version of DDPM++ and NCSN++, parameter for parameter.

Sources: Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", appendix H; Karras et
al., "Elucidating the Design Space of Diffusion-Based Generative Models", appendix F, table 7. InverseBench's black-hole
prior is a DDPM++.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .edm_blocks import Block, BlockStyle, Conv, FilteredConv, norm
from .edm_config import SongConfig
from .layers import FloatLinear, FourierWaves, Sinusoids, checked_label


class SongUNet(nn.Module):
    """F(x, c_noise): x [B, C, H, W] with H and W divisible by `config.multiple`, c_noise [B] -> [B, out_channels, H, W].

    class_label: for a class-conditional network, the class of every picture. Raises ValueError where it is missing,
    out of range, or given to a network without classes. Augmentation vectors are zero, as they are in sampling.
    """

    def __init__(self, config: SongConfig, class_label: int | None = None) -> None:
        super().__init__()
        self.config, self.class_label = config, checked_label(class_label, config.label_dim)
        waves, embedding = (config.model_channels * n for n in (config.channel_mult_noise, config.channel_mult_emb))
        fourier = config.embedding_type == "fourier"
        self.map_noise = FourierWaves(waves) if fourier else Sinusoids(waves, endpoint=True, sine_first=True)
        if config.label_dim:
            self.map_label = FloatLinear(config.label_dim, waves)
        if config.augment_dim:
            self.map_augment = FloatLinear(config.augment_dim, waves, bias=False)
        self.map_layer0 = FloatLinear(waves, embedding)
        self.map_layer1 = FloatLinear(embedding, embedding)
        self.style = BlockStyle(
            embedding,
            None,
            scale_shift=False,
            skip_scale=math.sqrt(0.5),
            eps=1e-6,
            project_skip=True,
            taps=config.resample_filter,
        )
        widths = [config.model_channels * mult for mult in config.channel_mult]
        self.enc, skips = self._encoder(widths)
        self.dec = self._decoder(widths, skips)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        emb = self.map_noise(c_noise)
        if self.class_label is not None:
            labels = self.map_label.weight[:, self.class_label] * math.sqrt(self.config.label_dim)
            emb = emb + labels + self.map_label.bias
        emb = functional.silu(self.map_layer1(functional.silu(self.map_layer0(emb))))
        skips: list[Tensor] = []
        picture = x
        for name, layer in self.enc.items():
            if name.endswith("_aux_residual"):
                x = picture = skips[-1] = (x + layer(picture)) * math.sqrt(0.5)
            else:
                x = layer(x, emb) if isinstance(layer, Block) else layer(x)
                skips.append(x)
        for name, layer in self.dec.items():
            if isinstance(layer, Block):
                x = layer(torch.cat([x, skips.pop()], dim=1) if "_block" in name else x, emb)
            else:
                x = layer(x)
        return x

    def _encoder(self, widths: list[int]) -> tuple[nn.ModuleDict, list[int]]:
        c, layers, skips, cin = self.config, nn.ModuleDict(), [self.config.model_channels], self.config.model_channels
        picture = c.in_channels
        for level, width in enumerate(widths):
            size = c.img_resolution >> level
            if level == 0:
                layers[f"{size}x{size}_conv"] = Conv(c.in_channels, cin, 3)
            else:
                layers[f"{size}x{size}_down"] = Block(cin, cin, self.style, direction="down")
                skips.append(cin)
                if c.encoder_type == "residual":
                    layers[f"{size}x{size}_aux_residual"] = FilteredConv(picture, cin, 3, c.resample_filter)
                    picture = cin
            for i in range(c.num_blocks):
                layers[f"{size}x{size}_block{i}"] = Block(cin, width, self.style, attend=size in c.attn_resolutions)
                skips.append(width)
                cin = width
        return layers, skips

    def _decoder(self, widths: list[int], skips: list[int]) -> nn.ModuleDict:
        c, layers, cin = self.config, nn.ModuleDict(), widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            size = c.img_resolution >> level
            if level == len(widths) - 1:
                layers[f"{size}x{size}_in0"] = Block(cin, cin, self.style, attend=True)
                layers[f"{size}x{size}_in1"] = Block(cin, cin, self.style)
            else:
                layers[f"{size}x{size}_up"] = Block(cin, cin, self.style, direction="up")
            for i in range(c.num_blocks + 1):
                attend = i == c.num_blocks and size in c.attn_resolutions
                layers[f"{size}x{size}_block{i}"] = Block(cin + skips.pop(), width, self.style, attend=attend)
                cin = width
        size = c.img_resolution
        layers[f"{size}x{size}_aux_norm"] = norm(cin, self.style.eps)
        layers[f"{size}x{size}_aux_conv"] = Conv(cin, c.out_channels, 3)
        return layers
