"""Every block and every network against plain operations on the same weights, in float64 and float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.priors.networks.adm_blocks import AttentionBlock, Downsample, ResBlock, Upsample
from lmaps.engine.priors.networks.edm_blocks import Block, BlockStyle, FilteredConv
from lmaps.engine.priors.networks.layers import FourierWaves, Norm, Sinusoids

from . import plain
from .plain_adm import adm, attention_block, res_block
from .plain_edm import block, dhariwal, residual_picture, song
from .random_networks import ADM, DDPMPP, DHARIWAL, NCSNPP, denoiser, randomise, weights


def close(got: Tensor, want: Tensor, tolerance: float = 1e-11) -> bool:
    got, want = got.detach(), want.detach()
    assert got.shape == want.shape
    return float((got - want).norm() / want.norm()) <= tolerance


def ready(module: nn.Module) -> tuple[nn.Module, dict[str, Tensor]]:
    """In float64 with random weights, and these under the name "b"."""
    randomise(module)
    module = module.double().eval().requires_grad_(False)
    return module, {f"b.{key}": value for key, value in module.state_dict().items()}


@pytest.mark.parametrize("resample", [None, "down", "up"])
@pytest.mark.parametrize("scale_shift", [True, False])
@pytest.mark.parametrize("outputs", [32, 64])
def test_adm_residual_block(resample: Any, scale_shift: bool, outputs: int) -> None:
    module, state = ready(ResBlock(32, outputs, 20, scale_shift=scale_shift, resample=resample))
    x, emb = torch.randn(2, 32, 6, 10, dtype=torch.float64), torch.randn(2, 20, dtype=torch.float64)
    assert close(module(x, plain.silu(emb)), res_block(state, "b", x, emb, resample or ""))


@pytest.mark.parametrize("new_order", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_adm_attention_block(new_order: bool, heads: int) -> None:
    module, state = ready(AttentionBlock(64, heads, new_order=new_order))
    x = torch.randn(2, 64, 3, 5, dtype=torch.float64)
    assert close(module(x), attention_block(state, "b", x, heads, new_order))


def test_adm_resampling_with_and_without_convolutions() -> None:
    x = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    down, state = ready(Downsample(5, convolution=True))
    assert close(down(x), plain.conv(x, state, "b.op", stride=2))
    up, state = ready(Upsample(5, convolution=True))
    assert close(up(x), plain.conv(plain.doubled(x), state, "b.conv"))
    assert close(Downsample(5, convolution=False)(x), plain.halved(x))
    assert close(Upsample(5, convolution=False)(x), plain.doubled(x))


SONG = BlockStyle(20, None, scale_shift=False, skip_scale=0.5**0.5, eps=1e-6, project_skip=True)
WIDE = BlockStyle(20, None, scale_shift=False, skip_scale=0.5**0.5, eps=1e-6, project_skip=True, taps=(1, 3, 3, 1))
DHAR = BlockStyle(20, 64, scale_shift=True, skip_scale=1, eps=1e-5, project_skip=False)


@pytest.mark.parametrize("style", [SONG, WIDE, DHAR], ids=["song", "song wide", "dhariwal"])
@pytest.mark.parametrize("direction", [None, "down", "up"])
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 128), (12, 20), (96, 128)])
@pytest.mark.parametrize("attend", [True, False])
def test_edm_block(style: BlockStyle, direction: Any, inputs: int, outputs: int, attend: bool) -> None:
    module, state = ready(Block(inputs, outputs, style, direction=direction, attend=attend))
    x, emb = torch.randn(2, inputs, 6, 4, dtype=torch.float64), torch.randn(2, 20, dtype=torch.float64)
    assert close(module(x, emb), block(state, "b", x, emb, song=style is not DHAR, change=direction or ""))
    assert any("qkv" in key for key in state) == (attend and not (style is DHAR and outputs < 64))


@pytest.mark.parametrize("taps", [(1, 1), (1, 3, 3, 1)])
def test_edm_shrunken_picture(taps: tuple[int, ...]) -> None:
    module, state = ready(FilteredConv(3, 8, 3, taps))
    x = torch.randn(2, 3, 6, 10, dtype=torch.float64)
    assert close(module(x), residual_picture(state, "b", x))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("silu", [True, False])
def test_norm(scale: bool, silu: bool) -> None:
    module, state = ready(Norm(4, 12, eps=1e-3, silu=silu))
    x = 3 + 2 * torch.randn(2, 12, 5, 7, dtype=torch.float64)
    modulation = [torch.randn(2, 12, dtype=torch.float64) for _ in range(2)] if scale else [None, None]
    want = plain.group_norm(x, state, "b", 4, 1e-3)
    if scale:
        want = want * (1 + modulation[0][:, :, None, None]) + modulation[1][:, :, None, None]
    assert close(module(x, *modulation), plain.silu(want) if silu else want)


def test_norm_of_bfloat16_is_computed_in_float32() -> None:
    norm = Norm(2, 8)
    randomise(norm)
    # A mean of 200 leaves two bits of bfloat16 for the deviations; what comes in is exact, so only the end may round.
    x = (200 + torch.randint(-3, 4, (2, 8, 9, 9))).to(torch.bfloat16)
    scale, shift = torch.randn(2, 8), torch.randn(2, 8)
    got = norm(x, scale, shift)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, norm(x.float(), scale, shift).to(torch.bfloat16))


@pytest.mark.parametrize("t", [0.0, 0.92, 26.97, 956.1, 999.0])
def test_sinusoids(t: float) -> None:
    for endpoint, last in ((False, 32), (True, 31)):
        rates = torch.tensor([10000 ** (-i / last) for i in range(32)], dtype=torch.float64)
        want = torch.cat([(t * rates).cos(), (t * rates).sin()])
        got = Sinusoids(64, endpoint=endpoint)(torch.tensor([t]))[0]
        assert (got - want).abs().max() < 1e-4
        swapped = Sinusoids(64, endpoint=endpoint, sine_first=True)(torch.tensor([t]))[0]
        assert torch.equal(swapped, torch.cat([got[32:], got[:32]]))
    waves = FourierWaves(8)
    phase = 2 * torch.pi * waves.freqs * 0.3
    assert torch.allclose(waves(torch.tensor([0.3])), torch.cat([phase.sin(), phase.cos()])[None], atol=1e-5)


T = torch.tensor([3.7, 41.25], dtype=torch.float64)
ADM_VARIANTS: dict[str, tuple[dict[str, Any], int | None]] = {
    "one level": ({"channel_mult": [1], "attention_resolutions": []}, None),
    "three levels": ({"channel_mult": [1, 2, 2], "attention_resolutions": [4], "num_res_blocks": 2}, None),
    "attention at the top": ({"attention_resolutions": [1, 2]}, None),
    "added embedding": ({"use_scale_shift_norm": False}, None),
    "convolutions resample": ({"resblock_updown": False}, None),
    "plain resampling": ({"resblock_updown": False, "conv_resample": False}, None),
    "new attention order": ({"use_new_attention_order": True}, None),
    "half width at the top": ({"model_channels": 64, "channel_mult": [0.5, 1]}, None),
    "one channel, no variance": ({"in_channels": 1, "out_channels": 1}, None),
    "classes": ({"num_classes": 5}, 4),
}


@pytest.mark.parametrize("variant", ADM_VARIANTS)
def test_adm(variant: str) -> None:
    change, label = ADM_VARIANTS[variant]
    network = ADM | change | {"num_head_channels": None, "num_heads": 4}
    module = denoiser("adm", network, {"kind": "vp"}, label)
    x = torch.randn(2, network.get("in_channels", 3), 8, 12)
    order = network.get("use_new_attention_order", False)
    want = adm(weights(module), x.double(), T, heads=4, new_order=order, label=-1 if label is None else label)
    assert close(module.network(x, T.float()).double(), want, 1e-5)
    assert close(module.double().network(x.double(), T), want, 1e-6)


EDM_VARIANTS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "dhariwal": ("dhariwal", DHARIWAL, None),
    "dhariwal, three levels": ("dhariwal", DHARIWAL | {"channel_mult": [2, 1, 3], "num_blocks": 2}, None),
    "dhariwal, classes and augmentation": ("dhariwal", DHARIWAL | {"label_dim": 6, "augment_dim": 9}, 5),
    "ddpm++": ("song", DDPMPP, None),
    "ddpm++, two blocks": ("song", DDPMPP | {"num_blocks": 2, "attn_resolutions": [16, 8]}, None),
    "ddpm++, classes and augmentation": ("song", DDPMPP | {"label_dim": 6, "augment_dim": 9}, 0),
    "ncsn++": ("song", NCSNPP, None),
    "ncsn++, plain filter": ("song", NCSNPP | {"resample_filter": [1, 1]}, None),
    "ddpm++, wide filter": ("song", DDPMPP | {"resample_filter": [1, 3, 3, 1]}, None),
}


@pytest.mark.parametrize("variant", EDM_VARIANTS)
def test_edm_networks(variant: str) -> None:
    architecture, network, label = EDM_VARIANTS[variant]
    module = denoiser(architecture, network, {"kind": "edm"}, label)
    x, c_noise = torch.randn(2, network["in_channels"], 8, 12), torch.tensor([-0.4, 0.9])
    reference = {"dhariwal": dhariwal, "song": song}[architecture]
    want = reference(weights(module), x.double(), c_noise.double(), -1 if label is None else label)
    assert close(module.network(x, c_noise).double(), want, 1e-5)
    assert close(module.double().network(x.double(), c_noise.double()), want, 1e-6)


@pytest.mark.parametrize(
    ("architecture", "network", "kind"),
    [("adm", ADM, "vp"), ("dhariwal", DHARIWAL, "edm"), ("song", DDPMPP, "vp"), ("song", NCSNPP, "ve")],
)
def test_the_same_module_differentiates_and_takes_channels_last(
    architecture: str, network: dict[str, Any], kind: str
) -> None:
    network_alone = denoiser(architecture, network, {"kind": kind}).requires_grad_(False).double().network
    channels = network.get("in_channels", 3)
    x = torch.randn(1, channels, 8, 12, dtype=torch.float64, requires_grad=True)
    t, direction = torch.tensor([2.0], dtype=torch.float64), torch.randn(1, channels, 8, 12, dtype=torch.float64)
    out = network_alone(x, t)
    probe = torch.randn_like(out)
    (gradient,) = torch.autograd.grad((out * probe).sum(), x)
    h = 1e-5
    with torch.no_grad():
        ahead, behind = network_alone(x + h * direction, t), network_alone(x - h * direction, t)
        slope = ((ahead - behind) * probe).sum() / (2 * h)
        turned = network_alone(x.contiguous(memory_format=torch.channels_last), t)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-6)
    assert close(turned, out.detach())


@pytest.mark.parametrize(
    ("architecture", "network"), [("adm", ADM), ("dhariwal", DHARIWAL), ("song", DDPMPP), ("song", NCSNPP)]
)
def test_bfloat16_keeps_the_embedding_and_the_norms_in_float32(architecture: str, network: dict[str, Any]) -> None:
    module = denoiser(architecture, network, {"kind": "vp"})
    seen: dict[str, torch.dtype] = {}

    def watch(name: str) -> Any:
        def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            seen[name] = output.dtype

        return note

    for name, layer in module.named_modules():
        if any(name.endswith(end) for end in ("affine", "emb_layers.1", "map_layer1", "time_embed.2")):
            layer.register_forward_hook(watch(name))
    x, sigma = torch.randn(2, network.get("in_channels", 3), 8, 12), torch.tensor([0.3, 20.0])
    with torch.no_grad():
        want = module(x, sigma)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = module(x, sigma)
    assert set(seen.values()) == {torch.float32}
    assert got.dtype == torch.float32
    assert close(got, want, 0.05)
    assert not torch.equal(got, want)
