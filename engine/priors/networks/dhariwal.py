"""EDM's DhariwalUNet, its version of ADM, parameter for parameter.

Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", appendix F, table 7 ("ADM").
InverseBench's inverse-scattering and MRI priors are such networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .edm_blocks import Block, BlockStyle, Conv, norm
from .edm_config import DhariwalConfig
from .layers import FloatLinear, Sinusoids, checked_label

_HEAD_CHANNELS = 64


class DhariwalUNet(nn.Module):
    """F(x, c_noise): x [B, C, H, W] with H and W divisible by `config.multiple`, c_noise [B] -> [B, out_channels, H, W].

    class_label: for a class-conditional network, the class of every picture. Raises ValueError where it is missing,
    out of range, or given to a network without classes. Augmentation vectors are zero, as they are in sampling.
    """

    def __init__(self, config: DhariwalConfig, class_label: int | None = None) -> None:
        super().__init__()
        self.config, self.class_label = config, checked_label(class_label, config.label_dim)
        width, embedding = config.model_channels, config.model_channels * config.channel_mult_emb
        self.map_noise = Sinusoids(width)
        if config.augment_dim:
            self.map_augment = FloatLinear(config.augment_dim, width, bias=False)
        self.map_layer0 = FloatLinear(width, embedding)
        self.map_layer1 = FloatLinear(embedding, embedding)
        if config.label_dim:
            self.map_label = FloatLinear(config.label_dim, embedding, bias=False)
        self.style = BlockStyle(embedding, _HEAD_CHANNELS, scale_shift=True, skip_scale=1, eps=1e-5, project_skip=False)
        widths = [width * mult for mult in config.channel_mult]
        self.enc, skips = self._encoder(widths)
        self.dec = self._decoder(widths, skips)
        self.out_norm = norm(widths[0], self.style.eps)
        self.out_conv = Conv(widths[0], config.out_channels, 3)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        emb = self.map_layer1(functional.silu(self.map_layer0(self.map_noise(c_noise))))
        if self.class_label is not None:
            emb = emb + self.map_label.weight[:, self.class_label]
        emb = functional.silu(emb)
        skips = []
        for layer in self.enc.values():
            x = layer(x, emb) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            x = layer(torch.cat([x, skips.pop()], dim=1) if "_block" in name else x, emb)
        out: Tensor = self.out_conv(self.out_norm(x))
        return out

    def _encoder(self, widths: list[int]) -> tuple[nn.ModuleDict, list[int]]:
        layers, skips, cin = nn.ModuleDict(), [widths[0]], widths[0]
        for level, width in enumerate(widths):
            size = self.config.img_resolution >> level
            if level == 0:
                layers[f"{size}x{size}_conv"] = Conv(self.config.in_channels, cin, 3)
            else:
                layers[f"{size}x{size}_down"] = Block(cin, cin, self.style, direction="down")
                skips.append(cin)
            for i in range(self.config.num_blocks):
                attend = size in self.config.attn_resolutions
                layers[f"{size}x{size}_block{i}"] = Block(cin, width, self.style, attend=attend)
                skips.append(width)
                cin = width
        return layers, skips

    def _decoder(self, widths: list[int], skips: list[int]) -> nn.ModuleDict:
        layers, cin = nn.ModuleDict(), widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            size = self.config.img_resolution >> level
            if level == len(widths) - 1:
                layers[f"{size}x{size}_in0"] = Block(cin, cin, self.style, attend=True)
                layers[f"{size}x{size}_in1"] = Block(cin, cin, self.style)
            else:
                layers[f"{size}x{size}_up"] = Block(cin, cin, self.style, direction="up")
            for i in range(self.config.num_blocks + 1):
                attend = size in self.config.attn_resolutions
                layers[f"{size}x{size}_block{i}"] = Block(cin + skips.pop(), width, self.style, attend=attend)
                cin = width
        return layers
