"""The TensorRT denoiser's own code against a FAKE of the library, on the CPU: what it hands over, when, and to whom.

What the fake computes is 0.5 x + sigma, so padding, cropping, buffers and threads show in the numbers.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmaps.engine.denoisers import BackendUnavailable, Denoiser, cuda, open_denoiser
from lmaps.engine.denoisers.base import Frame
from lmaps.engine.denoisers.tensorrt_backend import TensorRTDenoiser
from lmaps.engine.priors import Prior, load_prior
from lmaps.export import tensorrt_library
from lmaps.export.external_data import GraphError
from lmaps.export.tensorrt_library import TensorRTError

from ...export.fake_tensorrt import FakeTensorRT

STREAM = 77


@pytest.fixture
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTensorRT:
    """The fake library, and a fake GPU: torch's CPU with a stream of number 77."""

    @contextmanager
    def busy_stream(device: torch.device) -> Iterator[int]:
        yield STREAM

    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cuda, "busy_stream", busy_stream)
    monkeypatch.setattr(cuda, "identity", lambda device: {"name": "fake", "capability": [9, 0], "cuda": "13.0"})
    monkeypatch.setattr(cuda, "capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    tensorrt_library.logger.cache_clear()
    return fake


def opened(prior: Prior, size: tuple[int, int], *, precision: str = "float32", batch: int = 2) -> TensorRTDenoiser:
    frame = Frame(batch, prior.channels, *size, prior.multiple)
    return TensorRTDenoiser(prior, frame, precision=precision, device=torch.device("cpu"), threads=1)


def expected(x: Tensor, sigma: Tensor) -> Tensor:
    return 0.5 * x + sigma[:, None, None, None]


@pytest.mark.parametrize("size", [(16, 24), (13, 21)])
def test_answers_in_the_callers_buffer_on_the_given_stream(
    trt: FakeTensorRT, prior: Prior, size: tuple[int, int]
) -> None:
    denoiser = opened(prior, size)
    assert isinstance(denoiser, Denoiser)
    assert (denoiser.capturable, denoiser.supports_gradient) == (True, False)
    x, sigma = torch.randn(2, 3, *size), torch.tensor([0.2, 3.0])
    out = torch.full_like(x, float("nan"))
    denoiser.into(x, sigma, out)
    torch.testing.assert_close(out, expected(x, sigma))
    assert {stream for _, (_, stream) in trt.named("run")} == {STREAM}
    again = denoiser(x, sigma)
    assert torch.equal(again, out)
    assert again.data_ptr() != out.data_ptr()
    strided = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(denoiser(strided, sigma), out)


def test_the_engine_is_built_for_the_padded_shape_and_kept(trt: FakeTensorRT, prior: Prior) -> None:
    first = opened(prior, (13, 21)).describe()
    second = opened(prior, (13, 21)).describe()
    (config,) = trt.named("build")[0][1]
    assert config.profiles[0].shapes == {"x": [[2, 3, 16, 24]] * 3, "sigma": [[2]] * 3}
    assert (first["cache"], second["cache"], trt.builds) == ("built", "hit", 1)
    assert first["prepare"]["build_s"] > 0 == second["prepare"]["build_s"]
    assert second["prepare"]["load_s"] > 0
    assert second["backend_version"] == trt.__version__
    assert second["weights_bytes"] > 0
    assert (second["size"], second["padded_size"]) == ((13, 21), (16, 24))


def test_without_a_cache_it_says_so(trt: FakeTensorRT, prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE", "off")
    facts = opened(prior, (16, 24)).describe()
    assert facts["cache"] == "off"
    assert "LMAPS_CACHE is 'off'" in facts["cache_reason"]


def test_bfloat16_builds_from_the_16_bit_graph(trt: FakeTensorRT, prior: Prior) -> None:
    import onnx

    denoiser = opened(prior, (16, 24), precision="bfloat16")
    (parsed,) = trt.named("parse")[0][1]
    assert Path(parsed) != prior.onnx_path()
    graph = onnx.load(parsed).graph
    assert onnx.TensorProto.BFLOAT16 in {tensor.data_type for tensor in graph.initializer}
    assert [v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)] == [onnx.TensorProto.FLOAT] * 3
    assert denoiser.describe()["precision"] == "bfloat16"


def test_threads_have_a_context_each(trt: FakeTensorRT, prior: Prior) -> None:
    denoiser = opened(prior, (16, 24), batch=1)
    x, sigma = torch.randn(1, 3, 16, 24), torch.tensor([0.2])

    def work() -> None:
        for _ in range(3):
            assert torch.equal(denoiser(x, sigma), expected(x, sigma))

    trt.calls.clear()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trt.named("run")) == 9
    assert len({id(context) for _, (context, _) in trt.named("run")}) == 3


