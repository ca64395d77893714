"""The prior's graph in ONNX Runtime: float32 on any CPU."""

from __future__ import annotations

import torch

from ...export.onnxruntime import OnnxRuntimeGraph
from ..priors import Prior
from .base import EXTRA_ONNX, Frame
from .graph import GraphDenoiser

PRECISIONS = ("float32",)


class OnnxRuntimeDenoiser(GraphDenoiser):
    """One session, run through input and output binding: nothing is copied on the way in or out."""

    backend = "onnxruntime"

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        graph = OnnxRuntimeGraph(prior.onnx_path(), threads=threads)
        super().__init__(graph, frame, precision=precision, threads=threads)


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
