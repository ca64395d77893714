from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmaps.export.external_data import GraphError
from lmaps.export.onnxruntime import OnnxRuntimeGraph
from lmaps.export.openvino import OpenVINOGraph

SHAPE = (2, 3, 24, 40)
Open = Callable[[Path], Any]


def openvino(path: Path) -> OpenVINOGraph:
    return OpenVINOGraph(path, {"x": SHAPE, "sigma": (2,)}, precision="float32", threads=2)


def onnxruntime(path: Path) -> OnnxRuntimeGraph:
    return OnnxRuntimeGraph(path, threads=2)


both = pytest.mark.parametrize("open_graph", [openvino, onnxruntime])


def inputs(seed: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    sigma = draw.uniform(0.05, 5, SHAPE[0]).astype(np.float32)
    return {"x": draw.standard_normal(SHAPE, dtype=np.float32), "sigma": sigma}


@both
def test_writes_the_whole_given_buffer_and_never_again(open_graph: Open, tiny_prior_folder: Path) -> None:
    graph = open_graph(tiny_prior_folder / "model.onnx")
    first, second = np.full(SHAPE, np.nan, np.float32), np.full(SHAPE, np.nan, np.float32)
    graph.run(inputs(0), first)
    kept = first.copy()
    assert np.isfinite(kept).all()
    graph.run(inputs(1), second)
    assert np.array_equal(first, kept)
    assert np.abs(first - second).max() > 0.1
    given = inputs(0)
    graph.run(given, second)
    assert np.array_equal(second, kept)
    assert all(np.array_equal(given[key], inputs(0)[key]) for key in given)


@both
def test_threads_get_the_serial_answers(open_graph: Open, tiny_prior_folder: Path) -> None:
    graph = open_graph(tiny_prior_folder / "model.onnx")
    want = [np.empty(SHAPE, np.float32) for _ in range(8)]
    for seed, out in enumerate(want):
        graph.run(inputs(seed), out)
    got = [np.empty(SHAPE, np.float32) for _ in range(8)]

    def work(seed: int) -> None:
        for _ in range(6):
            graph.run(inputs(seed), got[seed])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(got, want, strict=True):
        assert np.array_equal(a, b)


def test_openvino_refuses_another_shape(tiny_prior_folder: Path) -> None:
    graph = openvino(tiny_prior_folder / "model.onnx")
    wrong = {**inputs(), "x": np.zeros((2, 3, 24, 48), np.float32)}
    with pytest.raises(ValueError, match=r"x has shape .*48.*compiled for"):
        graph.run(wrong, np.empty(SHAPE, np.float32))


@both
@pytest.mark.parametrize("which", ["x", "out"])
def test_memory_that_is_not_plain_float32_is_refused(open_graph: Open, which: str, tiny_prior_folder: Path) -> None:
    graph = open_graph(tiny_prior_folder / "model.onnx")
    for bad in (np.zeros(SHAPE, np.float64), np.zeros((*SHAPE[:2], SHAPE[3], SHAPE[2]), np.float32).swapaxes(2, 3)):
        given, out = inputs(), np.empty(SHAPE, np.float32)
        if which == "x":
            given["x"] = bad
        else:
            out = bad
        with pytest.raises(ValueError, match=f"{which} must be a C-contiguous float32 array"):
            graph.run(given, out)


@both
def test_a_cut_off_graph_and_missing_weights(open_graph: Open, tiny_prior_folder: Path, tmp_path: Path) -> None:
    whole = (tiny_prior_folder / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole)
    with pytest.raises(GraphError, match=r"weights\.safetensors"):
        open_graph(tmp_path / "model.onnx")
    shutil.copy(tiny_prior_folder / "weights.safetensors", tmp_path)
    (tmp_path / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GraphError, match=r"model\.onnx"):
        open_graph(tmp_path / "model.onnx")


@both
def test_weights_that_end_too_early(open_graph: Open, tiny_prior_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_prior_folder / "model.onnx", tmp_path)
    weights = (tiny_prior_folder / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(GraphError, match=r"model\.onnx"):
        open_graph(tmp_path / "model.onnx")


def test_a_graph_reaching_outside_is_never_handed_to_a_run_time(tiny_prior_folder: Path, tmp_path: Path) -> None:
    data = (tiny_prior_folder / "model.onnx").read_bytes()
    assert len("weights.safetensors") == len("../tsecret.tensors.")
    (tmp_path / "model.onnx").write_bytes(data.replace(b"weights.safetensors", b"../tsecret.tensors."))
    for open_graph in (openvino, onnxruntime):
        with pytest.raises(GraphError, match="outside its folder"):
            open_graph(tmp_path / "model.onnx")
