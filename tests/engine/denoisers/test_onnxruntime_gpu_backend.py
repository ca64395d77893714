"""The denoiser around ONNX Runtime on a GPU, against a FAKE session on the CPU: buffers, padding, streams, kept engines.

The session's own calls are in tests/export/test_onnxruntime_gpu.py. No provider for GPUs has been run by these tests.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from lmaps.engine.denoisers import Denoiser, cuda, onnxruntime_gpu_backend
from lmaps.engine.denoisers.base import Frame
from lmaps.engine.denoisers.onnxruntime_gpu_backend import OnnxRuntimeGPUDenoiser
from lmaps.engine.priors import Prior, load_prior
from lmaps.export.cache import ArtefactCache


class FakeGraph:
    """Writes 0.5 x + sigma through the addresses it is given. Compiles one "engine" where it finds none. Not a run time."""

    version = "fake"
    opened: ClassVar[list[FakeGraph]] = []
    running = 0

    def __init__(
        self, path: Path, shapes: Any, *, provider: str, device: int, stream: int, engines: Path | None
    ) -> None:
        self.path, self.shapes, self.provider, self.stream, self.engines = path, shapes, provider, stream, engines
        self.found = engines is not None and (engines / "kernels.bin").exists()
        if engines is not None and not self.found:
            (engines / "kernels.bin").write_bytes(b"compiled")
        FakeGraph.opened.append(self)

    def enqueue(self, inputs: Mapping[str, int], out: int, out_shape: tuple[int, ...]) -> None:
        FakeGraph.running += 1
        assert FakeGraph.running == 1  # one thread at a time
        x, sigma = (self._view(inputs[name], self.shapes[name]) for name in ("x", "sigma"))
        self._view(out, out_shape)[...] = 0.5 * x + sigma.reshape(-1, 1, 1, 1)
        FakeGraph.running -= 1

    @staticmethod
    def _view(address: int, shape: tuple[int, ...]) -> Any:
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(address)
        return np.ctypeslib.as_array(memory).reshape(shape)


@pytest.fixture
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture(autouse=True)
def joins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A fake GPU on the CPU; the streams that were joined with torch's."""
    seen: list[int] = []

    @contextmanager
    def joined(stream: Any, device: torch.device) -> Iterator[None]:
        seen.append(stream.cuda_stream)
        yield

    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(FakeGraph, "opened", [])
    monkeypatch.setattr(onnxruntime_gpu_backend, "OnnxRuntimeGPUGraph", FakeGraph)
    monkeypatch.setattr(cuda, "own_stream", lambda device: SimpleNamespace(cuda_stream=77))
    monkeypatch.setattr(cuda, "joined", joined)
    monkeypatch.setattr(cuda, "index", lambda device: 0)
    monkeypatch.setattr(cuda, "identity", lambda device: {"name": "fake"})
    return seen


def opened(prior: Prior, size: tuple[int, int], backend: str = "onnxruntime-cuda", **options: Any) -> Any:
    settings = {"precision": "float32", "device": torch.device("cpu"), "threads": 1, **options}
    return OnnxRuntimeGPUDenoiser(prior, Frame(2, 3, *size, prior.multiple), backend=backend, **settings)


@pytest.mark.parametrize("size", [(16, 24), (13, 21)])
def test_answers_in_the_callers_buffer(prior: Prior, size: tuple[int, int], joins: list[int]) -> None:
    denoiser = opened(prior, size)
    assert isinstance(denoiser, Denoiser)
    assert (denoiser.capturable, denoiser.supports_gradient) == (False, False)
    x, sigma = torch.randn(2, 3, *size), torch.tensor([0.2, 3.0])
    out = torch.full_like(x, float("nan"))
    joins.clear()
    denoiser.into(x, sigma, out)
    torch.testing.assert_close(out, 0.5 * x + sigma[:, None, None, None])
    assert torch.equal(denoiser(x.transpose(2, 3).contiguous().transpose(2, 3), sigma), out)
    assert joins == [77, 77]
    with pytest.raises(ValueError, match="backend 'onnxruntime-cuda' has no gradient"):
        denoiser(x.requires_grad_(), sigma)


def test_threads_take_turns(prior: Prior) -> None:
    denoiser = opened(prior, (16, 24))
    x, sigma = torch.randn(2, 3, 16, 24), torch.tensor([0.2, 3.0])
    right: list[bool] = []

    def work() -> None:
        right.extend(torch.equal(denoiser(x, sigma), 0.5 * x + sigma[:, None, None, None]) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 20


def test_the_cuda_provider_compiles_and_keeps_nothing(prior: Prior) -> None:
    facts = opened(prior, (16, 24)).describe()
    assert [graph.engines for graph in FakeGraph.opened] == [None]
    assert (facts["backend"], facts["cache"]) == ("onnxruntime-cuda", "off")
    assert facts["weights_bytes"] > 0


@pytest.mark.parametrize("backend", ["onnxruntime-tensorrt", "tensorrt-rtx"])
def test_compiled_engines_come_from_checked_copies(prior: Prior, backend: str) -> None:
    first = opened(prior, (16, 24), backend)
    built, used = FakeGraph.opened
    assert (built.found, used.found) == (False, True)
    assert built.engines != used.engines
    second = opened(prior, (16, 24), backend)
    assert [graph.found for graph in FakeGraph.opened] == [False, True, True]
    assert (first.describe()["cache"], second.describe()["cache"]) == ("built", "hit")
    used.engines.joinpath("kernels.bin").write_bytes(b"the provider writes to its copy")
    assert opened(prior, (16, 24), backend).describe()["cache"] == "hit"
    (kept,) = ArtefactCache().folder.glob("artefacts/*/kernels.bin")
    kept.write_bytes(b"edited")
    assert opened(prior, (16, 24), backend).describe()["cache"] == "built"
    opened(prior, (16, 32), backend)
    assert [graph.found for graph in FakeGraph.opened[-2:]] == [False, True]


def test_the_plug_in_takes_16_bits_from_the_graph(prior: Prior) -> None:
    import onnx

    denoiser = opened(prior, (16, 24), "tensorrt-rtx", precision="bfloat16")
    graph = onnx.load(FakeGraph.opened[-1].path).graph
    assert onnx.TensorProto.BFLOAT16 in {tensor.data_type for tensor in graph.initializer}
    assert denoiser.describe()["precision"] == "bfloat16"
