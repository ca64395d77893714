"""The prior's graph in OpenVINO: the fastest way to run it on a CPU."""

from __future__ import annotations

import time
from typing import Any, Literal, cast

import torch

from ...export.openvino import OpenVINOGraph
from ..priors import Prior
from .artefacts import open_cache, tell_uncached
from .base import Frame
from .cpu import fast_bfloat16
from .graph import GraphDenoiser, graph_bytes

PRECISIONS = ("float32", "bfloat16")


class OpenVINODenoiser(GraphDenoiser):
    """One compiled graph with static shapes; a request for each calling thread. Kept in the artefact cache."""

    backend = "openvino"

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        shapes = {"x": frame.padded_shape, "sigma": (frame.batch,)}
        kind = cast(Literal["float32", "bfloat16"], precision)
        started = time.perf_counter()
        path = prior.onnx_path()
        exported = time.perf_counter() - started
        cache, reason = open_cache()
        graph = OpenVINOGraph(path, shapes, precision=kind, threads=threads, cache=cache, name=prior.name)
        if cache and graph.reason:
            tell_uncached(graph.reason)
        self._kept: dict[str, Any] = {"cache": graph.outcome, "prepare": {"export_s": exported, **graph.prepare}}
        if graph.outcome == "off":
            self._kept["cache_reason"] = reason or graph.reason
        super().__init__(graph, frame, precision=precision, threads=threads, weights_bytes=graph_bytes(path))

    def describe(self) -> dict[str, Any]:
        """And: cache ("hit", "built", "off"), why it is off, prepare (seconds to export, build and load the graph)."""
        return {**super().describe(), **self._kept}


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`, or None."""
    if device.type != "cpu":
        return f"OpenVINO runs on the CPU here, not on {device}"
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        return f"the package openvino cannot be imported ({error}); pip install openvino"
    return None


def best_precision(device: torch.device) -> str:
    return "bfloat16" if fast_bfloat16() else "float32"
