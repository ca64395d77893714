"""The names and shapes of EDM's parameters, written out by hand for the smallest networks that show all of them."""

from __future__ import annotations

from typing import Any

import pytest

from .random_networks import DDPMPP, DHARIWAL, NCSNPP, denoiser, shapes

Shapes = dict[str, tuple[int, ...]]


def block(
    name: str, cin: int, cout: int, embedding: int, *, skip: bool = False, attend: bool = False, twice: bool = False
) -> Shapes:
    """A block without resampling; `twice` where the embedding gives scale and shift."""
    found: Shapes = {}
    for part, shape in {
        "norm0": (cin,),
        "conv0": (cout, cin, 3, 3),
        "affine": (cout * (2 if twice else 1), embedding),
        "norm1": (cout,),
        "conv1": (cout, cout, 3, 3),
        **({"skip": (cout, cin, 1, 1)} if skip else {}),
        **({"norm2": (cout,), "qkv": (3 * cout, cout, 1, 1), "proj": (cout, cout, 1, 1)} if attend else {}),
    }.items():
        found |= {f"{name}.{part}.weight": shape, f"{name}.{part}.bias": shape[:1]}
    return found


def pair(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def filters(name: str, size: int, *parts: str) -> Shapes:
    return {f"{name}.{part}.resample_filter": (1, 1, size, size) for part in parts}


def ddpmpp() -> Shapes:
    e = 64
    return {
        **pair("map_layer0", e, 16),
        **pair("map_layer1", e, e),
        **pair("enc.16x16_conv", 16, 1, 3, 3),
        **block("enc.16x16_block0", 16, 16, e),
        **block("enc.8x8_down", 16, 16, e, skip=True),
        **filters("enc.8x8_down", 2, "conv0", "skip"),
        **block("enc.8x8_block0", 16, 32, e, skip=True, attend=True),
        **block("dec.8x8_in0", 32, 32, e, attend=True),
        **block("dec.8x8_in1", 32, 32, e),
        **block("dec.8x8_block0", 64, 32, e, skip=True),
        **block("dec.8x8_block1", 48, 32, e, skip=True, attend=True),
        **block("dec.16x16_up", 32, 32, e, skip=True),
        **filters("dec.16x16_up", 2, "conv0", "skip"),
        **block("dec.16x16_block0", 48, 16, e, skip=True),
        **block("dec.16x16_block1", 32, 16, e, skip=True),
        **pair("dec.16x16_aux_norm", 16),
        **pair("dec.16x16_aux_conv", 1, 16, 3, 3),
    }


def ncsnpp() -> Shapes:
    """One level of residual encoder more than DDPM++ has, wide filters, random frequencies, classes, augmentation."""
    return {
        "map_noise.freqs": (16,),
        **pair("map_label", 32, 6),
        "map_augment.weight": (32, 9),
        **{key: shape for key, shape in ddpmpp().items() if not key.endswith("filter")},
        **pair("map_layer0", 64, 32),
        **pair("enc.16x16_conv", 16, 3, 3, 3),
        **filters("enc.8x8_down", 4, "conv0", "skip"),
        **pair("enc.8x8_aux_residual", 16, 3, 3, 3),
        "enc.8x8_aux_residual.resample_filter": (1, 1, 4, 4),
        **filters("dec.16x16_up", 4, "conv0", "skip"),
        **pair("dec.16x16_aux_conv", 3, 16, 3, 3),
    }


def dhariwal() -> Shapes:
    """No attention where a level is narrower than a head, and skips that resample without a convolution."""
    e = 128
    return {
        **pair("map_layer0", e, 32),
        **pair("map_layer1", e, e),
        "map_label.weight": (e, 6),
        **pair("enc.16x16_conv", 32, 2, 3, 3),
        **block("enc.16x16_block0", 32, 32, e, twice=True),
        **block("enc.8x8_down", 32, 32, e, twice=True),
        **filters("enc.8x8_down", 2, "conv0", "skip"),
        **block("enc.8x8_block0", 32, 64, e, skip=True, attend=True, twice=True),
        **block("dec.8x8_in0", 64, 64, e, attend=True, twice=True),
        **block("dec.8x8_in1", 64, 64, e, twice=True),
        **block("dec.8x8_block0", 128, 64, e, skip=True, attend=True, twice=True),
        **block("dec.8x8_block1", 96, 64, e, skip=True, attend=True, twice=True),
        **block("dec.16x16_up", 64, 64, e, twice=True),
        **filters("dec.16x16_up", 2, "conv0", "skip"),
        **block("dec.16x16_block0", 96, 32, e, skip=True, twice=True),
        **block("dec.16x16_block1", 64, 32, e, skip=True, twice=True),
        **pair("out_norm", 32),
        **pair("out_conv", 2, 32, 3, 3),
    }


@pytest.mark.parametrize(
    ("architecture", "network", "label", "expected"),
    [
        ("song", DDPMPP, None, ddpmpp()),
        ("song", NCSNPP | {"channel_mult": [1, 2], "label_dim": 6, "augment_dim": 9}, 0, ncsnpp()),
        ("dhariwal", DHARIWAL | {"attn_resolutions": [16, 8], "label_dim": 6}, 0, dhariwal()),
    ],
    ids=["ddpm++", "ncsn++", "dhariwal"],
)
def test_names_and_shapes(architecture: str, network: dict[str, Any], label: int | None, expected: Shapes) -> None:
    assert shapes(denoiser(architecture, network, {"kind": "edm"}, label)) == expected
