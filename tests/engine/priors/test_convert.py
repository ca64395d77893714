"""`convert`: checkpoints as people keep them, in; priors that answer exactly as the network does, out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import helper
from safetensors.torch import load_file, save_file
from torch import Tensor

import lmaps
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import NoiseSchedule, PriorError, load_prior, saving, sources
from lmaps.engine.priors.convert import Facts, convert

from .checkpoints import SHALLOW, save, tiny_adm, weights
from .graphs import Network, write_graph
from .networks.random_networks import DDPMPP, DHARIWAL, NCSNPP, denoiser
from .test_from_onnx import denoised, error, noisy


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def prefixed(prefix: str, content: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in content.items()}


WAYS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda w: w,
    "ema beside net": lambda w: {"net": weights(1), "ema": w, "step": 7},
    "net": lambda w: {"net": w, "optimizer": {"lr": 0.1}},
    "state_dict": lambda w: {"state_dict": w, "epoch": 3},
    "model": lambda w: {"model": w},
    "model. before every name": lambda w: {"ema": prefixed("model.", w)},
    "module. before every name": lambda w: prefixed("module.", w),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_prior_is_the_network(way: str, tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", WAYS[way](weights()))
    done = convert(path, tmp_path / "prior", Facts(licence="MIT"))
    prior = load_prior(tmp_path / "prior")
    assert (prior.name, prior.channels, prior.multiple, prior.config.licence) == ("net", 3, 2, "MIT")
    assert prior.config.source["file"] == "net.pt"
    assert done.parameters == sum(value.numel() for value in weights().values())
    x, sigma = noisy((10, 14))
    with torch.no_grad():
        assert torch.equal(prior.denoise(x, sigma), tiny_adm()(x, sigma))


@pytest.mark.parametrize(
    ("architecture", "network", "preconditioning", "stated"),
    [
        ("dhariwal", DHARIWAL, {"kind": "edm", "sigma_data": 0.5}, None),
        ("dhariwal", DHARIWAL, {"kind": "vp"}, "vp"),
        ("song", DDPMPP, {"kind": "vp"}, None),
        ("song", NCSNPP, {"kind": "ve"}, None),
    ],
)
def test_networks_of_edm_and_inversebench(
    architecture: str, network: dict[str, Any], preconditioning: dict[str, Any], stated: str | None, tmp_path: Path
) -> None:
    module = denoiser(architecture, network, preconditioning)
    content = prefixed("model.", {k.removeprefix("network."): v for k, v in module.state_dict().items()})
    convert(save(tmp_path / "net.pt", {"ema": content, "net": {}}), tmp_path / "prior", Facts(preconditioning=stated))
    prior = load_prior(tmp_path / "prior")
    assert prior.config.architecture == architecture
    x, sigma = torch.randn(2, network["in_channels"], 16, 16), torch.tensor([0.2, 3.0])
    with torch.no_grad():
        assert torch.equal(prior.denoise(x, sigma), module(x, sigma))


def test_facts_of_the_file_are_kept(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", {"ema": weights(), "net": weights(1), "optimizer": {}, "step": 3})
    done = convert(path, tmp_path / "prior")
    assert done.left_out == ("net", "optimizer", "step")
    facts = json.loads((tmp_path / "prior" / "config.json").read_text())
    assert facts["source"] == {**facts["source"], "entry": "ema", "kind": "torch"}
    assert len(facts["source"]["sha256"]) == 64
    assert facts["licence"] == "unknown: ask the authors"
    assert "heads" in facts["notes"]["assumed"]
    assert sorted(p.name for p in (tmp_path / "prior").iterdir()) == ["config.json", "weights.safetensors"]


def test_the_user_chooses_the_entry(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", {"ema": weights(), "net": weights(1), "both": 2 * [1]})
    convert(path, tmp_path / "prior", Facts(key="net"))
    stored = load_file(tmp_path / "prior" / "weights.safetensors")
    assert torch.equal(stored["network.out.2.bias"], weights(1)["out.2.bias"])
    for key, message in (("swa", r"neither an entry 'swa'"), ("both", "does not hold weights by name")):
        with pytest.raises(PriorError, match=message):
            convert(path, tmp_path / "other", Facts(key=key))
    two = save(tmp_path / "two.pt", {"state_dict": prefixed("model.", weights(1)) | prefixed("model_ema.", weights())})
    with pytest.raises(PriorError, match="several networks"):
        convert(two, tmp_path / "other")
    convert(two, tmp_path / "other", Facts(key="model_ema"))
    stored = load_file(tmp_path / "other" / "weights.safetensors")
    assert torch.equal(stored["network.out.2.bias"], weights()["out.2.bias"])


@pytest.mark.parametrize(
    ("kind", "half", "stored"),
    [
        (torch.float32, False, torch.float32),
        (torch.float16, False, torch.float16),
        (torch.bfloat16, False, torch.float32),
        (torch.float64, False, torch.float32),
        (torch.float32, True, torch.float16),
    ],
)
def test_how_weights_are_stored(kind: torch.dtype, half: bool, stored: torch.dtype, tmp_path: Path) -> None:
    save_file({key: value.to(kind) for key, value in weights().items()}, tmp_path / "net.safetensors")
    convert(tmp_path / "net.safetensors", tmp_path / "prior", half=half)
    found = load_file(tmp_path / "prior" / "weights.safetensors")
    for key, value in weights().items():
        wanted = torch.float32 if half and value.ndim == 1 else stored  # biases and scales of norms stay as they are
        assert found[f"network.{key}"].dtype == wanted
        assert torch.equal(found[f"network.{key}"], value.to(kind).to(wanted))
    assert {p.dtype for p in load_prior(tmp_path / "prior").module().parameters()} == {torch.float32}


def test_files_of_torch_before_zip_are_read_too(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    convert(tmp_path / "old.pth", tmp_path / "prior")
    assert load_prior(tmp_path / "prior").channels == 3


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_a_network_trained_otherwise_is_described_by_the_user(prediction: str, tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", weights())
    schedule = NoiseSchedule("cosine", 40)
    convert(path, tmp_path / "prior", Facts(prediction=prediction, schedule=schedule))
    facts = json.loads((tmp_path / "prior" / "config.json").read_text())
    assert (facts["prediction"], facts["schedule"]) == (prediction, {"kind": "cosine", "steps": 40})
    x, sigma = noisy((8, 6))
    want = denoised(tiny_adm().network, x, sigma, prediction, schedule)  # type: ignore[arg-type]
    assert error(load_prior(tmp_path / "prior").denoise(x, sigma), want) < 1e-5


def test_a_network_of_another_range(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", weights())
    convert(path, tmp_path / "prior", Facts(value_range=(0.0, 1.0)))
    x, sigma = noisy((8, 6))
    with torch.no_grad():
        want = 2 * tiny_adm()((x + 1) / 2, sigma / 2) - 1
    assert error(load_prior(tmp_path / "prior").denoise(x, sigma), want) < 1e-5


def test_the_graph_is_made_on_demand_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(save(tmp_path / "net.pt", weights(config=SHALLOW)), tmp_path / "prior", half=True)
    prior = load_prior(tmp_path / "prior")
    cache = tmp_path / "cache"
    graph = prior.onnx_path(cache)
    assert graph.is_relative_to(cache)
    assert not (tmp_path / "prior" / "model.onnx").exists()
    made = graph.stat().st_mtime_ns
    assert load_prior(tmp_path / "prior").onnx_path(cache).stat().st_mtime_ns == made
    monkeypatch.setenv("LMAPS_CACHE", str(cache))
    x, sigma = noisy((6, 10), batch=1)
    with torch.no_grad():
        want = prior.module()(x, sigma)
    for backend in ("openvino", "onnxruntime"):
        denoiser = open_denoiser(prior, backend=backend, precision="float32", size=(6, 10), batch=1, device="cpu")
        assert error(denoiser(x, sigma), want) < 1e-4
    result = lmaps.compile("sr4", prior, size=(16, 16), steps=2, device="cpu")(torch.zeros(1, 3, 4, 4))
    assert result.stats["backend"] == "openvino"


def test_a_graph_made_beforehand_is_part_of_the_prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds of tracing: `test_the_graph_is_made_on_demand_and_kept` goes through the same function."""

    def quick(module: torch.nn.Module, path: Path, **options: Any) -> None:
        assert options["external"].keys() == module.state_dict().keys()
        model = helper.make_model(helper.make_graph([], "empty", [], []))
        path.write_bytes(model.SerializeToString())

    monkeypatch.setattr(saving, "export_onnx", quick)
    convert(save(tmp_path / "net.pt", weights()), tmp_path / "prior", Facts(value_range=(0.0, 1.0)), graph=True)
    assert load_prior(tmp_path / "prior").onnx_path() == tmp_path / "prior" / "model.onnx"
    convert(tmp_path / "net.pt", tmp_path / "prior", overwrite=True)
    assert not (tmp_path / "prior" / "model.onnx").exists()


