"""The prior's graph in ONNX Runtime: float32 on any CPU."""

from __future__ import annotations

import time
from typing import Any

import torch

from ...export.onnxruntime import OnnxRuntimeGraph
from ..priors import Prior
from .base import EXTRA_ONNX, Frame
from .graph import GraphDenoiser, graph_bytes

PRECISIONS = ("float32",)


class OnnxRuntimeDenoiser(GraphDenoiser):
    """One session, run through input and output binding: nothing is copied on the way in or out."""

    backend = "onnxruntime"

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        started = time.perf_counter()
        path = prior.onnx_path()
        exported = time.perf_counter()
        graph = OnnxRuntimeGraph(path, threads=threads)
        built = time.perf_counter()
        self._prepare = {"export_s": exported - started, "build_s": built - exported, "load_s": 0.0}
        super().__init__(graph, frame, precision=precision, threads=threads, weights_bytes=graph_bytes(path))

    def describe(self) -> dict[str, Any]:
        """And: prepare (seconds to export the graph and open the session); cache is "off": sessions cannot be stored."""
        return {**super().describe(), "cache": "off", "prepare": dict(self._prepare)}


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
