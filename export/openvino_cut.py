"""An OpenVINO graph cut in two: what follows from one of its inputs alone, and the rest.

A denoiser turns its noise level into sines of angles up to 1000. With "bfloat16" OpenVINO rounds everything before the
last convolution, so those angles would keep three significant digits and their sines nothing at all. Cut off, that part
runs in float32; it sees one number an image and costs next to nothing.
"""

from __future__ import annotations

from typing import Any


def cut(model: Any, name: str) -> list[Any]:
    """[first, rest], or [model] where no floating-point value follows from input `name` alone.

    first: from input `name` to the values that the rest takes.
    rest:  has these values, in the same order, as further inputs named `joint(0)`, `joint(1)`, ...
    The shapes of `model` are static. It is taken apart: do not use it afterwards.
    """
    import openvino

    parameter = model.input(name).get_node()
    alone, mixed = _followers(model, parameter)
    joints: list[Any] = []
    inputs: list[Any] = []
    for output in (output for node in alone for output in node.outputs()):
        takers = [taker for taker in output.get_target_inputs() if taker.get_node().get_friendly_name() in mixed]
        # Whole numbers describe shapes: cut there, the rest would no longer know its own.
        if takers and output.get_element_type() == openvino.Type.f32:
            given = openvino.opset13.parameter(list(output.get_shape()), openvino.Type.f32)
            given.output(0).set_names({joint(len(joints))})
            for taker in takers:
                taker.replace_source_output(given.output(0))
            joints.append(output)
            inputs.append(given)
    if not joints:
        return [model]
    rest = openvino.Model(model.get_results(), [*model.get_parameters(), *inputs], model.get_friendly_name())
    return [openvino.Model(joints, [parameter], f"{name} alone"), rest]


def joint(index: int) -> str:
    """The name of the rest's input that takes output `index` of the first part."""
    return f"joint.{index}"


def _followers(model: Any, parameter: Any) -> tuple[list[Any], set[str]]:
    """Nodes that depend on `parameter` and no other input, in order; names of those that depend on another input."""
    alone: dict[str, Any] = {}
    mixed: set[str] = set()
    for node in model.get_ordered_ops():
        key, kind = node.get_friendly_name(), node.get_type_name()
        sources = {value.get_source_output().get_node().get_friendly_name() for value in node.inputs()}
        if (kind == "Parameter" and key != parameter.get_friendly_name()) or sources & mixed:
            mixed.add(key)
        elif key == parameter.get_friendly_name() or sources & alone.keys():
            alone[key] = node
    return [node for node in alone.values() if node.get_type_name() not in ("Parameter", "Result")], mixed
