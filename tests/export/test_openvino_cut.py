"""What follows from the noise level alone stays in float32 when OpenVINO runs a graph in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lmaps.export.cache import ArtefactCache
from lmaps.export.openvino import OpenVINOGraph
from lmaps.export.openvino_cut import cut

SHAPE = (2, 2, 8, 12)
SIGMAS = (0.1, 1.7, 33.0, 80.0)
DRAW = np.random.default_rng(3)
CONSTANTS = {
    "rates": (10 * 10 ** -(np.arange(16)[None] / 8)).astype(np.float32),
    "mix": DRAW.standard_normal((16, 2)).astype(np.float32),
    "kernel": np.eye(2, dtype=np.float32)[:, :, None, None],
    "column": np.array([-1, 1]),
    "pixels": np.array([-1, 2, 1, 1]),
}


def answer(x: np.ndarray[Any, Any], sigma: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """x + sines of angles up to 10 sigma, mixed: all embedding."""
    waves = np.sin(sigma[:, None].astype(np.float64) * CONSTANTS["rates"]) @ CONSTANTS["mix"]
    return x + waves[:, :, None, None]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a graph, with a convolution after it."""
    steps = [
        ("Reshape", ["sigma", "column"], "s"),
        ("Mul", ["s", "rates"], "angles"),
        ("Sin", ["angles"], "waves"),
        ("MatMul", ["waves", "mix"], "mixed"),
        ("Reshape", ["mixed", "pixels"], "shift"),
        ("Add", ["x", "shift"], "sum"),
        ("Conv", ["sum", "kernel"], "denoised"),
    ]
    given = [("x", ["B", 2, "H", "W"]), ("sigma", ["B"])]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps],
        "waves",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in given],
        [helper.make_tensor_value_info("denoised", TensorProto.FLOAT, ["B", 2, "H", "W"])],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items()],
    )
    path = tmp_path_factory.mktemp("waves") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def opened(path: Path, precision: Any, cache: ArtefactCache | None = None) -> OpenVINOGraph:
    shapes = {"x": SHAPE, "sigma": SHAPE[:1]}
    return OpenVINOGraph(path, shapes, precision=precision, threads=1, cache=cache, name="waves")


def error(graph: OpenVINOGraph, sigma: float) -> float:
    x, sigmas = DRAW.standard_normal(SHAPE, np.float32), np.array([sigma, 0.9 * sigma], np.float32)
    out = np.full(SHAPE, np.nan, np.float32)
    graph.run({"x": x, "sigma": sigmas}, out)
    want = answer(x, sigmas)
    return float(np.linalg.norm(out - want) / np.linalg.norm(want))


def test_sines_of_large_angles_survive_bfloat16(path: Path, tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path)
    for outcome, graph in (
        ("off", opened(path, "bfloat16")),
        ("built", opened(path, "bfloat16", cache)),
        ("hit", opened(path, "bfloat16", cache)),
    ):
        assert graph.outcome == outcome
        # bfloat16's own rounding is 2^-9 here; where the angles are rounded too, the error is 0.1 to 1.
        assert max(error(graph, sigma) for sigma in SIGMAS) < 6e-3
    assert max(error(opened(path, "float32"), sigma) for sigma in SIGMAS) < 1e-4


def test_the_two_parts_are_the_whole(path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(path)
    model.reshape({"x": list(SHAPE), "sigma": list(SHAPE[:1])})
    first, rest = cut(model, "sigma")
    assert [port.get_any_name() for port in first.inputs] == ["sigma"]
    assert [list(port.get_shape()) for port in first.outputs] == [[2, 2, 1, 1]]
    assert {port.get_any_name() for port in rest.inputs} == {"x", "sigma", "joint.0"}
    kinds = [{node.get_type_name() for node in part.get_ordered_ops()} for part in (first, rest)]
    assert {"Sin", "MatMul"} <= kinds[0]
    assert kinds[1] == {"Parameter", "Constant", "Add", "Convolution", "Result"}


def test_a_graph_with_nothing_to_cut_stays_whole() -> None:
    openvino = pytest.importorskip("openvino")
    ops = openvino.opset13
    x, sigma = ops.parameter([1, 3], np.float32, name="x"), ops.parameter([1], np.float32, name="sigma")
    for port in (x, sigma):
        port.output(0).set_names({port.get_friendly_name()})
    # The shape of sigma is all that is used of it.
    model = openvino.Model([ops.reshape(x, ops.concat([ops.shape_of(sigma), [3]], 0), False)], [x, sigma])
    assert cut(model, "sigma") == [model]
