"""A graph held to what it was made from, on random pictures at noise levels 0.005 .. 100."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .arrays import Array
from .onnxruntime import OnnxRuntimeGraph

# Largest ||graph - reference|| / ||reference|| of one picture, by the precision of the matrix products.
TOLERANCES = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}

# Batch, and height and width in multiples. Where a multiple is large the network is too: 15 TFLOP for ImageNet's 552
# million weights at the first line's sizes, minutes on two cores.
_SHAPES, _FEWER_PIXELS, _LARGE = ((1, 4, 4), (5, 5, 8)), ((1, 3, 2), (5, 1, 3)), 16

Reference = Callable[[Array, Array], Array]


class ExportError(RuntimeError):
    """The exported graph does not compute what it should, or could not be made."""


def check_export(
    reference: nn.Module | Path,
    path: Path,
    *,
    channels: int,
    multiple: int,
    precision: str = "float32",
    tolerance: float | None = None,
) -> None:
    """Compare the graph at `path` with a module (x, sigma) -> denoised, or with another graph.

    precision: of the graph. No CPU has kernels for all of float16 and bfloat16, so such a graph is run node by node in
               float32 with each result rounded as the 16-bit node would round it.
    Raises ExportError where ||graph - reference|| > tolerance ||reference|| for any picture; by default TOLERANCES'.
    """
    allowed = TOLERANCES[precision] if tolerance is None else tolerance
    want = _module(reference) if isinstance(reference, nn.Module) else _graph(reference, "float32")
    got = _graph(path, precision)
    draw = np.random.default_rng(0)
    for batch, high, wide in _SHAPES if multiple < _LARGE else _FEWER_PIXELS:
        sigma = np.geomspace(5e-3, 1e2, batch, dtype=np.float32)
        shape = batch, channels, high * multiple, wide * multiple
        clean = draw.uniform(-1, 1, shape)
        x = (clean + sigma.reshape(-1, 1, 1, 1) * draw.standard_normal(shape)).astype(np.float32)
        error = _distance(got(x, sigma), want(x, sigma))
        if not (error <= allowed).all():
            raise ExportError(
                f"the exported graph differs from the {'module' if isinstance(reference, nn.Module) else 'graph'} by "
                f"{error.max():.2e} of its norm at size {shape}; {allowed:.0e} is allowed"
            )


def _distance(got: Array, want: Array) -> Array:
    """||got - want|| / ||want|| of each picture."""
    axes = tuple(range(1, want.ndim))
    difference, norm = (np.sqrt(np.square(a, dtype=np.float64).sum(axes)) for a in (got - want, want))
    return np.asarray(difference / np.maximum(norm, 1e-30), dtype=np.float32)


def _module(module: nn.Module) -> Reference:
    device = next((p.device for p in module.parameters()), torch.device("cpu"))

    def run(x: Array, sigma: Array) -> Array:
        with torch.no_grad():
            answer: Array = (
                module(torch.from_numpy(x).to(device), torch.from_numpy(sigma).to(device)).float().cpu().numpy()
            )
        return answer

    return run


def _graph(path: Path, precision: str) -> Reference:
    graph = _open(path) if precision == "float32" else _open_rounded(path)

    def run(x: Array, sigma: Array) -> Array:
        out = np.empty_like(x)
        graph.run({"x": x, "sigma": sigma}, out)
        return out

    return run


def _open(path: Path) -> OnnxRuntimeGraph:
    return OnnxRuntimeGraph(path, threads=torch.get_num_threads())


def _open_rounded(path: Path) -> OnnxRuntimeGraph:
    import onnx

    from .rounded import rounded_in_float32

    handle, name = tempfile.mkstemp(suffix=".onnx")
    os.close(handle)
    try:
        onnx.save(rounded_in_float32(onnx.load(path)), name)
        return _open(Path(name))
    finally:
        Path(name).unlink()
