from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lmaps.engine.priors import PriorError, load_prior, save_prior, saving
from lmaps.engine.priors.edm import EDMDenoiser

from ...tiny import random_denoiser


@pytest.fixture
def folder(tiny_prior_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(tiny_prior_folder, tmp_path / "tiny"))


def edit_config(folder: Path, **changes: Any) -> None:
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**facts, **changes}))


def sign(folder: Path) -> None:
    """Make the digests match what is there, as a careless or a wicked author would."""
    files = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in ("weights.safetensors", "model.onnx")}
    edit_config(folder, files=files)


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    sign(folder)


def test_what_is_saved_is_the_network_rounded_to_float16(tiny_prior_folder: Path) -> None:
    denoiser = random_denoiser()
    saved = load_prior(tiny_prior_folder).module().state_dict()
    assert saved.keys() == denoiser.state_dict().keys()
    for key, value in denoiser.state_dict().items():
        assert torch.equal(saved[key], value.half().float() if value.ndim > 1 else value)
    assert all(not p.requires_grad for p in load_prior(tiny_prior_folder).module().parameters())


def test_the_weights_are_stored_once(tiny_prior_folder: Path) -> None:
    assert sorted(p.name for p in tiny_prior_folder.iterdir()) == ["config.json", "model.onnx", "weights.safetensors"]
    graph = onnx.load(tiny_prior_folder / "model.onnx", load_external_data=False).graph
    parameters = dict(random_denoiser().named_parameters())
    stored = {t.name.removesuffix(".stored"): t for t in graph.initializer if t.external_data}
    assert stored.keys() == parameters.keys()
    data = (tiny_prior_folder / "weights.safetensors").read_bytes()
    for name, tensor in stored.items():
        place = {e.key: e.value for e in tensor.external_data}
        offset, length = int(place["offset"]), int(place["length"])
        value = parameters[name].detach()
        assert data[offset : offset + length] == (value.half() if value.ndim > 1 else value).numpy().tobytes()


def test_config_and_metadata_say_what_it_is(tiny_prior_folder: Path) -> None:
    facts = json.loads((tiny_prior_folder / "config.json").read_text())
    assert facts["architecture"] == "edm-unet"
    assert facts["settings"]["channels"] == [6, 10, 12]
    assert facts["settings"]["sigma_data"] == 0.5
    assert (facts["prediction"], facts["value_range"], facts["multiple"]) == ("denoised", [-1, 1], 8)
    prior = load_prior(str(tiny_prior_folder))
    assert (prior.name, prior.channels, prior.multiple) == ("tiny", 3, 8)
    assert prior.config.licence == "Apache-2.0"
    with safe_open(tiny_prior_folder / "weights.safetensors", framework="pt") as file:
        assert file.metadata() == {"name": "tiny", "architecture": "edm-unet", "licence": "Apache-2.0"}


@pytest.fixture
def quick_export(monkeypatch: pytest.MonkeyPatch, tiny_prior_folder: Path) -> None:
    """Saving without the seconds of tracing: the architecture is the same, so the graph's text is too."""

    def copy(module: nn.Module, path: Path, **_: Any) -> None:
        shutil.copy(tiny_prior_folder / "model.onnx", path)

    monkeypatch.setattr(saving, "export_onnx", copy)


@pytest.mark.usefixtures("quick_export")
def test_a_prior_names_its_preset(folder: Path) -> None:
    assert load_prior(folder).config.preset is None
    save_prior(folder, random_denoiser(), name="photo", licence="CC0-1.0", notes={}, preset="photo")
    assert load_prior(folder).config.preset == "photo"


@pytest.mark.usefixtures("quick_export")
def test_saving_again_replaces_the_prior_and_nothing_else(folder: Path) -> None:
    (folder / "README.md").write_text("model card")
    before = load_prior(folder).digest
    save_prior(folder, random_denoiser(seed=5), name="tiny", licence="CC0-1.0", notes={})
    after = load_prior(folder)
    assert after.digest != before
    assert after.config.licence == "CC0-1.0"
    stem = random_denoiser(seed=5).state_dict()["network.stem.weight"]
    assert torch.equal(after.module().state_dict()["network.stem.weight"], stem.half().float())
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.onnx", "weights.safetensors"]
    assert all(p.stat().st_mode & 0o777 == 0o644 for p in folder.iterdir() if p.suffix != ".md")


