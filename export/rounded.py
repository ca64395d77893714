"""A 16-bit graph made to run anywhere: every node in float32, its result rounded as the 16-bit node would round it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .half import cast_node, element_types

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_FLOAT, _SHORT = 1, (10, 16)


def rounded_in_float32(model: ModelProto) -> ModelProto:
    """A graph that computes each 16-bit node in float32 and rounds its result: what any CPU run time can run.

    For checking a 16-bit graph where no kernels for its types exist. The stored types are those of `model`.
    """
    import onnx

    kinds = element_types(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = [new for node in copy.graph.node for new in _with_casts(node, kinds)]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _with_casts(node: NodeProto, kinds: Mapping[str, int]) -> Iterator[NodeProto]:
    if node.op_type == "Cast" or not any(kinds.get(name) in _SHORT for name in (*node.input, *node.output)):
        yield node
        return
    prefix = node.output[0]
    for place, name in enumerate(node.input):
        if kinds.get(name) in _SHORT:
            node.input[place] = f"{prefix}.in{place}"
            yield cast_node(name, node.input[place], _FLOAT)
    after = []
    for place, name in enumerate(node.output):
        if kinds.get(name) in _SHORT:
            node.output[place] = f"{prefix}.out{place}"
            after.append(cast_node(node.output[place], name, kinds[name]))
    yield node
    yield from after
