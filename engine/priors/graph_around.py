"""The arithmetic of `prediction.py`, written around an ONNX graph, so that a denoiser stays ONE graph (x, sigma) -> clean.

The lines are ONNX's own text syntax. Names made here begin with "lmaps_", those of the graph inside with "network_".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...export.onnx import INPUTS, OUTPUT
from .graph_signature import FLOAT, Signature
from .noise_schedule import NoiseSchedule
from .prediction import check_range

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_PREFIX = "network_"


def around(
    model: ModelProto,
    signature: Signature,
    *,
    prediction: str,
    schedule: NoiseSchedule | None,
    timestep: str,
    value_range: tuple[float, float],
    channels: int,
) -> ModelProto:
    """A model with inputs x and sigma and the output denoised around `model`, whose external data stays where it is."""
    from onnx import compose, helper

    inside = compose.add_prefix(model, _PREFIX)
    shifted = check_range(value_range) != (-1, 1)
    batch = signature.batch or "B"
    shape = [batch, channels, *(signature.size or ("H", "W"))]
    x, t, out = (_PREFIX + name for name in (signature.x, signature.t, signature.out))
    graph = helper.make_graph(
        [
            *_nodes(_before(prediction, timestep, shifted)),
            helper.make_node("Cast", ["lmaps_given"], [x], "lmaps_x", to=signature.x_type),
            helper.make_node("Cast", ["lmaps_told"], [t], "lmaps_t", to=signature.t_type),
            *inside.graph.node,
            helper.make_node("Cast", [out], ["lmaps_answer"], "lmaps_y", to=FLOAT),
            *_nodes(_after(prediction, shifted)),
        ],
        "denoiser",
        [
            helper.make_tensor_value_info(INPUTS[0], FLOAT, shape),
            helper.make_tensor_value_info(INPUTS[1], FLOAT, [batch]),
        ],
        [helper.make_tensor_value_info(OUTPUT, FLOAT, shape)],
        initializer=[*inside.graph.initializer, *_numbers(signature, schedule, value_range, channels)],
        sparse_initializer=inside.graph.sparse_initializer,
    )
    whole = helper.make_model(graph, opset_imports=inside.opset_import, functions=inside.functions)
    whole.ir_version = inside.ir_version
    return whole


def _nodes(lines: list[str]) -> list[NodeProto]:
    from onnx import parser

    return list(parser.parse_graph("part () => () {" + "\n".join(lines) + "}").node)


def _before(prediction: str, timestep: str, shifted: bool) -> list[str]:
    """x and sigma of this engine -> the network's two inputs, lmaps_given and lmaps_told."""
    lines = ["lmaps_own = Identity(x)", "lmaps_flat = Identity(sigma)"]
    if shifted:
        lines = [
            "lmaps_shifted = Add(x, lmaps_one)",
            "lmaps_scaled = Mul(lmaps_shifted, lmaps_gain)",
            "lmaps_own = Add(lmaps_scaled, lmaps_low)",
            "lmaps_flat = Mul(sigma, lmaps_gain)",
        ]
    given, told = "lmaps_own", "lmaps_flat"
    if prediction != "denoised":
        given, told = "lmaps_input", "lmaps_step"
        lines += [
            "lmaps_noise = Reshape(lmaps_flat, lmaps_column)",
            "lmaps_square = Mul(lmaps_noise, lmaps_noise)",
            "lmaps_total = Add(lmaps_square, lmaps_one)",
            "lmaps_root = Sqrt(lmaps_total)",
            "lmaps_input = Div(lmaps_own, lmaps_root)",
            "lmaps_log = Log(lmaps_flat)",
            "lmaps_level = Reshape(lmaps_log, lmaps_rows)",
            "lmaps_above = Sub(lmaps_level, lmaps_table)",
            "lmaps_fraction = Mul(lmaps_above, lmaps_slopes)",
            "lmaps_passed = Clip(lmaps_fraction, lmaps_zero, lmaps_one)",
            "lmaps_step = ReduceSum <keepdims = 0> (lmaps_passed, lmaps_axis)",
        ]
        if timestep == "nearest":
            told = "lmaps_whole"
            lines.append("lmaps_whole = Round(lmaps_step)")
    return [*lines, f"lmaps_given = Identity({given})", f"lmaps_told = Reshape({told}, lmaps_shape)"]


def _after(prediction: str, shifted: bool) -> list[str]:
    """The network's answer, lmaps_answer -> the clean picture in [-1, 1]."""
    lines = ["lmaps_out = Slice(lmaps_answer, lmaps_from, lmaps_to, lmaps_axis)"]
    clean = "lmaps_out"
    if prediction in ("epsilon", "v"):
        clean = "lmaps_clean"
        lines.append("lmaps_times = Mul(lmaps_noise, lmaps_out)")
    if prediction == "epsilon":
        lines.append("lmaps_clean = Sub(lmaps_own, lmaps_times)")
    elif prediction == "v":
        lines += ["lmaps_less = Sub(lmaps_input, lmaps_times)", "lmaps_clean = Div(lmaps_less, lmaps_root)"]
    if not shifted:
        return [*lines, f"{OUTPUT} = Identity({clean})"]
    return [
        *lines,
        f"lmaps_lifted = Sub({clean}, lmaps_low)",
        "lmaps_wide = Div(lmaps_lifted, lmaps_gain)",
        f"{OUTPUT} = Sub(lmaps_wide, lmaps_one)",
    ]


def _numbers(
    s: Signature, schedule: NoiseSchedule | None, value_range: tuple[float, float], channels: int
) -> list[TensorProto]:
    """The constants that the lines above name."""
    from onnx import numpy_helper

    low, gain = check_range(value_range)
    floats = {"one": 1, "zero": 0, "low": low, "gain": gain}
    whole = {"column": [-1, 1, 1, 1], "rows": [-1, 1], "axis": [1], "from": [0], "to": [channels]}
    numbers: dict[str, np.ndarray] = {
        **{name: np.asarray(value, np.float32) for name, value in floats.items()},
        **{name: np.asarray(value, np.int64) for name, value in whole.items()},
        "shape": np.asarray([-1, 1, 1, 1][: s.t_rank], np.int64),
    }
    if schedule is not None:
        logs = schedule.log_sigmas()
        numbers |= {"table": logs[:-1].astype(np.float32), "slopes": (1 / np.diff(logs)).astype(np.float32)}
    return [numpy_helper.from_array(value, f"lmaps_{name}") for name, value in numbers.items()]
