"""The prior's graph in ONNX Runtime on a GPU: its CUDA provider, its TensorRT provider, the TensorRT-RTX plug-in."""

from __future__ import annotations

import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...export import digest, onnxruntime_gpu
from ...export.cache import Artefact, ArtefactCache, CacheUnusable
from ...export.onnxruntime_gpu import OnnxRuntimeGPUGraph, Provider
from ...export.profiles import Profile, Shapes
from ..priors import Prior
from . import cuda
from .artefacts import open_cache, tell_uncached
from .base import Frame, refuse_gradient
from .graph import graph_bytes
from .narrowed import PriorGraph

BACKENDS: dict[str, Provider] = {
    "onnxruntime-cuda": "cuda",
    "onnxruntime-tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt-rtx",
}
# The plug-in takes types from the graph; TensorRT's own provider would choose them by itself, norms included.
PRECISIONS: dict[Provider, tuple[str, ...]] = {
    "cuda": ("float32",),
    "tensorrt": ("float32",),
    "tensorrt-rtx": ("float32", "bfloat16"),
}
_MARK = "made"


class OnnxRuntimeGPUDenoiser:
    """One session on a stream of its own, which waits for torch's current stream and which that waits for.

    Not for CUDA graphs: ONNX Runtime frees pinned memory within a run, which a capture forbids
    (microsoft/onnxruntime pull request 32081 shows the process aborting).
    """

    supports_gradient = False
    capturable = False

    def __init__(
        self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int, backend: str
    ) -> None:
        self.backend, self.precision, self.device, self._frame = backend, precision, device, frame
        provider = BACKENDS[backend]
        shapes = {"x": frame.padded_shape, "sigma": (frame.batch,)}
        clock = cuda.Clock()
        cache, self._cache_reason = open_cache()
        self._source = PriorGraph(prior, precision, cache)
        export_s = clock.lap()
        self._lock = threading.Lock()
        with cuda.measured(device) as self._memory:
            self._stream = cuda.own_stream(device)
            opener = partial(
                OnnxRuntimeGPUGraph,
                self._source.path,
                shapes,
                provider=provider,
                device=cuda.index(device),
                stream=self._stream.cuda_stream,
            )
            self._engines = Engines(self._source.path, shapes, provider, precision, device, cache, opener, prior.name)
            self._graph = opener(engines=self._engines.folder)
            build_s = clock.lap()
            self(*frame.example(device))
        self._prepare = {"export_s": export_s, "build_s": build_s, "load_s": 0.0, "warm_up_s": clock.lap()}

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        refuse_gradient(x, self.backend)
        out = torch.empty(self._frame.shape, device=self.device, dtype=torch.float32)
        self.into(x, sigma.to(self.device), out)
        return out

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        self._frame.require_static(x, sigma, out, self.device)
        x, sigma = self._frame.enter(x.detach(), sigma.detach())
        x, sigma = x.contiguous(), sigma.contiguous()
        answer = self._frame.room(out)
        with self._lock, cuda.joined(self._stream, self.device):
            self._graph.enqueue(
                {"x": x.data_ptr(), "sigma": sigma.data_ptr()}, answer.data_ptr(), self._frame.padded_shape
            )
        if not self._frame.fits:
            self._frame.leave_into(answer, out)

    def describe(self) -> dict[str, Any]:
        """And: cache, prepare (seconds), weights_bytes (of the graph's files), bytes that preparing took on the GPU."""
        facts: dict[str, Any] = {
            "backend": self.backend,
            "backend_version": self._graph.version,
            "precision": self.precision,
            "device": str(self.device),
            **self._frame.describe(),
            "weights_bytes": graph_bytes(self._source.path),
            "cache": self._engines.outcome,
            "prepare": dict(self._prepare),
            **self._memory,
        }
        return {**facts, "cache_reason": self._cache_reason} if self._cache_reason else facts


class Engines:
    """A folder in which the TensorRT providers find what an earlier session compiled.

    They load what they find there, and write to it when they like. So each session is given a copy of its own, of files
    whose digests the artefact cache has checked.  folder: None where the provider compiles nothing, or nothing is kept.
    """

    def __init__(
        self,
        graph: Path,
        shapes: Shapes,
        provider: Provider,
        precision: str,
        device: torch.device,
        cache: ArtefactCache | None,
        opener: Any,
        name: str,
    ) -> None:
        self.folder: Path | None = None
        self.outcome = "off"
        if provider == "cuda" or cache is None:
            return

        def build(folder: Path) -> None:
            (folder / _MARK).touch()
            opener(engines=folder)  # compiled files are complete once the session is gone, which is at once

        facts = {
            "kind": f"onnxruntime-{provider}",
            "name": name,
            "graph": digest.of_graph(graph),
            "profile": Profile.fixed(shapes).facts(),
            "precision": precision,
            "versions": onnxruntime_gpu.versions(provider),
            "gpu": cuda.identity(device),
        }
        try:
            artefact = cache.get_or_build(facts, build)
        except CacheUnusable as reason:
            tell_uncached(str(reason))
            return
        self.outcome = artefact.outcome
        self._copy(artefact)

    def _copy(self, artefact: Artefact) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="lmaps-")
        self.folder = Path(self._own.name)
        for name, view in artefact.views.items():
            (self.folder / name).write_bytes(view)


def missing(device: torch.device, *, backend: str) -> str | None:
    """Why this backend cannot run on `device`, or None."""
    return cuda.missing(device, backend) or onnxruntime_gpu.missing(BACKENDS[backend])


def best_precision(device: torch.device, *, backend: str) -> str:
    fast = "bfloat16" in PRECISIONS[BACKENDS[backend]] and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"
