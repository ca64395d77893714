"""The prior's graph in ONNX Runtime: float32 on any CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...export.onnxruntime import OnnxRuntimeGraph
from ..priors import Prior
from .base import EXTRA_ONNX, Frame, refuse_gradient

PRECISIONS = ("float32",)


class OnnxRuntimeDenoiser:
    """One session, run through input and output binding: nothing is copied on the way in or out."""

    backend = "onnxruntime"
    supports_gradient = False

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        self.precision, self._frame, self._threads = precision, frame, threads
        self._graph = OnnxRuntimeGraph(prior.onnx_path(), threads=threads)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        refuse_gradient(x, self.backend)
        x, sigma = self._frame.enter(x.detach(), sigma.detach())
        out = torch.empty(self._frame.padded_shape)
        self._graph.run({"x": x.contiguous().numpy(), "sigma": sigma.contiguous().numpy()}, out.numpy())
        return self._frame.leave(out)

    def describe(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "backend_version": self._graph.version,
            "precision": self.precision,
            "device": "cpu",
            "threads": self._threads,
            **self._frame.describe(),
        }


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`, or None."""
    if device.type != "cpu":
        return f"ONNX Runtime runs on the CPU here, not on {device}"
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        return f"the package onnxruntime cannot be imported ({error}); {EXTRA_ONNX}"
    return None


def best_precision(device: torch.device) -> str:
    return "float32"
