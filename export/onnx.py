"""A denoiser, any nn.Module (x, sigma) -> denoised, to one ONNX graph that is checked before it is kept.

Inputs of the graph: x [B, C, H, W] float32, sigma [B] float32. Output: denoised [B, C, H, W] float32. B is free; H and
W are any multiples of `multiple`. All arithmetic is float32, or with `precision` the matrix products run in 16 bits. With
`half` the weights are stored as float16 and cast up inside the graph, which every run time folds away when it loads:
half the bytes on disk, the same speed.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from .check import TOLERANCES, ExportError, check_export
from .external_data import check_external_data
from .half import BFLOAT16_OPSET, HalfPrecision, narrow, opset_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

INPUTS, OUTPUT = ("x", "sigma"), "denoised"
# OpenVINO 2026 crashes on float32 graphs with static shapes from opset 21 on (GroupNormalization).
DEFAULT_OPSET = 20
HALF_TOLERANCE = 1e-2
# Protobuf's limit of 2 GiB for a message, less room for the graph itself.
_LARGEST = 2**31 - 2**24

Precision = Literal["float32", "float16", "bfloat16"]


class Slice(NamedTuple):
    """Where a tensor lies in a file of raw tensors: little-endian, contiguous, element type as ONNX counts them."""

    location: str
    offset: int
    length: int
    element_type: int


def export_onnx(
    module: nn.Module,
    path: Path,
    *,
    channels: int,
    multiple: int,
    opset: int | None = None,
    precision: Precision = "float32",
    half: bool = False,
    external: Mapping[str, Slice] | None = None,
) -> None:
    """Write `module` as an ONNX graph to `path`, after comparing it with the module on random inputs.

    channels: C of x.  multiple: what H and W must be divisible by.
    opset:     20 unless given, 22 with "bfloat16" (see DEFAULT_OPSET and `half.BFLOAT16_OPSET`).
    precision: "float32", or the type that the matrix products run in and their weights are stored in, while norms,
               softmax, the embedding and the input and output scaling stay float32: see `half.narrow`.
    half:      store the weights as float16, compute in float32. They must be finite and below 65504 in magnitude.
    external:  for some or all of the module's parameters (by name), where their values already lie in a file beside
               `path`; the graph then points there instead of holding a copy. Float16 slices are cast to float32 inside.
               A parameter that the exporter folds into another (the weights of a group norm) stays in the graph.

    The file appears whole or not at all. Raises ExportError where the graph differs from the module by more than
    `check.TOLERANCES` of the output's norm (1e-2 with `half`), ValueError for arguments that make no sense, ImportError
    where onnx, onnxscript or onnxruntime is missing (pip install "lmaps-engine[onnx]").
    """
    if channels < 1 or multiple < 1:
        raise ValueError(f"channels and multiple must be at least 1, got {channels} and {multiple}")
    if precision not in TOLERANCES:
        raise ValueError(f"unknown precision {precision!r}; known are {', '.join(TOLERANCES)}")
    if (half or precision != "float32") and external:
        raise ValueError(
            "16-bit graphs store their own copies of the weights; they cannot be combined with external ones"
        )
    if half and precision != "float32":
        raise ValueError(f"half is for graphs that compute in float32, not for precision {precision!r}")
    if strange := sorted(set(external or ()) - module.state_dict().keys()):
        raise ValueError(f"external names tensors that the module does not have: {strange}")
    module = module.eval()
    model = _trace(module, channels, multiple, opset or default_opset(precision))
    _strip(model)
    if half:
        _store_half(model.graph, {name for name, _ in module.named_parameters()})
    if external:
        _point_outside(model.graph, external)
    if precision != "float32":
        narrow(model, precision)
    tolerance = HALF_TOLERANCE if half else TOLERANCES[precision]
    with replacing(path) as temporary:
        _save(model, temporary)
        check_export(module, temporary, channels=channels, multiple=multiple, precision=precision, tolerance=tolerance)


def narrow_graph(source: Path, path: Path, precision: HalfPrecision, *, channels: int, multiple: int) -> None:
    """Write the float32 graph at `source` in 16 bits to `path`, self-contained, after comparing the two.

    Takes a second where `export_onnx` takes ten. With "bfloat16" a graph below opset 22 is converted to it.
    Raises as `export_onnx`, GraphError for a damaged graph, `half.UnsuitableGraph` for one that cannot be rewritten.
    """
    import onnx

    check_external_data(source)
    model = onnx.load(source)
    if precision == "bfloat16" and opset_of(model) < BFLOAT16_OPSET:
        model = onnx.version_converter.convert_version(model, BFLOAT16_OPSET)
    narrow(model, precision)
    _strip(model)
    with replacing(path) as temporary:
        _save(model, temporary)
        check_export(source, temporary, channels=channels, multiple=multiple, precision=precision)


def contain_graph(source: Path, path: Path) -> None:
    """Write the graph at `source` to `path` with its weights inside, stored as they were."""
    import onnx

    check_external_data(source)
    model = onnx.load(source)
    with replacing(path) as temporary:
        _save(model, temporary)


def fix_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Make the free sides of the inputs what `shapes` says, and those of the output what x's are."""
    import onnx

    model = onnx.load(path)
    wanted = {**shapes, OUTPUT: shapes[INPUTS[0]]}
    for value in (*model.graph.input, *model.graph.output):
        for dim, side in zip(value.type.tensor_type.shape.dim, wanted[value.name], strict=True):
            dim.dim_value = side
    with replacing(path) as temporary:
        _save(model, temporary)


