"""Who runs: explicit choices work or raise with the reason, automatic ones say what they passed over."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch

from lmaps.engine import denoisers
from lmaps.engine.denoisers import (
    BackendUnavailable,
    available,
    choose,
    cpu,
    open_denoiser,
    openvino_backend,
    torch_backend,
)
from lmaps.engine.priors import Prior, load_prior

NAMES = [
    "openvino",
    "onnxruntime",
    "torch",
    "torch-compile",
    "torch-compile-max",
    "tensorrt",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "tensorrt-rtx",
]


@pytest.fixture
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture(autouse=True)
def _fresh_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_warned", set())


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)  # `import package` now raises ImportError


def set_bfloat16(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    for module in (openvino_backend, torch_backend):
        monkeypatch.setattr(module, "fast_bfloat16", lambda: fast)


@pytest.mark.parametrize(("fast", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_on_a_cpu_is_openvino(prior: Prior, fast: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_bfloat16(monkeypatch, fast)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoiser = open_denoiser(prior, size=(16, 16), batch=1, device="cpu")
    assert (denoiser.backend, denoiser.precision) == ("openvino", precision)


def test_auto_falls_back_and_says_so_once(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino")
    with pytest.warns(RuntimeWarning, match=r"running on onnxruntime .float32.*openvino cannot.*pip install openvino"):
        denoiser = open_denoiser(prior, size=(16, 16), batch=1, device="cpu")
    assert denoiser.describe()["backend"] == "onnxruntime"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_denoiser(prior, size=(16, 16), batch=1, device="cpu")


def test_auto_ends_at_torch(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino", "onnxruntime")
    set_bfloat16(monkeypatch, False)
    with pytest.warns(RuntimeWarning, match=r"running on torch .*openvino cannot.*onnxruntime cannot"):
        denoiser = open_denoiser(prior, size=(16, 16), batch=1, device="cpu")
    assert (denoiser.backend, denoiser.precision) == ("torch", "float32")


def test_auto_with_a_precision_passes_over_backends_without_it(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino")
    with pytest.warns(RuntimeWarning, match="running on torch"):
        denoiser = open_denoiser(prior, precision="bfloat16", size=(16, 16), batch=1, device="cpu")
    assert (denoiser.backend, denoiser.precision) == ("torch", "bfloat16")


def test_auto_falls_back_from_a_graph_that_cannot_be_compiled(tiny_prior_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_prior_folder, tmp_path / "p"))
    graph = (folder / "model.onnx").read_bytes().replace(b"DepthToSpace", b"DepthToSpice")
    (folder / "model.onnx").write_bytes(graph)
    facts = json.loads((folder / "config.json").read_text())
    facts["files"]["model.onnx"] = hashlib.sha256(graph).hexdigest()
    (folder / "config.json").write_text(json.dumps(facts))
    prior = load_prior(folder)
    with pytest.warns(RuntimeWarning, match=r"(?s)running on torch.*openvino cannot.*DepthToSpice.*onnxruntime cannot"):
        assert open_denoiser(prior, size=(16, 16), batch=1, device="cpu").backend == "torch"
    with pytest.raises(ValueError, match="DepthToSpice"):
        open_denoiser(prior, backend="openvino", size=(16, 16), batch=1, device="cpu")


@pytest.mark.parametrize(
    ("backend", "package", "cure"),
    [
        ("openvino", "openvino", "pip install openvino"),
        ("onnxruntime", "onnxruntime", r'pip install "lmaps-engine\[onnx\]"'),
    ],
)
def test_an_explicit_choice_never_falls_back(
    prior: Prior, backend: str, package: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, package)
    with pytest.raises(BackendUnavailable, match=rf"backend '{backend}' cannot run: the package {package}.*{cure}"):
        open_denoiser(prior, backend=backend, size=(16, 16), batch=1, device="cpu")


def test_an_explicit_precision_that_the_backend_lacks(prior: Prior) -> None:
    with pytest.raises(BackendUnavailable, match="'onnxruntime' cannot run: it has no bfloat16; it runs float32"):
        open_denoiser(prior, backend="onnxruntime", precision="bfloat16", size=(16, 16), batch=1, device="cpu")


def test_compile_without_a_compiler(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_backend.shutil, "which", lambda _: None)
    with pytest.raises(BackendUnavailable, match=r"needs a C\+\+ compiler; install g\+\+"):
        open_denoiser(prior, backend="torch-compile", size=(16, 16), batch=1, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(prior: Prior) -> None:
    with pytest.raises(BackendUnavailable, match="sees no CUDA device"):
        open_denoiser(prior, size=(16, 16), batch=1, device="cuda")
    with pytest.raises(BackendUnavailable, match=r"OpenVINO runs on the CPU here, not on cuda:1"):
        open_denoiser(prior, backend="openvino", size=(16, 16), batch=1, device="cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("backend", ["tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt-rtx"])
def test_backends_that_need_a_gpu_say_so(prior: Prior, backend: str) -> None:
    named = "TensorRT" if backend == "tensorrt" else backend
    with pytest.raises(BackendUnavailable, match=f"'{backend}' cannot run: {named} runs on a CUDA GPU, not on cpu"):
        open_denoiser(prior, backend=backend, size=(16, 16), batch=1, device="cpu")
    with pytest.raises(BackendUnavailable, match=f"'{backend}' cannot run: this torch sees no CUDA device"):
        open_denoiser(prior, backend=backend, size=(16, 16), batch=1, device="cuda")


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("tensorrt", "tensorrt cannot be imported.*install NVIDIA's tensorrt 10 or newer.*or backend='torch'"),
        ("onnxruntime-cuda", "built without CUDAExecutionProvider; pip install onnxruntime-gpu"),
        ("onnxruntime-tensorrt", "built without TensorrtExecutionProvider; pip install onnxruntime-gpu"),
        ("tensorrt-rtx", "plug-in cannot be imported.*pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"),
    ],
)
def test_on_a_gpu_without_the_package_the_mend_is_named(
    prior: Prior, backend: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    from lmaps.export import onnxruntime_gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    without(monkeypatch, "tensorrt", "onnxruntime_ep_nv_tensorrt_rtx")
    onnxruntime_gpu._registered.cache_clear()
    with pytest.raises(BackendUnavailable, match=rf"'{backend}' cannot run: .*{words}"):
        open_denoiser(prior, backend=backend, size=(16, 16), batch=1, device="cuda")
    with pytest.raises(BackendUnavailable, match=r"cuda:3; torch sees 1 CUDA"):
        open_denoiser(prior, backend=backend, size=(16, 16), batch=1, device="cuda:3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorflow"}, "unknown backend 'tensorflow'; known are auto, openvino"),
        ({"precision": "bf16"}, "unknown precision 'bf16'; known are auto, float32, bfloat16"),
        ({"device": "tpu9"}, "unknown device 'tpu9'"),
        ({"device": "meta"}, "device 'meta' is not supported"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"batch": 0}, "batch=0"),
        ({"size": (0, 16)}, r"size=\(0, 16\)"),
    ],
)
def test_nonsense_is_named(prior: Prior, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_denoiser(prior, **{"size": (16, 16), "batch": 1, "device": "cpu", **options})  # type: ignore[arg-type]


def test_available_lists_every_backend_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    set_bfloat16(monkeypatch, True)
    rows = {name: (ok, reason) for name, ok, reason in available("cpu")}
    assert list(rows) == NAMES
    assert rows["openvino"] == (True, "bfloat16")
    assert rows["onnxruntime"] == (True, "float32")
    without(monkeypatch, "onnxruntime")
    rows = {name: (ok, reason) for name, ok, reason in available("cpu")}
    assert rows["onnxruntime"][0] is False
    assert "cannot be imported" in rows["onnxruntime"][1]


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("150000 100000", 2), ("max 100000", 64)])
def test_threads_respect_a_containers_quota(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(cpu, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(cpu.torch, "get_num_threads", lambda: 64)
    assert cpu.usable_cores() == cores
    monkeypatch.setattr(cpu.torch, "get_num_threads", lambda: 1)
    assert cpu.usable_cores() == 1


@pytest.mark.parametrize(
    ("facts", "fast"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx512_f": True, "amx_bf16": False}, False)],
)
def test_bfloat16_only_where_the_cpu_multiplies_it(
    facts: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: facts, raising=False)
    assert cpu.fast_bfloat16() is fast
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert cpu.fast_bfloat16() is False


def test_importing_the_backends_imports_no_run_time() -> None:
    import subprocess

    code = "import json, sys, lmaps.engine.denoisers; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not {"openvino", "onnxruntime", "onnx", "tensorrt", "onnxruntime_ep_nv_tensorrt_rtx"} & set(loaded)
    assert denoisers.__all__ == [
        "BackendUnavailable",
        "Denoiser",
        "Frame",
        "TiledDenoiser",
        "available",
        "open_denoiser",
        "open_tiled",
    ]