def test_a_captured_context_is_left_to_its_graph(
    trt: FakeTensorRT, prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = opened(prior, (16, 24), batch=1)
    x, sigma = torch.randn(1, 3, 16, 24), torch.tensor([0.2])
    out = torch.empty_like(x)
    trt.calls.clear()
    for capturing in (False, True, True, False, False, True):
        monkeypatch.setattr(cuda, "capturing", lambda now=capturing: now)
        denoiser.into(x, sigma, out)
    a, b, c, d, e, f = (id(context) for _, (context, _) in trt.named("run"))
    assert a == b == c
    assert d == e == f != a
    assert len(denoiser._contexts._captured) == 2


def test_a_capture_without_a_first_run_is_refused(
    trt: FakeTensorRT, prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = opened(prior, (16, 24), batch=1)
    x, errors = torch.zeros(1, 3, 16, 24), list[str]()
    monkeypatch.setattr(cuda, "capturing", lambda: True)

    def work() -> None:
        try:
            denoiser.into(x, torch.ones(1), torch.empty_like(x))
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == ["run the denoiser once in this thread before it is captured in a CUDA graph"]


def test_scratch_is_torchs_and_as_large_as_asked(trt: FakeTensorRT, prior: Prior) -> None:
    trt.scratch = 12345
    denoiser = opened(prior, (16, 24), batch=1)
    denoiser(torch.zeros(1, 3, 16, 24), torch.ones(1))
    context = trt.named("run")[-1][1][0]
    assert context.memory[1] == 12345
    trt.scratch = 0
    opened(prior, (16, 32), batch=1)(torch.zeros(1, 3, 16, 32), torch.ones(1))


def test_errors_are_raised_as_they_are(trt: FakeTensorRT, prior: Prior) -> None:
    trt.graph_error = "no importer for Conv"
    with pytest.raises(GraphError, match=r"cannot read .*no importer for Conv"):
        opened(prior, (16, 24))
    trt.graph_error, trt.build_error = "", "out of memory"
    with pytest.raises(TensorRTError, match="out of memory"):
        opened(prior, (16, 24))
    trt.build_error = ""
    with pytest.raises(ValueError, match="backend 'tensorrt' has no gradient"):
        opened(prior, (16, 24))(torch.zeros(2, 3, 16, 24, requires_grad=True), torch.ones(2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_asking_for_it_here_names_what_is_missing(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"backend": "tensorrt", "size": (16, 24), "batch": 1}
    with pytest.raises(BackendUnavailable, match="'tensorrt' cannot run: TensorRT runs on a CUDA GPU, not on cpu"):
        open_denoiser(prior, device="cpu", **options)
    with pytest.raises(BackendUnavailable, match="'tensorrt' cannot run: this torch sees no CUDA device"):
        open_denoiser(prior, device="cuda", **options)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailable, match=r"tensorrt cannot be imported.*install NVIDIA's tensorrt 10 or newer"):
        open_denoiser(prior, device="cuda", **options)