def test_without_a_cache_the_graph_lives_as_long_as_the_prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE", "off")
    monkeypatch.setattr(sources, "export_graph", lambda folder, config: (folder / "model.onnx").write_bytes(b"graph"))
    convert(save(tmp_path / "net.pt", weights()), tmp_path / "prior")
    prior = load_prior(tmp_path / "prior")
    graph = prior.onnx_path()
    assert graph == prior.onnx_path()
    assert graph.read_bytes() == b"graph"
    del prior
    assert not graph.exists()


# What may be wrong with weights: how to spoil them, and what the message must name.
SPOILT: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "missing": (lambda w: w.pop("out.2.bias"), r"missing network\.out\.2\.bias"),
    "unexpected": (
        lambda w: w.update({"input_blocks.0.0.gamma": torch.zeros(3)}),
        r"unexpected network\.input_blocks\.0\.0\.gamma",
    ),
    "not the network's": (lambda w: w.update({"loss.weight": torch.zeros(3)}), r"unexpected network\.loss\.weight"),
    "misshapen": (
        lambda w: w.update({"out.2.bias": torch.zeros(7)}),
        r"out\.2\.bias has shape \(7,\), expected \(6,\)",
    ),
    "NaN": (
        lambda w: w["out.2.bias"][2:3].fill_(float("nan")),
        r"network\.out\.2\.bias has values that are not finite",
    ),
    "infinite": (lambda w: w["out.2.bias"][2:3].fill_(float("inf")), "not finite"),
    "whole numbers": (lambda w: w.update({"out.2.bias": torch.zeros(6, dtype=torch.int64)}), "stored as torch.int64"),
    "complex": (lambda w: w.update({"out.2.bias": torch.zeros(6, dtype=torch.complex64)}), "not a plain array"),
    "sparse": (lambda w: w.update({"out.2.bias": torch.zeros(6).to_sparse()}), "not a plain array|cannot be read"),
    "another network": (lambda w: [w.pop(k) for k in list(w) if k.startswith("time_embed")], "no known network"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_weights_that_are_not_this_network(case: str, tmp_path: Path) -> None:
    content = {key: value.clone() for key, value in weights().items()}
    spoil, message = SPOILT[case]
    spoil(content)
    with pytest.raises(PriorError, match=message):
        convert(save(tmp_path / "net.pt", content), tmp_path / "prior")
    assert not (tmp_path / "prior").exists()


def test_weights_too_large_for_half(tmp_path: Path) -> None:
    content = {key: value.clone() for key, value in weights().items()}
    content["out.2.weight"][0] = 1e6
    path = save(tmp_path / "net.pt", content)
    with pytest.raises(PriorError, match=r"out\.2\.weight has values that float16 cannot hold"):
        convert(path, tmp_path / "prior", half=True)
    convert(path, tmp_path / "prior")


def test_a_long_list_of_faults_is_cut_short(tmp_path: Path) -> None:
    content = {key: value for key, value in weights().items() if "in_layers.0" not in key}
    with pytest.raises(PriorError, match=r"missing .*and \d+ more$"):
        convert(save(tmp_path / "net.pt", content), tmp_path / "prior")


def test_where_a_prior_may_be_written(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", weights())
    (tmp_path / "file").write_text("")
    with pytest.raises(PriorError, match="is a file; a prior is written into a folder"):
        convert(path, tmp_path / "file")
    convert(path, tmp_path / "prior")
    with pytest.raises(PriorError, match="holds a prior already"):
        convert(path, tmp_path / "prior")
    convert(path, tmp_path / "prior", Facts(name="second"), overwrite=True)
    assert load_prior(tmp_path / "prior").name == "second"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (Facts(preconditioning="magic"), "one of edm, vp, ve, iddpm, got 'magic'"),
        (Facts(preconditioning="edm"), "as many channels out as in"),
        (Facts(prediction="denoised"), "state its preconditioning, or its prediction"),
        (Facts(preconditioning="vp", schedule="linear"), "not both"),
        (Facts(schedule={"kind": "linear", "beta_end": 3.0}), "beta_start <= beta_end < 1"),
        (Facts(class_label=3), "class"),
        (Facts(value_range=(1.0, 0.0)), "lower first"),
    ],
)
def test_facts_that_make_no_sense(facts: Facts, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        convert(save(tmp_path / "net.pt", weights()), tmp_path / "prior", facts)
    assert not (tmp_path / "prior").exists()


def test_heads_are_stated_by_the_user_where_nothing_tells(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", weights())
    convert(path, tmp_path / "prior", Facts(heads=1))
    found = json.loads((tmp_path / "prior" / "config.json").read_text())
    assert (found["settings"]["network"]["num_heads"], found["settings"]["network"]["num_head_channels"]) == (1, None)
    assert "4 to a block" not in found["notes"]["assumed"]
    graph = write_graph(tmp_path / "net.onnx", Network(), shape=[1, 3, 16, 16])
    with pytest.raises(PriorError, match=r"leave out heads=2 \(--heads\)"):
        convert(graph, tmp_path / "other", Facts(prediction="v", heads=2))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts(channels=1, multiple=64), r"leave out channels=1 \(--channels\), multiple=64 \(--multiple\)"),
        (Facts(timestep="nearest"), r"leave out timestep='nearest' \(--timestep\)"),
        (Facts(preconditioning="ddpm"), r"one of edm, vp, ve, iddpm, got 'ddpm'.*prediction and schedule"),
    ],
)
def test_what_a_checkpoint_has_no_use_for_is_refused(facts: Facts, words: str, tmp_path: Path) -> None:
    with pytest.raises(PriorError, match=words):
        convert(save(tmp_path / "net.pt", weights()), tmp_path / "prior", facts)
    assert not (tmp_path / "prior").exists()


@pytest.mark.parametrize("facts", [Facts(key="ema"), Facts(class_label=1), Facts(preconditioning="edm")])
def test_what_a_graph_has_no_use_for_is_refused(facts: Facts, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "net.onnx", Network(), shape=[1, 3, 16, 16])
    with pytest.raises(PriorError, match=r"is an ONNX graph, .*; leave out"):
        convert(graph, tmp_path / "prior", replace(facts, prediction="v"))
