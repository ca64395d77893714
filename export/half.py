"""A float32 ONNX graph rewritten so that its convolutions and matrix products run in 16 bits, and nothing else does.

    x --(float32)--> cast --[ first matrix product ... last matrix product ]--> cast --(float32)--> denoised

A node becomes 16-bit if it is a matrix product on data that depends on x, or if it lies between two such and its kind is
in `BETWEEN`. So the input and output scaling (before the first, after the last), the noise embedding (depends on sigma
alone), and every kind not listed (norms with their scale and shift, softmax, exp, log, roots, powers, divisions, sums)
stay float32. The rule is written into the graph's types, as strongly typed run times want it. Inputs and outputs stay
float32; weights are stored in 16 bits wherever they are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

HalfPrecision = Literal["float16", "bfloat16"]

MATRIX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Attention"})
# Safe in 16 bits: they move values, or round the result of one operation once.
BETWEEN = (
    frozenset({"Add", "Sub", "Mul", "Neg", "Sigmoid", "Relu", "LeakyRelu", "Tanh", "Gelu", "HardSwish", "Swish"})
    | {"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Split", "Slice", "Concat", "Gather"}
    | {"Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "Resize", "AveragePool", "MaxPool"}
)
NORMS = frozenset({"InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"}) | {
    "BatchNormalization",
    "LpNormalization",
    "MeanVarianceNormalization",
}
# A norm's own scale and shift, where the exporter writes them as nodes after it.
_NORM_TAIL = frozenset({"Reshape", "Mul", "Add"})
# Inputs that are data; the others of these kinds (scales, sizes) are float32 by definition.
_DATA_INPUTS = {"Resize": 1}
# Conv, pooling and InstanceNormalization take bfloat16 from here on.
BFLOAT16_OPSET = 22
# Element types as ONNX counts them.
_FLOAT, _FLOAT16, _BFLOAT16 = _FLOATS = 1, 10, 16


class UnsuitableGraph(ValueError):
    """A graph that cannot be rewritten: it has control flow or functions, or too old an opset."""


def narrow(model: ModelProto, precision: HalfPrecision) -> None:
    """Rewrite `model` in place. Its weights must be in memory and its only float type float32.

    Raises UnsuitableGraph for control flow, functions, an opset below 22 with bfloat16, or weights that float16 cannot
    hold (65504 and more).
    """
    _require_suitable(model, precision)
    graph = model.graph
    _unpack_weights(graph)
    floats = {name for name, kind in element_types(model).items() if kind == _FLOAT}
    chosen = _between_matrix_products(graph, floats)
    _Rewriter(graph, floats, precision).apply(chosen)


def _require_suitable(model: ModelProto, precision: HalfPrecision) -> None:
    if precision not in ("float16", "bfloat16"):
        raise ValueError(f"precision must be 'float16' or 'bfloat16', got {precision!r}")
    nested = {node.op_type for node in model.graph.node for a in node.attribute if a.HasField("g") or a.graphs}
    if nested or model.functions:
        what = ", ".join(sorted(nested)) or "functions"
        raise UnsuitableGraph(f"a graph with {what} cannot be rewritten to {precision}; export the network anew")
    if precision == "bfloat16" and (opset := opset_of(model)) < BFLOAT16_OPSET:
        raise UnsuitableGraph(
            f"bfloat16 convolutions need opset {BFLOAT16_OPSET}, the graph has {opset}; export it anew"
        )


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators that the graph was written for."""
    return int(next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0))


