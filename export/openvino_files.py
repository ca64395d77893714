"""An ONNX graph as OpenVINO's own two files, model.xml and model.bin, for programs that read those."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .check import TOLERANCES, ExportError
from .external_data import GraphError, check_external_data
from .onnxruntime import OnnxRuntimeGraph
from .profiles import Profile


def save_openvino(source: Path, path: Path, profile: Profile | None, *, half: bool) -> None:
    """Write the graph at `source` to `path` (.xml; its weights to .bin beside it) and compare what the two compute.

    profile: bounds of the shapes, any if None.   half: store the weights as float16.
    Raises GraphError where OpenVINO does not take the graph, ExportError where the files compute something else.
    """
    import openvino

    check_external_data(source)
    core = openvino.Core()
    try:
        model = core.read_model(source)
        if profile:
            model.reshape({name: _bounds(openvino, profile, name) for name in profile.opt})
        openvino.save_model(model, path, compress_to_fp16=half)
        compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise GraphError(f"OpenVINO cannot take {source.name}: {error}") from error
    _compare(compiled, source, _example(source, profile), TOLERANCES["float16" if half else "float32"])


def _bounds(openvino: Any, profile: Profile, name: str) -> Any:
    sides = zip(profile.min[name], profile.max[name], strict=True)
    return openvino.PartialShape([openvino.Dimension(low, high) for low, high in sides])


def _example(source: Path, profile: Profile | None) -> tuple[int, ...]:
    """The shape of x to compare on: the smallest allowed, or where all are, a batch of two pictures of 64 x 64."""
    if profile:
        return tuple(profile.min["x"])
    import onnx

    x = next(value for value in onnx.load(source, load_external_data=False).graph.input if value.name == "x")
    return tuple(dim.dim_value or free for dim, free in zip(x.type.tensor_type.shape.dim, (2, 3, 64, 64), strict=True))


def _compare(compiled: Any, source: Path, shape: tuple[int, ...], allowed: float) -> None:
    draw = np.random.default_rng(0)
    inputs: Mapping[str, Any] = {
        "x": draw.standard_normal(shape, dtype=np.float32),
        "sigma": np.geomspace(0.1, 5, shape[0], dtype=np.float32),
    }
    got, want = compiled(inputs)[0], np.empty(shape, np.float32)
    OnnxRuntimeGraph(source, threads=1).run(inputs, want)
    error = float(np.linalg.norm(got - want) / np.linalg.norm(want))
    if not error <= allowed:
        raise ExportError(
            f"OpenVINO's files differ from the graph by {error:.2e} of its norm; {allowed:.0e} is allowed"
        )
