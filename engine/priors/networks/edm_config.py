"""The shapes of EDM's two U-Nets: given, or read off the weights of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class DhariwalConfig:
    """Constructor arguments of EDM's DhariwalUNet ("ADM" in EDM), under its names.

    img_resolution:   size it was trained at. It names the parameters and the levels with attention; the network itself
                      takes any height and width divisible by `multiple`.
    channel_mult:     width of every level over model_channels.
    attn_resolutions: levels with attention, by their size at the training resolution.
    label_dim, augment_dim: sizes of the class and augmentation vectors; 0 for none.
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    channel_mult_emb: int = 4
    num_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (32, 16, 8)
    label_dim: int = 0
    augment_dim: int = 0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def multiple(self) -> int:
        """Height and width handed to the network must be divisible by this."""
        return int(2 ** (len(self.channel_mult) - 1))


@dataclass(frozen=True, slots=True)
class SongConfig:
    """Constructor arguments of EDM's SongUNet (DDPM++ and NCSN++), under its names. Beside those of `DhariwalConfig`:

    embedding_type:  "positional" (DDPM++) or "fourier" (NCSN++).  channel_mult_noise: its width over model_channels.
    encoder_type:    "standard" (DDPM++) or "residual" (NCSN++: the shrunken picture is added at every level).
    resample_filter: low-pass filter of the resampling: (1, 1) (DDPM++) or (1, 3, 3, 1) (NCSN++).
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    label_dim: int = 0
    augment_dim: int = 0
    embedding_type: Literal["positional", "fourier"] = "positional"
    channel_mult_noise: int = 1
    encoder_type: Literal["standard", "residual"] = "standard"
    resample_filter: tuple[int, ...] = (1, 1)

    def __post_init__(self) -> None:
        _check(self)
        if self.embedding_type not in ("positional", "fourier"):
            raise ValueError(f"embedding_type must be 'positional' or 'fourier', got {self.embedding_type!r}")
        if self.encoder_type not in ("standard", "residual"):
            raise ValueError(f"encoder_type must be 'standard' or 'residual', got {self.encoder_type!r}")
        if len(self.resample_filter) < 2 or len(self.resample_filter) % 2 or sum(self.resample_filter) == 0:
            raise ValueError(f"resample_filter needs an even number of taps, got {self.resample_filter}")

    @property
    def multiple(self) -> int:
        """Height and width handed to the network must be divisible by this."""
        return int(2 ** (len(self.channel_mult) - 1))


def _check(config: DhariwalConfig | SongConfig) -> None:
    for name in ("img_resolution", "in_channels", "out_channels", "model_channels", "channel_mult_emb", "num_blocks"):
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    if not config.channel_mult or min(config.channel_mult) < 1:
        raise ValueError(f"channel_mult needs a positive entry a level, got {config.channel_mult}")
    if config.img_resolution % config.multiple:
        raise ValueError(
            f"img_resolution = {config.img_resolution} cannot be halved {len(config.channel_mult) - 1} times"
        )
    if config.label_dim < 0 or config.augment_dim < 0:
        raise ValueError(f"label_dim and augment_dim cannot be negative: {config.label_dim}, {config.augment_dim}")


def dhariwal_config_from_weights(shapes: Shapes) -> DhariwalConfig:
    """The config whose network has these parameters (name -> shape, without prefixes); nothing is left open by them.

    Raises ValueError naming a parameter that is missing.
    """
    common = _common(shapes, model_channels=_shape(shapes, "map_layer0.weight")[1])
    return DhariwalConfig(out_channels=_shape(shapes, "out_conv.weight")[0], **common)


def song_config_from_weights(shapes: Shapes) -> SongConfig:
    """The config whose network has these parameters (name -> shape, without prefixes); nothing is left open by them.

    Raises ValueError naming a parameter that is missing, and for the skip encoders and decoders that EDM's code
    offers and none of its checkpoints has.
    """
    size = _resolutions(shapes)[0]
    if strange := [key for key in shapes if re.search(r"_aux_(skip|up|down)\.", key)]:
        raise ValueError(
            f"{strange[0]!r}: SongUNets of the skip type are not supported, the standard and residual ones are"
        )
    model_channels = _shape(shapes, f"enc.{size}x{size}_conv.weight")[0]
    filters = {shape[-1] for key, shape in shapes.items() if key.endswith("resample_filter")}
    if filters - {2, 4} or len(filters) > 1:
        raise ValueError(f"resample_filter must have 2 or 4 taps throughout, got {sorted(filters)}")
    return SongConfig(
        out_channels=_shape(shapes, f"dec.{size}x{size}_aux_conv.weight")[0],
        embedding_type="fourier" if "map_noise.freqs" in shapes else "positional",
        channel_mult_noise=_shape(shapes, "map_layer0.weight")[1] // model_channels,
        encoder_type="residual" if any("_aux_residual." in key for key in shapes) else "standard",
        resample_filter=(1, 3, 3, 1) if 4 in filters else (1, 1),
        **_common(shapes, model_channels),
    )


def _common(shapes: Shapes, model_channels: int) -> dict[str, Any]:
    sizes = _resolutions(shapes)
    top = f"enc.{sizes[0]}x{sizes[0]}"
    return {
        "img_resolution": sizes[0],
        "in_channels": _shape(shapes, f"{top}_conv.weight")[1],
        "model_channels": model_channels,
        "channel_mult": tuple(_shape(shapes, f"enc.{n}x{n}_block0.conv0.weight")[0] // model_channels for n in sizes),
        "channel_mult_emb": _shape(shapes, "map_layer0.weight")[0] // model_channels,
        "num_blocks": sum(f"{top}_block{i}.conv0.weight" in shapes for i in range(len(shapes))),
        "attn_resolutions": tuple(n for n in sizes if f"enc.{n}x{n}_block0.qkv.weight" in shapes),
        "label_dim": shapes.get("map_label.weight", (0, 0))[1],
        "augment_dim": shapes.get("map_augment.weight", (0, 0))[1],
    }


def _resolutions(shapes: Shapes) -> list[int]:
    """Of the levels, the largest first."""
    found = {int(match[1]) for key in shapes if (match := re.match(r"enc\.(\d+)x\1_block0\.", key))}
    sizes = sorted(found, reverse=True)
    if not sizes or sizes != [sizes[0] >> level for level in range(len(sizes))]:
        raise ValueError(f"the encoder's levels have the sizes {sizes}; each must be half the one before")
    return sizes


def _shape(shapes: Shapes, key: str) -> tuple[int, ...]:
    if key not in shapes:
        raise ValueError(f"the weights have no {key!r}, which every network of this family has")
    if len(shapes[key]) not in (2, 4):
        raise ValueError(f"{key} has shape {shapes[key]}; 2 or 4 dimensions are expected")
    return shapes[key]
