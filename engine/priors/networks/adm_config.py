"""The shape of an ADM network: given, or read off the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .adm_blocks import GROUPS

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ADMConfig:
    """Constructor arguments of guided-diffusion's UNetModel, under its names, without those that inference never uses.

    channel_mult:          width of every level over model_channels; level i works at 1/2^i of the picture's size.
    attention_resolutions: downsampling rates with attention, 16 meaning at H/16 (in a 256x256 picture: at 16x16).
    num_head_channels:     width of an attention head; or None, and every attention block has `num_heads`.
    out_channels:          2 in_channels where the network also learnt a variance (learn_sigma).
    conv_resample:         with resblock_updown=False: resampling by convolutions, not by plain means and repetition.
    num_classes:           of a class-conditional network; None for others.
    Raises ValueError for numbers that make no network.
    """

    model_channels: int
    num_res_blocks: int
    channel_mult: tuple[int | float, ...]
    attention_resolutions: tuple[int, ...]
    in_channels: int = 3
    out_channels: int = 6
    num_head_channels: int | None = 64
    num_heads: int = 1
    use_scale_shift_norm: bool = True
    resblock_updown: bool = True
    conv_resample: bool = True
    use_new_attention_order: bool = False
    num_classes: int | None = None

    def __post_init__(self) -> None:
        for name in ("model_channels", "num_res_blocks", "in_channels", "out_channels", "num_heads"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not self.channel_mult:
            raise ValueError("channel_mult needs one entry a level, got none")
        if bad := [width for width in self.widths if width < 1 or width % GROUPS]:
            raise ValueError(f"the widths {self.widths} must be multiples of {GROUPS}; {bad} are not")
        rates = [2**level for level in range(len(self.channel_mult))]
        if strange := set(self.attention_resolutions) - set(rates):
            raise ValueError(f"attention_resolutions must be among the downsampling rates {rates}, got {strange}")
        if self.in_channels == self.out_channels == 6:
            raise ValueError("6 channels in and out: an upsampler, which needs a small picture beside the noisy one")
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(f"out_channels must be in_channels or twice it, got {self.out_channels}")

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def multiple(self) -> int:
        """Height and width handed to the network must be divisible by this."""
        return int(2 ** (len(self.channel_mult) - 1))

    @property
    def learn_sigma(self) -> bool:
        return self.out_channels == 2 * self.in_channels

    def heads(self, channels: int) -> int:
        """Attention heads of a block of this width. Raises ValueError where num_head_channels does not divide it."""
        if self.num_head_channels is None:
            return self.num_heads
        if channels % self.num_head_channels:
            raise ValueError(f"num_head_channels = {self.num_head_channels} does not divide {channels} channels")
        return channels // self.num_head_channels


def adm_config_from_weights(
    shapes: Shapes,
    *,
    num_head_channels: int | None = 64,
    num_heads: int = 4,
    use_new_attention_order: bool = False,
) -> ADMConfig:
    """The config whose network has these parameters (name -> shape, without prefixes).

    Everything is read off the weights except the division of attention into heads and its channel order, which leave
    no trace in them: these are arguments, and every published 256x256 and 512x512 network uses the defaults here.
    Raises ValueError naming a parameter that is missing or has an impossible shape.
    """
    stem, middle = _shape(shapes, "input_blocks.0.0.weight"), _shape(shapes, "middle_block.0.in_layers.2.weight")
    model_channels = _shape(shapes, "time_embed.0.weight")[1]
    inputs, outputs = _indices(shapes, "input_blocks"), _indices(shapes, "output_blocks")
    if not outputs:
        raise ValueError("the weights have no output_blocks: an encoder or a classifier, not a denoiser")
    entries = outputs[-1] + 1
    blocks = _blocks_a_level(shapes, inputs, outputs)
    if entries % (blocks + 1):
        raise ValueError(f"{entries} output_blocks cannot be {blocks + 1} a level: not a guided-diffusion U-Net")
    levels = entries // (blocks + 1)
    first = [1 + level * (blocks + 1) for level in range(levels)]
    widths = [_shape(shapes, f"input_blocks.{i}.0.in_layers.2.weight")[0] for i in first]
    if widths[-1] != middle[0]:
        raise ValueError(f"the lowest level is {widths[-1]} wide but middle_block is {middle[0]}")
    emb = _shape(shapes, "input_blocks.1.0.emb_layers.1.weight")
    residual = any(f"output_blocks.{i}.{k}.in_layers.2.weight" in shapes for i in outputs for k in (1, 2))
    convolved = any(f"input_blocks.{i}.0.op.weight" in shapes for i in inputs)
    labels = shapes.get("label_emb.weight")
    return ADMConfig(
        model_channels=model_channels,
        num_res_blocks=blocks,
        channel_mult=tuple(_ratio(width, model_channels) for width in widths),
        attention_resolutions=tuple(2**k for k, i in enumerate(first) if f"input_blocks.{i}.1.qkv.weight" in shapes),
        in_channels=stem[1],
        out_channels=_shape(shapes, "out.2.weight")[0],
        num_head_channels=num_head_channels,
        num_heads=num_heads,
        use_scale_shift_norm=emb[0] == 2 * widths[0],
        resblock_updown=residual,
        conv_resample=residual or convolved or levels == 1,
        use_new_attention_order=use_new_attention_order,
        num_classes=None if labels is None else labels[0],
    )


def _blocks_a_level(shapes: Shapes, inputs: list[int], outputs: list[int]) -> int:
    """num_res_blocks. The last output block of the lowest level ends in something that doubles the picture.

    Without weights there (plain repetition) the input block that halves has none either: a gap in the numbers. With one
    level there is neither, and every output block belongs to it.
    """
    for i in outputs:
        up = (f"output_blocks.{i}.{k}.{name}" for k in (1, 2) for name in ("in_layers.2.weight", "conv.weight"))
        if any(key in shapes for key in up):
            return i
    gaps = sorted(set(range(inputs[-1])) - set(inputs))
    return gaps[0] - 1 if gaps else outputs[-1]


def _indices(shapes: Shapes, group: str) -> list[int]:
    return sorted({int(key.split(".")[1]) for key in shapes if key.startswith(f"{group}.")})


def _shape(shapes: Shapes, key: str) -> tuple[int, ...]:
    if key not in shapes:
        raise ValueError(f"the weights have no {key!r}, which every guided-diffusion U-Net has")
    dims = 2 if "emb" in key else 4
    if len(shapes[key]) != dims:
        raise ValueError(f"{key} has shape {shapes[key]}; {dims} dimensions are expected")
    return shapes[key]


def _ratio(width: int, base: int) -> int | float:
    return width // base if width % base == 0 else width / base
