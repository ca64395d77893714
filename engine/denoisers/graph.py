"""What the backends that run an exported graph share: tensors in, tensors out, and who may ask for a gradient (nobody)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...export.external_data import check_external_data
from .base import Frame, refuse_gradient


class Graph(Protocol):
    """A compiled graph of `lmaps.export`: its run time's version, and `run` into a given array."""

    version: str

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]], out: np.ndarray[Any, Any]) -> None: ...


class GraphDenoiser:
    """A denoiser that is one graph (x, sigma) -> denoised on the CPU. A subclass compiles the graph and names itself."""

    backend: str
    supports_gradient = False
    capturable = False
    device = torch.device("cpu")

    def __init__(self, graph: Graph, frame: Frame, *, precision: str, threads: int, weights_bytes: int) -> None:
        self.precision, self._graph, self._frame, self._threads = precision, graph, frame, threads
        self._weights_bytes = weights_bytes

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        refuse_gradient(x, self.backend)
        out = torch.empty(self._frame.shape, dtype=torch.float32)
        self.into(x, sigma, out)
        return out

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        self._frame.require_static(x, sigma, out, self.device)
        x, sigma = self._frame.enter(x.detach(), sigma.detach())
        answer = self._frame.room(out)
        self._graph.run({"x": x.contiguous().numpy(), "sigma": sigma.contiguous().numpy()}, answer.numpy())
        if not self._frame.fits:
            self._frame.leave_into(answer, out)

    def describe(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "backend_version": self._graph.version,
            "precision": self.precision,
            "device": "cpu",
            "threads": self._threads,
            **self._frame.describe(),
            "weights_bytes": self._weights_bytes,
        }


def graph_bytes(path: Path) -> int:
    """Bytes of a graph and of the files beside it that it reads, nearly all of them weights."""
    return sum((path.parent / name).stat().st_size for name in (path.name, *check_external_data(path)))
