"""Checkpoints are recognised by names and shapes alone, completely: config, names, prefixes, and what is missing."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaps.engine.priors.networks import ARCHITECTURES
from lmaps.engine.priors.networks.recognise import Recognised, recognise

from .random_networks import ADM, DDPMPP, DHARIWAL, NCSNPP, denoiser, shapes

Shapes = dict[str, tuple[int, ...]]


def listed(name: str) -> Shapes:
    """Names and shapes of a published checkpoint, in its order."""
    text = gzip.decompress((Path(__file__).parent / "data" / f"{name}.txt.gz").read_bytes()).decode()
    return {key: ast.literal_eval(shape) for key, shape in (line.split(" ", 1) for line in text.splitlines())}


def built(found: Recognised) -> torch.nn.Module:
    """Under meta: no memory, whatever the size."""
    with torch.device("meta"):
        return ARCHITECTURES[found.architecture](json.loads(json.dumps(found.settings)))


@pytest.mark.parametrize(
    ("name", "tensors", "parameters", "attention"),
    [("ffhq_10m", 362, 93_563_910, [16]), ("imagenet256_uncond", 566, 552_814_086, [8, 16, 32])],
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.model."])
def test_published_adm_checkpoints_key_by_key(
    name: str, tensors: int, parameters: int, attention: list[int], prefix: str
) -> None:
    listing = listed(name)
    found = recognise({prefix + key: shape for key, shape in listing.items()})
    state = built(found).state_dict()
    assert [(found.module_key(prefix + key), shape) for key, shape in listing.items()] == [
        (key, tuple(value.shape)) for key, value in state.items()
    ]
    assert len(state) == tensors
    assert sum(value.numel() for value in state.values()) == parameters
    assert found.key_prefix == prefix
    network = found.settings["network"]
    assert network["attention_resolutions"] == attention
    assert network["channel_mult"] == [1, 1, 2, 2, 4, 4]
    assert (network["out_channels"], network["num_head_channels"], network["num_classes"]) == (6, 64, None)
    assert network["use_scale_shift_norm"]
    assert network["resblock_updown"]


def test_a_class_conditional_checkpoint_needs_its_class() -> None:
    listing = listed("imagenet256_uncond") | {"label_emb.weight": (1000, 1024)}
    found = recognise(listing, class_label=207)
    assert {key: tuple(value.shape) for key, value in built(found).state_dict().items()} == {
        f"network.{key}": shape for key, shape in listing.items()
    }
    with pytest.raises(ValueError, match=r"class_label \(--class-label\) must lie in 0 \.\. 999, got None"):
        built(recognise(listing))
    with pytest.raises(ValueError, match="must lie in 0"):
        built(recognise(listing, class_label=1000))
    with pytest.raises(ValueError, match="not class-conditional"):
        built(recognise(listed("ffhq_10m"), class_label=3))


# Parameter counts of InverseBench's three priors, computed from its configuration files.
@pytest.mark.parametrize(
    ("architecture", "network", "millions"),
    [
        ("dhariwal", {"img_resolution": 128, "in_channels": 1, "channel_mult": [1, 1, 1, 2, 2]}, 26.79),
        ("dhariwal", {"img_resolution": 320, "in_channels": 2, "channel_mult": [1, 1, 1, 2, 2]}, 26.00),
        ("song", {"img_resolution": 64, "in_channels": 1, "channel_mult": [1, 2, 2]}, 20.04),
    ],
)
def test_inversebench_priors_have_their_size(architecture: str, network: dict[str, Any], millions: float) -> None:
    network = network | {"out_channels": network["in_channels"], "model_channels": 128, "num_blocks": 1}
    network["attn_resolutions"] = [16]
    with torch.device("meta"):
        module = denoiser_on_meta(architecture, network)
        found = recognise(shapes(module, "model."))
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == millions
    assert found.settings["preconditioning"]["kind"] == {"dhariwal": "edm", "song": "vp"}[architecture]
    assert found.key_prefix == "model."


def denoiser_on_meta(architecture: str, network: dict[str, Any]) -> torch.nn.Module:
    return ARCHITECTURES[architecture]({"network": network, "preconditioning": {"kind": "edm"}})


ADM_CONFIGS = st.fixed_dictionaries(
    {
        "model_channels": st.sampled_from([32, 64]),
        "num_res_blocks": st.integers(1, 3),
        "channel_mult": st.lists(st.sampled_from([1, 2, 3, 1.5]), min_size=1, max_size=5),
        "attention": st.sets(st.integers(0, 4)),
        "in_channels": st.sampled_from([1, 3]),
        "learn_sigma": st.booleans(),
        "use_scale_shift_norm": st.booleans(),
        "resampling": st.sampled_from(["residual", "convolution", "plain"]),
        "num_classes": st.sampled_from([None, 7]),
    }
)


@settings(max_examples=25, deadline=None)
@given(ADM_CONFIGS)
def test_every_adm_config_is_read_back(drawn: dict[str, Any]) -> None:
    levels = len(drawn["channel_mult"])
    mult = [1 if drawn["model_channels"] * m % 32 else m for m in drawn["channel_mult"]]
    network = {
        "model_channels": drawn["model_channels"],
        "num_res_blocks": drawn["num_res_blocks"],
        "channel_mult": mult,
        "attention_resolutions": sorted(2**level for level in drawn["attention"] if level < levels),
        "in_channels": drawn["in_channels"],
        "out_channels": drawn["in_channels"] * (2 if drawn["learn_sigma"] else 1),
        "num_head_channels": None,
        "num_heads": 4,
        "use_scale_shift_norm": drawn["use_scale_shift_norm"],
        # With one level nothing resamples, and the weights cannot say how it would.
        "resblock_updown": levels > 1 and drawn["resampling"] == "residual",
        "conv_resample": levels == 1 or drawn["resampling"] != "plain",
        "use_new_attention_order": False,
        "num_classes": drawn["num_classes"],
    }
    label = None if drawn["num_classes"] is None else 3
    with torch.device("meta"):
        module = ARCHITECTURES["adm"]({"network": network, "preconditioning": {"kind": "vp"}, "class_label": label})
    found = recognise(shapes(module, "module."), class_label=label)
    known = {key: value for key, value in found.settings["network"].items() if not key.startswith("num_head")}
    assert known == {key: value for key, value in network.items() if not key.startswith("num_head")}


EDM_CONFIGS = st.fixed_dictionaries(
    {
        "img_resolution": st.sampled_from([32, 48, 64]),
        "in_channels": st.integers(1, 3),
        "model_channels": st.sampled_from([64, 128]),
        "channel_mult": st.lists(st.integers(1, 3), min_size=2, max_size=4),
        "channel_mult_emb": st.integers(1, 4),
        "num_blocks": st.integers(1, 3),
        "label_dim": st.sampled_from([0, 10]),
        "augment_dim": st.sampled_from([0, 9]),
    }
)


@settings(max_examples=20, deadline=None)
@given(EDM_CONFIGS, st.sets(st.integers(0, 3)), st.booleans(), st.booleans())
def test_every_edm_config_is_read_back(drawn: dict[str, Any], attention: set[int], song: bool, ncsn: bool) -> None:
    levels = len(drawn["channel_mult"])
    sizes = [drawn["img_resolution"] >> level for level in sorted(attention) if level < levels]
    network = drawn | {"out_channels": drawn["in_channels"], "attn_resolutions": sizes}
    if song:
        network |= {
            "embedding_type": "fourier" if ncsn else "positional",
            "channel_mult_noise": 2 if ncsn else 1,
            "encoder_type": "residual" if ncsn else "standard",
            "resample_filter": [1, 3, 3, 1] if ncsn else [1, 1],
        }
    label = 3 if drawn["label_dim"] else None
    architecture = "song" if song else "dhariwal"
    with torch.device("meta"):
        module = ARCHITECTURES[architecture](
            {"network": network, "preconditioning": {"kind": "edm"}, "class_label": label}
        )
    found = recognise(shapes(module, "model."), class_label=label)
    assert found.architecture == architecture
    assert found.settings["network"] == network
    assert found.settings["class_label"] == label
    assert {key: tuple(v.shape) for key, v in built(found).state_dict().items()} == {
        key: tuple(v.shape) for key, v in module.state_dict().items()
    }


def test_the_preconditioning_is_assumed_openly_and_can_be_given() -> None:
    ncsnpp = shapes(denoiser("song", NCSNPP, {"kind": "ve"}))
    found = recognise(ncsnpp)
    assert found.settings["preconditioning"] == {"kind": "ve"}
    assert found.assumed == ("preconditioning: ve",)
    assert recognise(shapes(denoiser("song", NCSNPP | {"augment_dim": 9}, {"kind": "edm"}))).settings[
        "preconditioning"
    ] == {"kind": "edm", "sigma_data": 0.5}
    given_one = recognise(ncsnpp, preconditioning={"kind": "edm", "sigma_data": 0.3})
    assert given_one.settings["preconditioning"] == {"kind": "edm", "sigma_data": 0.3}
    assert not any("preconditioning" in sentence for sentence in given_one.assumed)


def test_iddpm_is_known_by_its_table_of_noise_levels() -> None:
    network = DHARIWAL | {"out_channels": 4}
    module = denoiser("dhariwal", network, {"kind": "iddpm", "steps": 60})
    found = recognise({"u": (61,), **shapes(module, "model.")})
    assert found.settings["preconditioning"] == {"kind": "iddpm", "steps": 60}
    assert found.ignored == ("u",)
    assert found.module_key("u") is None
    assert found.module_key("model.out_conv.bias") == "network.out_conv.bias"


def test_heads_of_the_published_shapes() -> None:
    small = {"num_res_blocks": 3, "model_channels": 192, "channel_mult": [1, 2, 3, 4], "num_classes": 1000}
    middle = {"num_res_blocks": 2, "model_channels": 256, "channel_mult": [1, 1, 2, 3, 4], "num_classes": 1000}
    old = ADM | {"model_channels": 128, "resblock_updown": False}
    for network, heads, new_order in (
        (small | {"attention_resolutions": [2, 4, 8]}, (64, 4), True),
        (middle | {"attention_resolutions": [4, 8, 16]}, (None, 4), False),
        (old, (None, 4), False),
    ):
        label = 1 if "num_classes" in network else None
        with torch.device("meta"):
            module = ARCHITECTURES["adm"]({"network": network, "preconditioning": {"kind": "vp"}, "class_label": label})
        found = recognise(shapes(module), class_label=label).settings
        assert (found["network"]["num_head_channels"], found["network"]["num_heads"]) == heads
        assert found["network"]["use_new_attention_order"] == new_order
        assert found["preconditioning"]["kind"] == ("ddpm" if new_order else "vp")


def test_heads_can_be_given_where_they_are_not_known() -> None:
    adm = shapes(denoiser("adm", ADM, {"kind": "vp"}))
    network = recognise(adm, heads=2).settings["network"]
    assert (network["num_head_channels"], network["num_heads"]) == (None, 2)
    assert "64" not in "".join(recognise(adm, heads=2).assumed)
    for architecture, known in (("dhariwal", DHARIWAL), ("song", DDPMPP)):
        with pytest.raises(ValueError, match="attention heads are known"):
            recognise(shapes(denoiser(architecture, known, {"kind": "edm"})), heads=2)


def without(listing: Shapes, *fragments: str) -> Shapes:
    return {key: shape for key, shape in listing.items() if not any(part in key for part in fragments)}


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ({}, "no tensors at all"),
        ({"conv.weight": (3, 3)}, r"looked for a tensor named 'time_embed.0.weight' \(guided-diffusion"),
        (without(listed("ffhq_10m"), "output_blocks"), "an encoder or a classifier"),
        (without(listed("ffhq_10m"), "input_blocks.0.0.weight"), "no 'input_blocks.0.0.weight'"),
        (without(listed("ffhq_10m"), "output_blocks.11"), "11 output_blocks cannot be 2 a level"),
        (listed("ffhq_10m") | {"input_blocks.0.0.weight": (128, 6, 3, 3)}, "upsampler"),
        (listed("ffhq_10m") | {"input_blocks.0.0.weight": (128, 3)}, "4 dimensions are expected"),
        (listed("ffhq_10m") | {"out.2.weight": (5, 128, 3, 3)}, "out_channels must be in_channels or twice it"),
        ({f"{p}.{k}": v for p in ("ema", "net") for k, v in listed("ffhq_10m").items()}, "several networks"),
        ({"map_layer0.weight": (4, 4), "enc.8x8_skip.weight": (1,)}, r"levels have the sizes \[\]"),
        (
            shapes(denoiser("song", DDPMPP, {"kind": "vp"})) | {"enc.8x8_aux_skip.weight": (1, 1, 1, 1)},
            "skip type are not supported",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_recognised_is_explained(listing: Shapes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recognise(listing)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preconditioning": {"kind": "karras"}}, "preconditioning 'karras' is unknown; known are ddpm, edm"),
        ({"preconditioning": {"kind": "edm"}}, "as many channels out as in"),
        ({"preconditioning": {"kind": "ddpm", "betas": {"kind": "sigmoid"}}}, "betas of kind 'sigmoid' are unknown"),
        ({"preconditioning": {"kind": "ddpm", "betas": [0.1, 1.5]}}, "between 0 and 1"),
        ({"attention": 3}, r"unknown settings \['attention'\]"),
        ({"network": ADM | {"model_channels": 33}}, "multiples of 32"),
        ({"network": ADM | {"attention_resolutions": [16]}}, "downsampling rates"),
        ({"network": ADM | {"num_res_blocks": 0}}, "num_res_blocks must be a whole number"),
        ({"network": ADM | {"num_head_channels": 48}}, "does not divide 64"),
    ],
)
def test_settings_that_make_no_network_are_refused(change: dict[str, Any], message: str) -> None:
    good = {"network": ADM, "preconditioning": {"kind": "vp"}, "class_label": None}
    with pytest.raises(ValueError, match=message):
        ARCHITECTURES["adm"](good | change)


def test_weights_go_in_without_a_copy_and_tables_survive_meta() -> None:
    module = denoiser("song", NCSNPP, {"kind": "ddpm", "betas": {"kind": "cosine", "steps": 50}})
    checkpoint = {f"model.{key.removeprefix('network.')}": value for key, value in module.state_dict().items()}
    found = recognise(
        {key: tuple(value.shape) for key, value in checkpoint.items()},
        preconditioning={"kind": "ddpm", "betas": {"kind": "cosine", "steps": 50}},
    )
    again = built(found)
    again.load_state_dict({str(found.module_key(key)): value for key, value in checkpoint.items()}, assign=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(again.parameters(), module.parameters(), strict=True))
    assert not any(tensor.is_meta for tensor in (*again.parameters(), *again.buffers()))
    x, sigma = torch.randn(1, 3, 12, 8), torch.tensor([1.7])
    assert torch.equal(again(x, sigma), module(x, sigma))
    assert (again.channels, again.multiple) == (3, 4)


def test_another_resampling_filter_than_the_built_one_is_refused() -> None:
    module = denoiser("song", NCSNPP, {"kind": "ve"})
    state = module.state_dict()
    state["network.enc.8x8_down.conv0.resample_filter"] = torch.full((1, 1, 4, 4), 1 / 16)
    with pytest.raises(RuntimeError, match=r"enc\.8x8_down\.conv0\.resample_filter is not the filter \(1, 3, 3, 1\)"):
        module.load_state_dict(state)