@pytest.mark.usefixtures("quick_export")
def test_a_save_that_is_cut_short_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def fail_at_config(source: Path, target: Path) -> None:
        if Path(target).name == "config.json":
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(saving.os, "replace", fail_at_config)
    with pytest.raises(OSError, match="disk full"):
        save_prior(folder, random_denoiser(seed=5), name="tiny", licence="CC0-1.0", notes={})
    with pytest.raises(PriorError, match="not the file that"):
        load_prior(folder)
    assert not list(folder.glob(".saving*"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7e4])
def test_weights_that_cannot_be_saved(value: float, tmp_path: Path) -> None:
    denoiser = random_denoiser()
    denoiser.state_dict()["network.head.weight"][0, 0, 0, 0] = value
    with pytest.raises(PriorError, match=r"network\.head\.weight"):
        save_prior(tmp_path / "p", denoiser, name="p", licence="CC0-1.0", notes={})
    assert not (tmp_path / "p").exists()


def test_only_networks_that_can_be_rebuilt_are_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Identity"):
        save_prior(tmp_path / "p", EDMDenoiser(nn.Identity()), name="p", licence="CC0-1.0", notes={})


# What may be wrong with a prior's folder: how to break it, and what the message must name.
BREAKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json does not exist"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), r"weights\.safetensors is missing"),
    "no graph": (lambda f: (f / "model.onnx").unlink(), r"model\.onnx is missing"),
    "weights cut off": (lambda f: os.truncate(f / "weights.safetensors", 999), r"weights\.safetensors is not the file"),
    "signed weights cut off": (
        lambda f: (os.truncate(f / "weights.safetensors", 999), sign(f)),
        r"weights\.safetensors is not a safetensors file",
    ),
    "graph edited": (
        lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:-1] + b"!"),
        r"model\.onnx is not the file",
    ),
    "signed graph cut off": (lambda f: (os.truncate(f / "model.onnx", 5000), sign(f)), r"model\.onnx.*damaged"),
    "graph reads elsewhere": (
        lambda f: (
            (f / "model.onnx").write_bytes(
                (f / "model.onnx").read_bytes().replace(b"weights.safetensors", b"../../../etc/passwd")
            ),
            sign(f),
        ),
        r"\.\./\.\./\.\./etc/passwd",
    ),
    "graph reads another file here": (
        lambda f: (
            (f / "model.onnx").write_bytes(
                (f / "model.onnx").read_bytes().replace(b"weights.safetensors", b"weights.safetensorz")
            ),
            sign(f),
        ),
        r"only weights\.safetensors may be read",
    ),
    "LFS pointer": (
        lambda f: (f / "weights.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS pointer",
    ),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
    "config not an object": (lambda f: (f / "config.json").write_text("[]"), "must hold a JSON object"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "cannot be read as JSON"),
    "newer format": (lambda f: edit_config(f, format=2), "'format' is 2"),
    "prediction without schedule": (lambda f: edit_config(f, prediction="epsilon"), "'epsilon' goes with a schedule"),
    "schedule without prediction": (lambda f: edit_config(f, schedule={}), "'denoised' goes without a schedule"),
    "another's prediction": (
        lambda f: edit_config(f, prediction="epsilon", schedule={"kind": "linear"}),
        "'epsilon' cannot be that of 'edm-unet'",
    ),
    "unknown prediction": (
        lambda f: edit_config(f, prediction="score"),
        "one of epsilon, v, sample, denoised; got 'score'",
    ),
    "unknown schedule": (
        lambda f: edit_config(f, prediction="epsilon", schedule={"kind": "sine"}),
        "schedule must be one of linear.*'sine'",
    ),
    "value range upside down": (lambda f: edit_config(f, value_range=[1, -1]), "the lower first; got 1 and -1"),
    "value range of three": (lambda f: edit_config(f, value_range=[0, 1, 2]), "'value_range' must be two numbers"),
    "size not whole": (lambda f: edit_config(f, size=[64.0, 64]), "'size' must be two numbers"),
    "preset not text": (lambda f: edit_config(f, preset=3), "'preset' must be of type str"),
    "source not text": (lambda f: edit_config(f, source={"file": 3}), "'source' must map names to text"),
    "no name": (lambda f: edit_config(f, name=None), "'name' must be of type str, got None"),
    "channels zero": (lambda f: edit_config(f, channels=0), "'channels' must lie in"),
    "multiple not whole": (lambda f: edit_config(f, multiple=8.0), "'multiple' must be of type int, got 8.0"),
    "no digests": (lambda f: edit_config(f, files={}), r"no digest of weights\.safetensors"),
    "digest of a stranger": (
        lambda f: edit_config(f, files={**json.loads((f / "config.json").read_text())["files"], "../x": "0"}),
        r"\.\./x is missing",
    ),
    "unknown architecture": (
        lambda f: edit_config(f, architecture="gan"),
        "unknown architecture 'gan'; known are adm.*edm-unet",
    ),
    "settings too few": (lambda f: edit_config(f, settings={}), "settings do not fit 'edm-unet'"),
    "settings too many": (
        lambda f: edit_config(f, settings={**json.loads((f / "config.json").read_text())["settings"], "heads": 4}),
        "settings do not fit 'edm-unet'.*heads",
    ),
    "missing tensor": (
        lambda f: edit_weights(f, lambda w: w.pop("network.stem.weight")),
        r"missing network\.stem\.weight",
    ),
    "unexpected tensor": (
        lambda f: edit_weights(f, lambda w: w.update(extra=torch.zeros(1))),
        "unexpected extra",
    ),
    "wrong shape": (
        lambda f: edit_weights(f, lambda w: w.update({"network.head.weight": torch.zeros(3)})),
        r"network\.head\.weight has shape \(3,\), expected \(12, 6, 3, 3\)",
    ),
    "NaN": (
        lambda f: edit_weights(f, lambda w: w["network.head.weight"].view(-1)[5:6].fill_(float("nan"))),
        r"network\.head\.weight has NaN",
    ),
    "integers": (
        lambda f: edit_weights(f, lambda w: w.update({"network.head.weight": w["network.head.weight"].int()})),
        r"network\.head\.weight is stored as torch\.int32",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_prior_is_refused_with_the_reason(case: str, folder: Path) -> None:
    load_prior(folder)
    damage, message = BREAKS[case]
    damage(folder)
    with pytest.raises(PriorError, match=message):
        load_prior(folder)


def test_a_name_that_is_no_prior(tmp_path: Path) -> None:
    with pytest.raises(PriorError, match=r"no prior 'nonsense': neither a shipped one .* nor a folder"):
        load_prior("nonsense")
    with pytest.raises(PriorError, match="no prior"):
        load_prior(tmp_path / "nowhere")


def test_what_is_not_a_prior_yet(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"PK")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    for path in (tmp_path / "net.pt", tmp_path / "pipeline"):
        with pytest.raises(PriorError, match=f"{path.name} is not a prior yet.*lmaps convert"):
            load_prior(path)


def test_damaged_headers_with_honest_digests_give_one_kind_of_error(folder: Path) -> None:
    data, draw, refused = (folder / "weights.safetensors").read_bytes(), random.Random(0), 0
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(150):
        bad = bytearray(data)
        for _ in range(draw.choice([1, 3])):
            bad[draw.randrange(header)] = draw.randrange(256)
        (folder / "weights.safetensors").write_bytes(bad)
        sign(folder)
        try:
            load_prior(folder)
        except PriorError:
            refused += 1
    assert refused > 75
