"""The prior's graph in OpenVINO: the fastest way to run it on a CPU."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor

from ...export.openvino import OpenVINOGraph
from ..priors import Prior
from .base import Frame, refuse_gradient
from .cpu import fast_bfloat16

PRECISIONS = ("float32", "bfloat16")


class OpenVINODenoiser:
    """One compiled graph with static shapes; a request for each calling thread."""

    backend = "openvino"
    supports_gradient = False

    def __init__(self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int) -> None:
        self.precision, self._frame, self._threads = precision, frame, threads
        shapes = {"x": frame.padded_shape, "sigma": (frame.batch,)}
        kind = cast(Literal["float32", "bfloat16"], precision)
        self._graph = OpenVINOGraph(prior.onnx_path(), shapes, precision=kind, threads=threads)

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
        return f"OpenVINO runs on the CPU here, not on {device}"
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        return f"the package openvino cannot be imported ({error}); pip install openvino"
    return None


def best_precision(device: torch.device) -> str:
    return "bfloat16" if fast_bfloat16() else "float32"
