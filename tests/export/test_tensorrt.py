"""The code around TensorRT, against a FAKE of the library: order of calls, values, errors, what is cached.

The library itself has never been run by these tests; mypy checks the calls against the type stubs of 10.13.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lmaps.export import tensorrt_library as library
from lmaps.export.cache import ArtefactCache
from lmaps.export.external_data import GraphError
from lmaps.export.profiles import Profile
from lmaps.export.tensorrt import TensorRTEngine
from lmaps.export.tensorrt_build import BuildSettings, build
from lmaps.export.tensorrt_cache import Request, open_engine
from lmaps.export.tensorrt_library import TensorRTError, missing

from .fake_tensorrt import PLAN, TIMING, FakeTensorRT, Flag, Hardware, Pool, Strategy

RANGE = Profile.parse("x:2x3x16x24,sigma:2", min="x:1x3x8x8,sigma:1", max="x:4x3x64x64,sigma:4")
GPU = {"name": "Fake GPU", "capability": [9, 0]}


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorRT]:
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    library.logger.cache_clear()
    library._errors.clear()
    yield fake
    library.logger.cache_clear()


@pytest.fixture
def graph(tiny_prior_folder: Path) -> Path:
    return tiny_prior_folder / "model.onnx"


@pytest.fixture
def cache(tmp_path: Path) -> ArtefactCache:
    return ArtefactCache(tmp_path / "cache")


def test_a_build_is_strongly_typed_on_one_stream_and_without_tf32(trt: FakeTensorRT, graph: Path) -> None:
    plan = build(graph, RANGE, BuildSettings())
    assert [name for name, _ in trt.calls] == ["network", "parse", "timing", "build"]
    assert trt.named("network")[0][1] == (1 << 1,)
    assert trt.named("parse")[0][1] == (str(graph),)
    (config,) = trt.named("build")[0][1]
    assert config.profiles[0].shapes == {
        "x": [[1, 3, 8, 8], [2, 3, 16, 24], [4, 3, 64, 64]],
        "sigma": [[1], [2], [4]],
    }
    assert config.max_aux_streams == 0
    assert config.flags == set()
    assert config.pools == {}
    assert config.hardware_compatibility_level == Hardware.NONE
    assert plan.engine.startswith(PLAN)
    assert plan.timing == TIMING + b"10.13.0.35 after 1"


def test_every_setting_reaches_the_builder(trt: FakeTensorRT, graph: Path) -> None:
    settings = BuildSettings(
        workspace=1 << 30, level=5, tf32=True, version_compatible=True, hardware_compatible="ampere-plus"
    )
    build(graph, RANGE, settings)
    (config,) = trt.named("build")[0][1]
    assert config.pools == {Pool.WORKSPACE: 1 << 30}
    assert config.builder_optimization_level == 5
    assert config.flags == {Flag.TF32, Flag.VERSION_COMPATIBLE}
    assert config.hardware_compatibility_level == Hardware.AMPERE_PLUS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workspace": -1}, "workspace must be a number of bytes"),
        ({"level": 6}, "level must be 0 to 5, got 6"),
        ({"hardware_compatible": "all"}, "got 'all'"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BuildSettings(**settings)


def test_a_timing_cache_of_another_version_is_left_out(trt: FakeTensorRT, graph: Path) -> None:
    build(graph, RANGE, BuildSettings(), TIMING + b"10.13.0.35 old")
    build(graph, RANGE, BuildSettings(), TIMING + b"9.0 old")
    offered = [arguments for _, arguments in trt.named("timing")]
    assert offered == [(TIMING + b"10.13.0.35 old", False), (TIMING + b"9.0 old", False), (b"", False)]


def test_what_tensorrt_says_is_in_the_error(trt: FakeTensorRT, graph: Path, tmp_path: Path) -> None:
    trt.graph_error = "no importer"
    with pytest.raises(GraphError, match=r"cannot read .*model\.onnx: Frobnicate: no importer$"):
        build(graph, RANGE, BuildSettings())
    trt.graph_error, trt.build_error = "", "Could not find any implementation for node conv1"
    with pytest.raises(TensorRTError, match=r"cannot build model\.onnx for sigma:2,x:2x3x16x24: Could not find any"):
        build(graph, RANGE, BuildSettings())
    trt.build_error = ""
    with pytest.raises(GraphError, match=r"inputs are \['sigma', 'x'\]; the profile has shapes for \['x'\]"):
        build(graph, Profile.parse("x:1x3x8x8"), BuildSettings())
    with pytest.raises(FileNotFoundError):
        build(tmp_path / "none.onnx", RANGE, BuildSettings())


def test_what_tensorrt_said_earlier_is_not_in_the_error(trt: FakeTensorRT, graph: Path) -> None:
    plan = build(graph, RANGE, BuildSettings()).engine
    library.logger().log(1, "something harmless")
    trt.unloadable = 1
    with pytest.raises(TensorRTError) as error:
        TensorRTEngine(plan)
    assert str(error.value) == "TensorRT cannot load the engine: engine of version 10.13.0.35"


def test_messages_go_to_pythons_logging(trt: FakeTensorRT, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lmaps.tensorrt"):
        for severity, text in ((0, "internal"), (1, "error"), (2, "warning"), (3, "info"), (4, "verbose")):
            library.logger().log(severity, text)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING", "DEBUG", "DEBUG"]
    assert library.logger() is library.logger()


def array(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def test_a_run_uses_the_callers_memory_and_stream(trt: FakeTensorRT, graph: Path) -> None:
    engine = TensorRTEngine(build(graph, RANGE, BuildSettings()).engine)
    assert (engine.inputs, engine.outputs) == (("x", "sigma"), ("denoised",))
    context = engine.open_context({"x": (1, 3, 8, 16), "sigma": (1,)})
    assert trt.named("context") == [("context", (Strategy.USER_MANAGED,))]
    assert context.output_shape("denoised") == (1, 3, 8, 16)
    assert context.scratch_bytes == 1024
    x, sigma, out = array(1, 3, 8, 16), np.full(1, 0.3, np.float32), np.zeros((1, 3, 8, 16), np.float32)
    room = np.zeros(1024 + 256, np.uint8)
    scratch = -(-room.ctypes.data // 256) * 256
    addresses = {"x": x.ctypes.data, "sigma": sigma.ctypes.data, "denoised": out.ctypes.data}
    context.enqueue(addresses, scratch, 77)
    assert trt.named("run")[0][1][1] == 77
    np.testing.assert_array_equal(out, 0.5 * x + np.float32(0.3))
    assert room[scratch - room.ctypes.data :][:1024].all()
    with pytest.raises(ValueError, match="aligned to 256 bytes"):
        context.enqueue(addresses, scratch + 8, 77)
    with pytest.raises(ValueError, match=r"must name \['denoised', 'sigma', 'x'\], got \['x'\]"):
        context.enqueue({"x": x.ctypes.data}, scratch, 77)


def test_shapes_outside_the_profile(trt: FakeTensorRT, graph: Path) -> None:
    engine = TensorRTEngine(build(graph, RANGE, BuildSettings()).engine)
    with pytest.raises(TensorRTError, match=r"not built for x of shape \(8, 3, 8, 8\)"):
        engine.open_context({"x": (8, 3, 8, 8), "sigma": (8,)})


def test_plans_that_cannot_be_loaded(trt: FakeTensorRT, graph: Path) -> None:
    plan = build(graph, RANGE, BuildSettings()).engine
    trt.unloadable = 1
    with pytest.raises(TensorRTError, match=r"cannot load the engine: engine of version 10\.13"):
        TensorRTEngine(plan)
    trt.dtype = trt.DataType.HALF
    with pytest.raises(TensorRTError, match="must be float32; the engine has others: x, sigma, denoised"):
        TensorRTEngine(plan)


def test_an_engine_is_built_once_and_loaded_from_checked_bytes(
    trt: FakeTensorRT, graph: Path, cache: ArtefactCache
) -> None:
    request = Request(graph, RANGE, "float32", GPU)
    first, second = open_engine(request, cache), open_engine(request, ArtefactCache(cache.folder))
    assert (first.outcome, second.outcome, trt.builds) == ("built", "hit", 1)
    assert second.seconds == first.seconds > 0
    kinds = {entry.kind: entry.facts for entry in cache.entries()}
    assert set(kinds) == {"tensorrt", "tensorrt-timing"}
    assert kinds["tensorrt"]["tensorrt"] == "10.13.0.35"
    assert kinds["tensorrt"]["gpu"] == GPU
    assert kinds["tensorrt"]["profile"]["max"] == "sigma:4,x:4x3x64x64"


def test_everything_an_engine_follows_from_is_in_its_key(
    trt: FakeTensorRT, graph: Path, cache: ArtefactCache, tmp_path: Path
) -> None:
    request = Request(graph, RANGE, "float32", GPU)
    changed = tmp_path / "other" / "model.onnx"
    changed.parent.mkdir()
    for file in graph.parent.iterdir():
        (changed.parent / file.name).write_bytes(file.read_bytes())
    weights = changed.parent / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    others = [
        dataclasses.replace(request, gpu={**GPU, "capability": [8, 0]}),
        dataclasses.replace(request, profile=Profile.parse("x:2x3x16x24,sigma:2")),
        dataclasses.replace(request, precision="bfloat16"),
        dataclasses.replace(request, settings=BuildSettings(tf32=True)),
        dataclasses.replace(request, graph=changed),
    ]
    open_engine(request, cache)
    assert [open_engine(other, cache).outcome for other in others] == ["built"] * 5
    trt.__version__ = "10.14.0"
    assert open_engine(request, cache).outcome == "built"
    assert trt.builds == 7


def test_a_second_build_starts_from_the_first_ones_timings(
    trt: FakeTensorRT, graph: Path, cache: ArtefactCache
) -> None:
    open_engine(Request(graph, RANGE, "float32", GPU), cache)
    open_engine(Request(graph, RANGE, "float32", GPU, settings=BuildSettings(level=4)), cache)
    open_engine(Request(graph, RANGE, "float32", {"name": "another"}), cache)
    assert [a[0] for _, a in trt.named("timing")] == [b"", TIMING + b"10.13.0.35 after 1", b""]


def test_a_cached_engine_that_does_not_load_is_built_anew(
    trt: FakeTensorRT, graph: Path, cache: ArtefactCache, caplog: pytest.LogCaptureFixture
) -> None:
    request = Request(graph, RANGE, "float32", GPU)
    open_engine(request, cache)
    trt.unloadable = 1
    opened = open_engine(request, cache)
    assert (opened.outcome, trt.builds) == ("built", 2)
    assert "cannot be loaded and is built anew" in caplog.text


def test_an_edited_engine_is_never_loaded(trt: FakeTensorRT, graph: Path, cache: ArtefactCache) -> None:
    request = Request(graph, RANGE, "float32", GPU)
    open_engine(request, cache)
    (path,) = cache.folder.glob("artefacts/*/engine.plan")
    path.write_bytes(path.read_bytes().replace(b"[1, 3, 8, 8]", b"[9, 9, 9, 9]"))
    trt.calls.clear()
    assert open_engine(request, cache).outcome == "built"
    assert not any(b"9, 9, 9, 9" in plan for _, (plan,) in trt.named("load"))


def test_without_a_cache_an_engine_is_built_and_not_kept(trt: FakeTensorRT, graph: Path) -> None:
    for _ in range(2):
        assert open_engine(Request(graph, RANGE, "float32", GPU), None).outcome == "built"
    assert trt.builds == 2


def test_a_graph_reaching_outside_is_refused_before_tensorrt_sees_it(
    trt: FakeTensorRT, graph: Path, tmp_path: Path, cache: ArtefactCache
) -> None:
    data = graph.read_bytes().replace(b"weights.safetensors", b"../tsecret.tensors.")
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(GraphError, match="outside its folder"):
        open_engine(Request(tmp_path / "model.onnx", RANGE, "float32", GPU), cache)
    assert trt.calls == []


def test_missing_says_what_and_how_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "cannot be imported" in str(missing())
    assert str(missing()).endswith("(PyPI alone does not hold its libraries)")
    assert "backend" not in str(missing())  # of `lmaps export`, which has none
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    assert "a folder of type stubs" in str(missing())
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT("8.6.1"))
    assert "TensorRT 8.6.1 is too old" in str(missing())
    for version in ("10.13.0.35", "11.4.0"):
        monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(version))
        assert missing() is None
