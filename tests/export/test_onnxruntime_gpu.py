"""ONNX Runtime on a GPU, as far as a CPU goes: its settings and refusals with the real library on the CPU, and the calls
that need a GPU against a FAKE session, which is no evidence that the providers run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest

from lmaps.export import onnxruntime_gpu as gpu
from lmaps.export.external_data import GraphError
from lmaps.export.onnxruntime import OnnxRuntimeGraph
from lmaps.export.onnxruntime_gpu import OnnxRuntimeGPUGraph, provider_settings

SHAPES = {"x": (2, 3, 16, 24), "sigma": (2,)}


@pytest.fixture
def graph(tiny_prior_folder: Path) -> Path:
    return tiny_prior_folder / "model.onnx"


class FakeSession:
    """Records what a session was opened with. Not ONNX Runtime."""

    opened: ClassVar[list[FakeSession]] = []
    comes_up_with: ClassVar[list[str] | None] = None

    def __init__(self, path: str, options: Any, providers: Any, enable_fallback: int) -> None:
        self.path, self.options, self.providers, self.enable_fallback = path, options, providers, enable_fallback
        self.bound: list[Any] = []
        self.ran: list[Any] = []
        FakeSession.opened.append(self)

    def get_providers(self) -> list[str]:
        if FakeSession.comes_up_with is not None:
            return FakeSession.comes_up_with
        return [self.providers[0][0] if self.providers else gpu.RTX, "CPUExecutionProvider"]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="denoised")]

    def io_binding(self) -> FakeSession:
        return self

    def bind_input(self, *arguments: Any) -> None:
        self.bound.append(arguments)

    bind_output = bind_input

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.ran.append((binding, options))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    monkeypatch.setattr(FakeSession, "opened", [])
    monkeypatch.setattr(FakeSession, "comes_up_with", None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    return FakeSession


def test_with_every_size_known_nothing_is_left_for_the_cpu(graph: Path, tmp_path: Path) -> None:
    """The real library, on the CPU: providers leave arithmetic on shapes to the CPU, and here none is left."""
    options, optimised = gpu._options(graph, SHAPES), tmp_path / "optimised.onnx"
    options.optimized_model_filepath = str(optimised)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
    fixed = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    assert [tuple(i.shape) for i in fixed.get_inputs()] == [SHAPES["x"], SHAPES["sigma"]]
    kinds = {node.op_type for node in onnx.load(optimised, load_external_data=False).graph.node}
    assert "Conv" in kinds
    assert not kinds & {"Shape", "Gather", "Size", "ConstantOfShape"}
    draw = np.random.default_rng(0)
    inputs = {name: draw.uniform(0.1, 1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    want = np.empty(SHAPES["x"], np.float32)
    OnnxRuntimeGraph(graph, threads=1).run(inputs, want)
    np.testing.assert_allclose(fixed.run(None, inputs)[0], want, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in available")
def test_the_real_library_refuses_a_provider_it_was_built_without(graph: Path) -> None:
    if gpu.CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(GraphError, match=r"cannot open .*model\.onnx with CUDAExecutionProvider"):
        OnnxRuntimeGPUGraph(graph, SHAPES, provider="cuda", device=0, stream=1)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": (2, 3, 16), "sigma": (2,)}, r"x of .*cannot have the shape \(2, 3, 16\)"),
        (
            {"x": (2, 4, 16, 24), "sigma": (2,)},
            r"\['B', 3, '8\*h', '8\*w'\]; it cannot have the shape \(2, 4, 16, 24\)",
        ),
        ({"x": (2, 3, 16, 24)}, r"sigma of .*cannot have the shape \(\)"),
    ],
)
def test_shapes_the_graph_cannot_have(graph: Path, shapes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        OnnxRuntimeGPUGraph(graph, shapes, provider="cuda", device=0, stream=1)


def test_the_session_is_asked_for_one_provider_and_no_fallback(graph: Path, session: type[FakeSession]) -> None:
    OnnxRuntimeGPUGraph(graph, SHAPES, provider="cuda", device=1, stream=4711)
    (opened,) = session.opened
    assert opened.enable_fallback == 0
    assert opened.options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
    ((name, settings),) = opened.providers
    assert name == "CUDAExecutionProvider"
    assert settings["user_compute_stream"] == "4711"
    assert settings["device_id"] == "1"
    assert settings["use_tf32"] == "0"
    session.comes_up_with = ["CPUExecutionProvider"]
    with pytest.raises(GraphError, match=r"opened .*with \['CPUExecutionProvider'\], not with CUDAExecutionProvider"):
        OnnxRuntimeGPUGraph(graph, SHAPES, provider="cuda", device=0, stream=1)


def test_the_default_stream_is_refused(graph: Path) -> None:
    with pytest.raises(ValueError, match="stream must not be the default one"):
        OnnxRuntimeGPUGraph(graph, SHAPES, provider="cuda", device=0, stream=0)


def test_a_run_binds_addresses_and_does_not_wait(graph: Path, session: type[FakeSession]) -> None:
    opened = OnnxRuntimeGPUGraph(graph, SHAPES, provider="cuda", device=1, stream=4711)
    opened.enqueue({"x": 1000, "sigma": 2000}, 3000, SHAPES["x"])
    (fake,) = session.opened
    assert fake.bound == [
        ("x", "cuda", 1, np.float32, (2, 3, 16, 24), 1000),
        ("sigma", "cuda", 1, np.float32, (2,), 2000),
        ("denoised", "cuda", 1, np.float32, (2, 3, 16, 24), 3000),
    ]
    ((_, run_options),) = fake.ran
    assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1"


def test_tensorrt_keeps_the_graphs_types_one_shape_and_its_engines_where_told() -> None:
    settings = provider_settings("tensorrt", 0, 9, SHAPES, Path("kept"))
    assert settings["trt_fp16_enable"] == settings["trt_bf16_enable"] == "0"
    for which in ("min", "opt", "max"):
        assert settings[f"trt_profile_{which}_shapes"] == "sigma:2,x:2x3x16x24"
    assert settings["trt_engine_cache_path"] == "kept"
    assert "trt_engine_cache_enable" not in provider_settings("tensorrt", 0, 9, SHAPES, None)


def test_the_plug_in_is_registered_once_and_given_its_device(
    graph: Path, session: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[Any] = []
    devices = [SimpleNamespace(ep_name=name) for name in ("CPUExecutionProvider", gpu.RTX, gpu.RTX)]
    given: list[Any] = []
    plugin = ModuleType("onnxruntime_ep_nv_tensorrt_rtx")
    plugin.get_ep_name = lambda: gpu.RTX  # type: ignore[attr-defined]
    plugin.get_library_path = lambda: "plugin.so"  # type: ignore[attr-defined]
    options = gpu._options(graph, SHAPES)
    fake_options = SimpleNamespace(add_provider_for_devices=lambda *arguments: given.append(arguments), real=options)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plugin)
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", lambda *a: registered.append(a))
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: devices)
    monkeypatch.setattr(gpu, "_options", lambda path, shapes: fake_options)
    gpu._registered.cache_clear()
    try:
        assert gpu.missing("tensorrt-rtx") is None
        OnnxRuntimeGPUGraph(graph, SHAPES, provider="tensorrt-rtx", device=1, stream=5, engines=Path("kept"))
        assert registered == [(gpu.RTX, "plugin.so")]
        (((device,), settings),) = given
        assert device is devices[2]
        assert settings["nv_profile_opt_shapes"] == "sigma:2;x:2x3x16x24"
        assert settings["nv_runtime_cache_path"] == "kept"
        assert (settings["has_user_compute_stream"], settings["user_compute_stream"]) == ("1", "5")
        assert session.opened[0].providers is None
        with pytest.raises(GraphError, match=r"lists 2 GPU\(s\); number 2 was asked for"):
            OnnxRuntimeGPUGraph(graph, SHAPES, provider="tensorrt-rtx", device=2, stream=5)
        del devices[1:]
        assert "takes compute capability 8.6, 8.9, and 12.0 and newer" in str(gpu.missing("tensorrt-rtx"))
    finally:
        gpu._registered.cache_clear()


def test_missing_says_what_and_how_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "was built without CUDAExecutionProvider; pip install onnxruntime-gpu" in str(gpu.missing("cuda"))
    assert "was built without TensorrtExecutionProvider" in str(gpu.missing("tensorrt"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [gpu.CUDA])
    assert gpu.missing("cuda") is None
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    gpu._registered.cache_clear()
    assert "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13" in str(gpu.missing("tensorrt-rtx"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "onnxruntime cannot be imported" in str(gpu.missing("cuda"))
