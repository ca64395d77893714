"""The U-Net of guided-diffusion ("ADM"), parameter for parameter.

Source: Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis" (arXiv 2105.05233), section 3 and
appendix; widths and depths from `ADMConfig`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .adm_blocks import AttentionBlock, Downsample, Head, ResBlock, Stage, TimeEmbedding, Upsample
from .adm_config import ADMConfig
from .layers import Sinusoids, checked_label


class ADM(nn.Module):
    """F(x, t): x [B, C, H, W] with H and W divisible by `config.multiple`, t [B] timesteps 0 .. 999 (fractions allowed).

    Returns [B, out_channels, H, W]: the noise estimate, then with learn_sigma as many channels of variance.
    class_label: for a class-conditional network, the class of every picture. Raises ValueError where it is missing,
    out of range, or given to a network without classes.
    """

    def __init__(self, config: ADMConfig, class_label: int | None = None) -> None:
        super().__init__()
        self.config, self.class_label = config, checked_label(class_label, config.num_classes)
        embedding = 4 * config.model_channels
        self.waves = Sinusoids(config.model_channels)
        self.time_embed = TimeEmbedding(config.model_channels, embedding)
        if config.num_classes is not None:
            self.label_emb = nn.Embedding(config.num_classes, embedding)
        build = _Builder(config, embedding)
        self.input_blocks = nn.ModuleList(build.down())
        self.middle_block = Stage([build.residual(build.width), build.attention(), build.residual(build.width)])
        self.output_blocks = nn.ModuleList(build.up())
        self.out = Head(build.width, config.out_channels)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        emb = self.time_embed(self.waves(t))
        if self.class_label is not None:
            emb = emb + self.label_emb.weight[self.class_label]
        emb = functional.silu(emb)
        skips = []
        for stage in self.input_blocks:
            x = stage(x, emb)
            skips.append(x)
        x = self.middle_block(x, emb)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, skips.pop()], dim=1), emb)
        out: Tensor = self.out(x)
        return out


class _Builder:
    """Lays out the stages; `width` is what the next layer receives, `skips` the widths that wait to be joined."""

    def __init__(self, config: ADMConfig, embedding: int) -> None:
        self.config, self.embedding = config, embedding
        self.width = config.widths[0]
        self.skips: list[int] = []

    def residual(self, outputs: int, *, skip: int = 0) -> ResBlock:
        block = ResBlock(self.width + skip, outputs, self.embedding, scale_shift=self.config.use_scale_shift_norm)
        self.width = outputs
        return block

    def attention(self) -> AttentionBlock:
        return AttentionBlock(self.width, self.config.heads(self.width), new_order=self.config.use_new_attention_order)

    def down(self) -> list[Stage]:
        c = self.config
        stages = [Stage([nn.Conv2d(c.in_channels, self.width, 3, padding=1)])]
        self.skips.append(self.width)
        for level, width in enumerate(c.widths):
            for _ in range(c.num_res_blocks):
                stage = Stage([self.residual(width)])
                if 2**level in c.attention_resolutions:
                    stage.append(self.attention())
                stages.append(stage)
                self.skips.append(width)
            if level < len(c.widths) - 1:
                stages.append(Stage([self._halve()]))
                self.skips.append(width)
        return stages

    def up(self) -> list[Stage]:
        c = self.config
        stages = []
        for level in reversed(range(len(c.widths))):
            for i in range(c.num_res_blocks + 1):
                stage = Stage([self.residual(c.widths[level], skip=self.skips.pop())])
                if 2**level in c.attention_resolutions:
                    stage.append(self.attention())
                if level and i == c.num_res_blocks:
                    stage.append(self._double())
                stages.append(stage)
        return stages

    def _halve(self) -> nn.Module:
        if not self.config.resblock_updown:
            return Downsample(self.width, convolution=self.config.conv_resample)
        return ResBlock(
            self.width, self.width, self.embedding, scale_shift=self.config.use_scale_shift_norm, resample="down"
        )

    def _double(self) -> nn.Module:
        if not self.config.resblock_updown:
            return Upsample(self.width, convolution=self.config.conv_resample)
        return ResBlock(
            self.width, self.width, self.embedding, scale_shift=self.config.use_scale_shift_norm, resample="up"
        )
