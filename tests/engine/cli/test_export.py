"""`lmaps export`: files that other programs can run, and refusals in one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch

from lmaps.engine.priors import Prior, load_prior

from .conftest import Lmaps, one_line


@pytest.fixture(scope="module")
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


def example(*shape: int) -> dict[str, np.ndarray[Any, Any]]:
    x = torch.rand(shape) * 2 - 1
    return {"x": x.numpy(), "sigma": np.geomspace(0.1, 3, shape[0], dtype=np.float32)}


def distance(prior: Prior, got: np.ndarray[Any, Any], inputs: dict[str, np.ndarray[Any, Any]]) -> float:
    with torch.no_grad():
        want = prior.denoise(torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["sigma"])).numpy()
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 5e-3)])
def test_an_onnx_graph_that_stands_alone(
    lmaps: Lmaps, prior: Prior, tiny_prior_folder: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    out = tmp_path / "out"
    result = lmaps("export", tiny_prior_folder, "--to", "onnx", "-o", out, "--precision", precision)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "model.onnx"]
    (tmp_path / "alone").mkdir()
    moved = (out / "model.onnx").rename(tmp_path / "alone" / "m.onnx")
    inputs = example(3, 3, 16, 40)
    session = onnxruntime.InferenceSession(str(moved), providers=["CPUExecutionProvider"])
    assert distance(prior, session.run(["denoised"], inputs)[0], inputs) < tolerance


def test_the_description(lmaps: Lmaps, prior: Prior, tiny_prior_folder: Path, tmp_path: Path) -> None:
    lmaps("export", tiny_prior_folder, "--to", "onnx", "-o", tmp_path, "--precision", "bfloat16")
    about = json.loads((tmp_path / "model.json").read_text())
    graph = (tmp_path / "model.onnx").read_bytes()
    assert about["files"] == {"model.onnx": {"sha256": hashlib.sha256(graph).hexdigest(), "size": len(graph)}}
    assert about["licence"] == prior.config.licence
    assert about["prior"] == {"name": "tiny", "digest": prior.digest}
    assert (about["target"], about["precision"], about["opset"], about["shapes"]) == ("onnx", "bfloat16", 22, None)
    assert about["inputs"]["x"]["shape"] == ["B", 3, "8*h", "8*w"]
    assert about["versions"]["onnx"] == onnx.__version__
    model = onnx.load(tmp_path / "model.onnx")
    assert model.opset_import[0].version == 22
    assert [value.name for value in model.graph.input] == list(about["inputs"])


def test_one_fixed_shape(lmaps: Lmaps, prior: Prior, tiny_prior_folder: Path, tmp_path: Path) -> None:
    lmaps("export", tiny_prior_folder, "--to", "onnx", "-o", tmp_path, "--size", 24, 16, "--batch", 2)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [value.shape for value in session.get_inputs()] == [[2, 3, 24, 16], [2]]
    inputs = example(2, 3, 24, 16)
    assert distance(prior, session.run(None, inputs)[0], inputs) < 1e-5


@pytest.mark.parametrize("half", [False, True])
def test_openvinos_files(lmaps: Lmaps, prior: Prior, tiny_prior_folder: Path, tmp_path: Path, half: bool) -> None:
    words = [
        "export",
        tiny_prior_folder,
        "--to",
        "openvino",
        "-o",
        tmp_path,
        "--precision",
        "float16" if half else "float32",
    ]
    result = lmaps(*words, "--opt", "x:1x3x32x32,sigma:1", "--max", "x:4x3x64x32,sigma:4")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.json", "model.xml"]
    model = openvino.Core().read_model(tmp_path / "model.xml")
    assert str(model.input("x").partial_shape) == "[1..4,3,32..64,32]"
    inputs = example(2, 3, 48, 32)
    got = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]
    assert distance(prior, got, inputs) < (1e-3 if half else 1e-5)
    assert json.loads((tmp_path / "model.json").read_text())["shapes"]["max"] == "sigma:4,x:4x3x64x32"


@pytest.mark.slow
def test_another_opset_traces_the_network_anew(lmaps: Lmaps, tiny_prior_folder: Path, tmp_path: Path) -> None:
    result = lmaps("export", tiny_prior_folder, "--to", "onnx", "-o", tmp_path, "--opset", 21)
    assert result.exit_code == 0, result.stderr
    assert onnx.load(tmp_path / "model.onnx").opset_import[0].version == 21


def test_files_that_exist_are_kept_unless_forced(lmaps: Lmaps, tiny_prior_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    (tmp_path / "other.txt").write_text("mine too")
    words = ["export", tiny_prior_folder, "--to", "onnx", "-o", tmp_path]
    assert "already holds model.onnx; give --force" in one_line(lmaps(*words))
    assert (tmp_path / "model.onnx").read_text() == "mine"
    assert lmaps(*words, "--force").exit_code == 0
    assert (tmp_path / "model.onnx").stat().st_size > 1000
    assert (tmp_path / "other.txt").read_text() == "mine too"


REFUSALS = [
    (["--to", "tflite"], "unknown target 'tflite'; known are onnx, openvino, tensorrt"),
    (["--to", "onnx", "--precision", "int8"], "unknown precision 'int8'"),
    (["--to", "openvino", "--precision", "bfloat16"], "INFERENCE_PRECISION_HINT=bf16"),
    (["--to", "openvino", "--opset", "22"], "crashes on float32 graphs with fixed shapes above opset 20, got 22"),
    (["--to", "tensorrt"], "built for given shapes: give --size H W, or --opt"),
    (["--to", "onnx", "--opt", "x:1x3x8x8,sigma:1", "--max", "x:2x3x8x8,sigma:2"], "free or fixed shapes, no ranges"),
    (["--to", "onnx", "--size", "30", "16"], "multiples of 8 for prior 'tiny', got 1x3x30x16: instead of 30 take 32"),
    (["--to", "onnx", "--opt", "x:1x4x8x8,sigma:1"], "x must have shape Bx3xHxW for prior 'tiny', got 1x4x8x8"),
    (["--to", "onnx", "--opt", "x:2x3x8x8,sigma:1"], "sigma has one value a picture: its shape must be 2"),
    (["--to", "onnx", "--opt", "x:1x3x8x8"], "shapes must name x and sigma, got x"),
    (["--to", "onnx", "--opt", "x=1x3x8x8"], "shapes are written name:1x3x64x64,other:1; 'x=1x3x8x8'"),
    (["--to", "onnx", "--max", "x:1x3x8x8,sigma:1"], "--min and --max need --opt"),
    (["--to", "onnx", "--size", "8", "8", "--opt", "x:1x3x8x8,sigma:1"], "give either --size H W, or --opt"),
    (["--to", "onnx", "--batch", "2"], "--batch 2 goes with --size H W"),
    (["--to", "onnx", "--opset", "99"], "--opset"),
]


@pytest.mark.parametrize(("words", "message"), REFUSALS)
def test_refusals(lmaps: Lmaps, tiny_prior_folder: Path, tmp_path: Path, words: list[str], message: str) -> None:
    assert message in one_line(lmaps("export", tiny_prior_folder, "-o", tmp_path / "out", *words))
    assert not (tmp_path / "out").exists()


def test_tensorrt_says_what_is_missing(
    lmaps: Lmaps, tiny_prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmaps.export import tensorrt_library

    words = ["export", tiny_prior_folder, "--to", "tensorrt", "--size", 16, 16, "-o", tmp_path / "out"]
    monkeypatch.setattr(tensorrt_library, "missing", lambda: "no libnvinfer here")
    assert "cannot export to tensorrt: no libnvinfer here" in one_line(lmaps(*words))
    monkeypatch.setattr(tensorrt_library, "missing", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no CUDA device" in one_line(lmaps(*words))
    assert not (tmp_path / "out").exists()


def test_a_tensorrt_engine_is_built_of_the_wanted_graph_and_shapes(
    lmaps: Lmaps, tiny_prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed to the builder; the builder itself needs NVIDIA's library and a GPU."""
    from lmaps.export import tensorrt_build, tensorrt_library

    seen: dict[str, Any] = {}

    def build(graph: Path, profile: Any, settings: Any) -> tensorrt_build.Plan:
        seen.update(model=onnx.load(graph), profile=profile.facts())
        return tensorrt_build.Plan(b"an engine", b"")

    monkeypatch.setattr(tensorrt_build, "build", build)
    monkeypatch.setattr(tensorrt_library, "missing", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    words = ["--min", "x:1x3x8x8,sigma:1", "--opt", "x:2x3x16x8,sigma:2", "--max", "x:4x3x32x32,sigma:4"]
    result = lmaps(
        "export", tiny_prior_folder, "--to", "tensorrt", "--precision", "float16", "-o", tmp_path / "out", *words
    )
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out" / "model.plan").read_bytes() == b"an engine"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.json", "model.plan"]
    assert seen["profile"]["min"] == "sigma:1,x:1x3x8x8"
    assert seen["profile"]["max"] == "sigma:4,x:4x3x32x32"
    stored = {tensor.data_type for tensor in seen["model"].graph.initializer if len(tensor.dims) == 4}
    assert stored == {onnx.TensorProto.FLOAT16}


def test_what_fails_half_way_leaves_nothing(
    lmaps: Lmaps, tiny_prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmaps.export import openvino_files

    def differs(*_: object) -> None:
        raise openvino_files.ExportError("off by a mile")

    monkeypatch.setattr(openvino_files, "_compare", differs)
    result = lmaps("export", tiny_prior_folder, "--to", "openvino", "-o", tmp_path)
    assert result.exit_code == 1
    assert "was not exported: off by a mile" in result.stderr
    assert list(tmp_path.iterdir()) == []