def _unpack_weights(graph: GraphProto) -> None:
    """Weights stored in 16 bits behind a Cast become plain float32 initializers under the Cast's name."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        to = next((a.i for a in node.attribute if a.name == "to"), None)
        if node.op_type == "Cast" and node.input[0] in stored and to == _FLOAT:
            values = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        else:
            kept.append(node)
    _replace(graph.node, kept)
    used = {name for node in kept for name in node.input} | {output.name for output in graph.output}
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])


def element_types(model: ModelProto) -> dict[str, int]:
    """Element type of every tensor, as ONNX counts them. Raises UnsuitableGraph where one cannot be told."""
    import onnx

    # Inferred on an outline without the weights' values, and with the outputs of norms given: some of their kinds have no
    # inference of their own.
    outline = onnx.ModelProto()
    outline.CopyFrom(model)
    heavy = [tensor for tensor in model.graph.initializer if tensor.data_type in _FLOATS]
    _replace(outline.graph.initializer, [t for t in model.graph.initializer if t.data_type not in _FLOATS])
    value = onnx.helper.make_tensor_value_info
    outline.graph.input.extend(value(tensor.name, tensor.data_type, tensor.dims) for tensor in heavy)
    norms = [node.output[0] for node in model.graph.node if node.op_type in NORMS]
    outline.graph.value_info.extend(value(name, _FLOAT, None) for name in norms)
    graph = onnx.shape_inference.infer_shapes(outline).graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    known |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    if unknown := {name for node in graph.node for name in node.output if name} - known.keys():
        raise UnsuitableGraph(f"the types of {', '.join(sorted(unknown)[:5])} cannot be told")
    return known


def _between_matrix_products(graph: GraphProto, floats: set[str]) -> set[int]:
    """Indices of the nodes that become 16-bit. The nodes of a graph come in the order they run in."""
    nodes, data = list(graph.node), floats - {tensor.name for tensor in graph.initializer}
    from_x, after = {"x"}, set[str]()
    tail = set[str]()
    products, candidates = set[int](), set[int]()
    for index, node in enumerate(nodes):
        inputs = {name for name in node.input if name in data}
        outputs = {name for name in node.output if name in data}
        if not inputs & from_x:
            continue
        from_x |= outputs
        if node.op_type in NORMS or (node.op_type in _NORM_TAIL and inputs <= tail):
            tail |= outputs
        elif node.op_type in MATRIX and not _is_upsampling_filter(node):
            products.add(index)
        elif node.op_type in BETWEEN and inputs & after:
            candidates.add(index)
        if index in products or inputs & after:
            after |= outputs
    needed = set[str]()
    for index in reversed(range(len(nodes))):
        if index in products or needed.intersection(nodes[index].output):
            needed |= {name for name in nodes[index].input if name in data}
        else:
            candidates.discard(index)
    return products | candidates


def _is_upsampling_filter(node: NodeProto) -> bool:
    """A transposed convolution of each channel by itself: little work, and TensorRT has no 16-bit kernel for it."""
    return node.op_type == "ConvTranspose" and any(a.name == "group" and a.i > 1 for a in node.attribute)


class _Rewriter:
    """Casts where the two precisions meet: one a tensor and direction, however many nodes read it."""

    def __init__(self, graph: GraphProto, floats: set[str], precision: HalfPrecision) -> None:
        self._graph, self._floats, self._precision = graph, floats, precision
        self._code = _FLOAT16 if precision == "float16" else _BFLOAT16
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._short: set[str] = set()
        self._casts: set[str] = set()
        self._nodes: list[NodeProto] = []

    def apply(self, chosen: set[int]) -> None:
        for index, node in enumerate(list(self._graph.node)):
            narrow = index in chosen
            for place, name in enumerate(node.input):
                data = place < _DATA_INPUTS.get(node.op_type, len(node.input))
                if name in self._floats and data:
                    node.input[place] = self._as(name, narrow)
            self._nodes.append(node)
            if narrow:
                self._short |= self._floats.intersection(node.output)
                if node.op_type == "Attention":
                    _set_integer(node, "softmax_precision", _FLOAT)
        self._restore_outputs()
        _replace(self._graph.node, self._nodes)
        del self._graph.value_info[:]
        used = {name for node in self._nodes for name in node.input} | {output.name for output in self._graph.output}
        _replace(self._graph.initializer, [t for name, t in self._weights.items() if name in used])

    def _as(self, name: str, narrow: bool) -> str:
        """The tensor `name` in the wanted precision, cast or converted the first time it is asked for."""
        if name in self._weights and self._weights[name].data_type == _FLOAT:
            return self._weight(name, narrow)
        if (name in self._short) == narrow:
            return name
        if narrow:
            return self._cast(name, f"{name}.{self._precision}", self._code)
        return self._cast(name, f"{name}.float32", _FLOAT)

    def _weight(self, name: str, narrow: bool) -> str:
        """In 16 bits where it is used in 16 bits. Elsewhere a matrix is stored as float16 and cast up, the rest kept."""
        tensor = self._weights[name]
        if narrow:
            return self._stored(tensor, self._code)
        if sum(side > 1 for side in tensor.dims) < 2 or not _fits_float16(tensor):
            return name
        return self._cast(self._stored(tensor, _FLOAT16), f"{name}.float32", _FLOAT)

    def _stored(self, tensor: TensorProto, code: int) -> str:
        from onnx import helper, numpy_helper

        short = f"{tensor.name}.{'float16' if code == _FLOAT16 else 'bfloat16'}"
        if short not in self._weights:
            if code == _FLOAT16 and not _fits_float16(tensor):
                raise UnsuitableGraph(f"{tensor.name} has values that float16 cannot hold; use bfloat16")
            values = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(code))
            self._weights[short] = numpy_helper.from_array(values, short)
        return short

    def _cast(self, name: str, to: str, code: int) -> str:
        if to not in self._casts:
            self._casts.add(to)
            self._nodes.append(cast_node(name, to, code))
        return to

    def _restore_outputs(self) -> None:
        """An output of the graph that came out in 16 bits keeps its name and is cast."""
        for name in [output.name for output in self._graph.output if output.name in self._short]:
            inner = f"{name}.{self._precision}"
            for node in self._nodes:
                for names in (node.input, node.output):
                    for place, old in enumerate(names):
                        if old == name:
                            names[place] = inner
            self._nodes.append(cast_node(inner, name, _FLOAT))


def cast_node(name: str, to: str, code: int) -> NodeProto:
    from onnx import helper

    node: NodeProto = helper.make_node("Cast", [name], [to], name=f"{to}.cast", to=code)
    return node


def _fits_float16(tensor: TensorProto) -> bool:
    from onnx import numpy_helper

    return bool(np.abs(numpy_helper.to_array(tensor)).max(initial=0) <= np.finfo(np.float16).max)


def _set_integer(node: NodeProto, name: str, value: int) -> None:
    from onnx import helper

    _replace(node.attribute, [*(a for a in node.attribute if a.name != name), helper.make_attribute(name, value)])


def _replace(field: Any, items: Iterable[Any]) -> None:
    items = list(items)
    del field[:]
    field.extend(items)