def stored_opset(path: Path) -> int:
    """The opset of the graph at `path`."""
    import onnx

    return opset_of(onnx.load(path, load_external_data=False))


def default_opset(precision: str) -> int:
    """The lowest opset that has all of `precision`: every run time reads it, and OpenVINO needs it."""
    return BFLOAT16_OPSET if precision == "bfloat16" else DEFAULT_OPSET


def _trace(module: nn.Module, channels: int, multiple: int, opset: int) -> ModelProto:
    batch = torch.export.Dim("B", min=1, max=4096)
    height, width = (multiple * torch.export.Dim(name, min=1, max=65536 // multiple) for name in ("h", "w"))
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    example = (
        torch.zeros(2, channels, 4 * multiple, 6 * multiple, device=device, dtype=torch.float32),
        torch.ones(2, device=device, dtype=torch.float32),
    )
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=opset,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_shapes=({0: batch, 2: height, 3: width}, {0: batch}),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch.onnx.export returned nothing")
    model: ModelProto = program.model_proto
    return model


@contextmanager
def _quiet() -> Any:
    """The exporter logs and warns about packages and settings that do not concern us."""
    import logging

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(model: ModelProto) -> None:
    """Drop what only describes: stack traces with the exporting machine's paths, names of shapes inside the graph."""
    graph = model.graph
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    graph.doc_string = model.doc_string = ""


def _store_half(graph: GraphProto, names: set[str]) -> None:
    from onnx import numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.name not in names or numpy_helper.to_array(tensor).dtype != np.float32:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            short = values.astype(np.float16)
        if not np.isfinite(short).all():
            raise ExportError(f"{tensor.name} has values that float16 cannot hold (largest {np.abs(values).max():g})")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(short, name))
        casts.append(_renamed(tensor))
    _prepend(graph, casts)


def _point_outside(graph: GraphProto, external: Mapping[str, Slice]) -> None:
    from onnx import TensorProto

    casts = []
    for tensor in graph.initializer:
        place = external.get(tensor.name)
        if place is None:
            continue
        for field in ("raw_data", "float_data"):
            tensor.ClearField(field)
        tensor.data_type = place.element_type
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place.location), ("offset", place.offset), ("length", place.length)):
            tensor.external_data.add(key=key, value=str(value))
        if place.element_type != TensorProto.FLOAT:
            casts.append(_renamed(tensor))
    _prepend(graph, casts)


def _renamed(tensor: TensorProto) -> Any:
    """Give the stored tensor a new name and return the Cast that makes float32 of it under the old one."""
    from onnx import TensorProto, helper

    name, tensor.name = tensor.name, f"{tensor.name}.stored"
    return helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT)


def _prepend(graph: GraphProto, nodes: Iterable[Any]) -> None:
    nodes = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _save(model: ModelProto, path: Path) -> None:
    import onnx

    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size > _LARGEST:
        raise ExportError(
            f"the weights take {size / 2**30:.1f} GiB, and one ONNX file holds 2: use float16 or bfloat16"
        )
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`, which it replaces when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that external data is found and the final rename stays on one file system.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
