"""`lmaps convert`: what it prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from lmaps.engine.cli import app

from ..priors.checkpoints import save, weights
from ..priors.graphs import Network, write_graph
from .conftest import Lmaps, one_line


def test_a_checkpoint_becomes_a_prior_that_restores(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", {"ema": weights(), "optimizer": {}})
    result = lmaps("convert", path, "-o", tmp_path / "prior", "--licence", "MIT", "--name", "mine", "--half")
    assert result.exit_code == 0, result.output
    for text in ("adm, 0.83 million weights", "3 channels, any size", "MIT", "left out  optimizer", "GB of memory"):
        assert text in result.stdout
    facts = json.loads((tmp_path / "prior" / "config.json").read_text())
    assert (facts["name"], facts["licence"]) == ("mine", "MIT")
    again = lmaps("convert", path, "-o", tmp_path / "prior", "--overwrite")
    assert again.exit_code == 0, again.output
    words = ("restore", photo, "-o", tmp_path / "out.png", "--task", "hdr", "--prior", tmp_path / "prior")
    restored = CliRunner().invoke(app, [*map(str, words), "--steps", "2", "--backend", "torch"])
    assert restored.exit_code == 0, restored.output
    assert (tmp_path / "out.png").is_file()


def test_a_graph_becomes_a_prior(lmaps: Lmaps, tmp_path: Path) -> None:
    path = write_graph(tmp_path / "net.onnx", Network(), shape=[1, 3, 16, 16])
    words = ("--prediction", "v", "--schedule", "scaled-linear", "--beta-start", "0.001", "--beta-end", "0.01")
    result = lmaps("convert", path, "-o", tmp_path / "prior", *words, "--train-steps", "500", "--range-low", "0")
    assert result.exit_code == 0, result.output
    assert "16x16 only" in result.stdout
    facts = json.loads((tmp_path / "prior" / "config.json").read_text())
    schedule = {"kind": "scaled-linear", "steps": 500, "beta_start": 0.001, "beta_end": 0.01}
    assert facts["settings"]["schedule"] == schedule
    assert facts["settings"]["value_range"] == "0 to 1"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["'CHECKPOINT'"]),
        (["{net}"], ["--output"]),
        (["{none}", "-o", "{out}"], ["none.pt", "does not exist"]),
        (["{pickle}", "-o", "{out}"], ["module.pkl", "runs code when it is read", "torch.save"]),
        (["{page}", "-o", "{out}"], ["page.pt", "web page"]),
        (["{half}", "-o", "{out}"], ["half.pt", "cut off"]),
        (["{folder}", "-o", "{out}"], ["folder"]),
        (["{net}", "-o", "{out}", "--key", "swa"], ["neither an entry 'swa'"]),
        (["{net}", "-o", "{out}", "--beta-end", "0.1"], ["--beta-end", "--schedule"]),
        (["{net}", "-o", "{out}", "--schedule", "sine"], ["'sine'", "scaled-linear"]),
        (["{net}", "-o", "{out}", "--range-low", "2"], ["lower first"]),
        (["{net}", "-o", "{page}"], ["is a file"]),
        (["{graph}", "-o", "{out}"], ["--prediction"]),
        (["{graph}", "-o", "{out}", "--prediction", "v", "--half"], ["--half"]),
        (["{nan}", "-o", "{out}"], ["out.2.bias", "not finite"]),
        (["someone/nothing", "-o", "{out}"], ["someone/nothing"]),
    ],
)
def test_refusals(
    words: list[str], parts: list[str], lmaps: Lmaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spoilt = {key: value.clone() for key, value in weights().items()}
    spoilt["out.2.bias"][1] = float("nan")
    save_file(spoilt, tmp_path / "nan.safetensors")
    files = {
        "net": save(tmp_path / "net.pt", weights()),
        "none": tmp_path / "none.pt",
        "out": tmp_path / "prior",
        "pickle": save(tmp_path / "module.pkl", torch.nn.Linear(2, 2)),
        "page": tmp_path / "page.pt",
        "half": tmp_path / "half.pt",
        "graph": write_graph(tmp_path / "net.onnx", Network()),
        "nan": tmp_path / "nan.safetensors",
        "folder": tmp_path / "folder",
    }
    files["page"].write_text("<!doctype html>")
    files["half"].write_bytes(files["net"].read_bytes()[:5000])
    files["folder"].mkdir()
    line = one_line(lmaps("convert", *[word.format(**files) for word in words]))
    for part in parts:
        assert part in line
    assert not (tmp_path / "prior").exists()


def test_a_network_that_restores_nothing_is_found_out(lmaps: Lmaps, tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", weights())
    result = lmaps("convert", path, "-o", tmp_path / "prior", "--check")
    assert result.exit_code == 1
    assert "sigma 0.05: 32" in result.stdout
    assert "removes no noise worth the name at sigma 0.05" in result.stderr
    assert (tmp_path / "prior" / "config.json").is_file()
