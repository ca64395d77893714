"""The prior's graph as a TensorRT engine, on torch's current stream and in torch's memory.

Scratch memory comes from torch's allocator with each call. So a call that is recorded in a CUDA graph takes it from that
graph's own pool, and neither other calls nor other graphs ever write to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...export.profiles import Profile
from ...export.tensorrt import ALIGNMENT, Context
from ...export.tensorrt_cache import Request, open_engine
from ...export.tensorrt_library import missing as library_missing
from ...kernels.timing import RECORDING
from ..priors import Prior
from . import cuda
from .artefacts import open_cache
from .base import Frame, refuse_gradient
from .narrowed import PriorGraph

PRECISIONS = ("float32", "bfloat16")
OUTPUT = "denoised"
OTHERWISE = "backend='tensorrt-rtx', whose package is on PyPI, or backend='torch'"


class TensorRTDenoiser:
    """One engine for one shape, built strongly typed from the prior's graph and kept in the artefact cache.

    "float32" multiplies in full float32, not TF32. "bfloat16": see `export.half`.
    """

    backend = "tensorrt"
    supports_gradient = False
    capturable = True

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        self.precision, self.device, self._frame = precision, device, frame
        shapes = {"x": frame.padded_shape, "sigma": (frame.batch,)}
        clock = cuda.Clock()
        cache, self._cache_reason = open_cache()
        graph = PriorGraph(prior, precision, cache)
        export_s = clock.lap()
        with torch.cuda.device(device), cuda.measured(device) as self._memory:
            request = Request(graph.path, Profile.fixed(shapes), precision, cuda.identity(device), prior.name)
            opened = open_engine(request, cache)
            self._engine, self._outcome = opened.engine, opened.outcome if cache else "off"
            self._contexts = Contexts(lambda: self._engine.open_context(shapes))
            self._check_shape()
            spent = clock.lap()
            self._warm_up()
        self._prepare = {
            "export_s": export_s,
            "build_s": spent if opened.outcome == "built" else 0.0,
            "load_s": spent if opened.outcome == "hit" else 0.0,
            "warm_up_s": clock.lap(),
        }

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
        context = self._contexts.current(cuda.capturing())
        scratch = torch.empty(context.scratch_bytes + ALIGNMENT, dtype=torch.uint8, device=self.device)
        aligned = -(-scratch.data_ptr() // ALIGNMENT) * ALIGNMENT
        addresses = {"x": x.data_ptr(), "sigma": sigma.data_ptr(), OUTPUT: answer.data_ptr()}
        with cuda.busy_stream(self.device) as stream:
            context.enqueue(addresses, aligned, stream)
        if not self._frame.fits:
            self._frame.leave_into(answer, out)

    def describe(self) -> dict[str, Any]:
        """And: cache ("hit", "built", "off"), prepare (seconds), weights_bytes, bytes that preparing took on the GPU."""
        facts: dict[str, Any] = {
            "backend": self.backend,
            "backend_version": self._engine.version,
            "precision": self.precision,
            "device": str(self.device),
            **self._frame.describe(),
            "weights_bytes": self._engine.bytes,
            "cache": self._outcome,
            "prepare": dict(self._prepare),
            **self._memory,
        }
        return {**facts, "cache_reason": self._cache_reason} if self._cache_reason else facts

    def _check_shape(self) -> None:
        made = self._contexts.current(False).output_shape(OUTPUT)
        if made != self._frame.padded_shape:
            raise ValueError(f"the graph turns x of shape {self._frame.padded_shape} into {made}; it is no denoiser")

    def _warm_up(self) -> None:
        self(*self._frame.example(self.device))


class Contexts:
    """An execution context for each thread, since one serves one caller at a time.

    A context that a CUDA graph was captured with belongs to that graph from then on; the thread's next call outside of a
    capture takes a fresh one.
    """

    def __init__(self, open_context: Callable[[], Context]) -> None:
        self._open = open_context
        self._local = threading.local()
        self._captured: list[Context] = []

    def current(self, capturing: bool) -> Context:
        """Raises RuntimeError where a capture starts in a thread that has not run the denoiser outside of one."""
        local = self._local
        context: Context | None = getattr(local, "context", None)
        if capturing:
            if context is None:
                raise RuntimeError("run the denoiser once in this thread before it is captured in a CUDA graph")
            if not local.captured:
                local.captured = True
                self._captured.append(context)
            return context
        if context is None or local.captured:
            with RECORDING:  # it allocates on the GPU, maybe in a thread that another one records beside
                context = local.context = self._open()
            local.captured = False
        return context


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`, or None."""
    if reason := cuda.missing(device, "TensorRT"):
        return reason
    reason = library_missing()
    return f"{reason}, or use {OTHERWISE}" if reason else None


def best_precision(device: torch.device) -> str:
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
