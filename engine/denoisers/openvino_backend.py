"""The prior's graph in OpenVINO: the fastest way to run it on a CPU."""

from __future__ import annotations

from typing import Literal, cast

import torch

from ...export.openvino import OpenVINOGraph
from ..priors import Prior
from .base import Frame
from .cpu import fast_bfloat16
from .graph import GraphDenoiser

PRECISIONS = ("float32", "bfloat16")


class OpenVINODenoiser(GraphDenoiser):
    """One compiled graph with static shapes; a request for each calling thread."""

    backend = "openvino"

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        shapes = {"x": frame.padded_shape, "sigma": (frame.batch,)}
        kind = cast(Literal["float32", "bfloat16"], precision)
        graph = OpenVINOGraph(prior.onnx_path(), shapes, precision=kind, threads=threads)
        super().__init__(graph, frame, precision=precision, threads=threads)


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
