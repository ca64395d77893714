"""16-bit graphs, by what is written in them and by what they compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from lmaps.export.check import ExportError, check_export
from lmaps.export.half import MATRIX, UnsuitableGraph, narrow
from lmaps.export.onnx import export_onnx, narrow_graph
from lmaps.export.onnxruntime import OnnxRuntimeGraph
from lmaps.export.rounded import rounded_in_float32

SHORT = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
DELICATE = (
    {"Softmax", "LogSoftmax", "Exp", "Log", "Sqrt", "Reciprocal", "Pow", "Div", "Erf", "Sin", "Cos"}
    | {"ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2"}
    | {"InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization", "BatchNormalization"}
)


class Network(nn.Module):
    """Input and output scaling, an embedding, group norm with scale and shift, attention, two levels, a resize."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.norm = nn.GroupNorm(4, 8)
        self.embedding = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 16))
        self.block = nn.Conv2d(8, 8, 3, padding=1)
        self.last_norm = nn.GroupNorm(2, 8)
        self.qkv = nn.Conv1d(8, 24, 1)
        self.head = nn.Conv2d(8, 6, 3, padding=1)
        for norm in (self.norm, self.last_norm):
            nn.init.normal_(norm.weight, 1.0, 0.2)
            nn.init.normal_(norm.bias, 0.0, 0.2)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s = sigma.reshape(-1, 1, 1, 1)
        total = s.square() + 0.25
        phase = sigma.log()[:, None] * torch.tensor([0.5, 1.0])
        scale, shift = self.embedding(torch.cat([phase.sin(), phase.cos()], 1))[:, :, None, None].chunk(2, dim=1)
        h = self.stem(x * total.rsqrt())
        h = h + self.block(nn.functional.silu(self.norm(h) * (1 + scale) + shift))
        q, k, v = self.qkv(h.flatten(2)).chunk(3, dim=1)
        weights = (q.transpose(1, 2) @ k * 8**-0.5).softmax(dim=-1)
        h = h + (v @ weights.transpose(1, 2)).reshape(h.shape)
        h = nn.functional.interpolate(nn.functional.silu(self.last_norm(h)), scale_factor=2.0, mode="nearest")
        answer, _ = self.head(h).chunk(2, dim=1)
        return 0.25 / total * x + s * 0.5 * total.rsqrt() * answer


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network().eval()


@pytest.fixture(scope="module")
def graphs(network: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("half")
    export_onnx(network, folder / "float32.onnx", channels=3, multiple=2)
    narrow_graph(folder / "float32.onnx", folder / "float16.onnx", "float16", channels=3, multiple=2)
    export_onnx(network, folder / "bfloat16.onnx", channels=3, multiple=2, precision="bfloat16")
    return {path.stem: path for path in folder.iterdir()}


halves = pytest.mark.parametrize("precision", ["float16", "bfloat16"])


def types(model: onnx.ModelProto) -> dict[str, int]:
    for node in model.graph.node:  # ONNX does not infer what a GroupNormalization gives
        if node.op_type == "GroupNormalization":
            model.graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    return known | {tensor.name: tensor.data_type for tensor in graph.initializer}


def reached(model: onnx.ModelProto, start: str) -> Iterator[NodeProto]:
    """Nodes whose result follows from the tensor `start`."""
    after = {start}
    for node in model.graph.node:
        if after.intersection(node.input):
            after.update(node.output)
            yield node


@halves
def test_which_nodes_run_in_16_bits_and_which_must_not(graphs: dict[str, Path], precision: str) -> None:
    model = onnx.load(graphs[precision])
    onnx.checker.check_model(model, full_check=True)
    kinds = types(model)
    short = {code for code, name in SHORT.items() if name == precision}
    other = SHORT.keys() - short
    from_x = {node.name for node in reached(model, "x")}
    seen = set()
    for node in model.graph.node:
        read = {kinds[name] for name in node.input if name}
        if node.op_type in DELICATE:
            assert not read & SHORT.keys(), f"{node.op_type} reads 16 bits"
            seen.add(node.op_type)
        if node.op_type in MATRIX:
            assert bool(read & short) == (node.name in from_x), f"{node.op_type} {node.name}"
            seen.add(node.op_type)
        if node.op_type != "Cast":
            assert not read & other
    assert {"Conv", "MatMul", "Gemm", "Softmax", "InstanceNormalization", "Log", "Sin"} - seen <= {
        "InstanceNormalization"
    }
    assert seen & {"InstanceNormalization", "GroupNormalization"}


@halves
def test_nothing_is_16_bit_before_the_first_or_after_the_last_matrix_product(
    graphs: dict[str, Path], precision: str
) -> None:
    model = onnx.load(graphs[precision])
    kinds, convolutions = types(model), [n for n in model.graph.node if n.op_type == "Conv"]
    stem, head = convolutions[0], convolutions[-1]
    assert all(v.type.tensor_type.elem_type == TensorProto.FLOAT for v in (*model.graph.input, *model.graph.output))
    after_head = [node for node in reached(model, head.output[0]) if node.op_type != "Cast"]
    assert {node.op_type for node in after_head} >= {"Mul", "Add"}
    assert not {kinds[name] for node in after_head for name in node.input} & SHORT.keys()
    cast = next(node for node in model.graph.node if stem.input[0] in node.output)
    assert cast.op_type == "Cast"
    assert kinds[cast.input[0]] == TensorProto.FLOAT


@halves
def test_the_norms_own_scale_and_shift_are_float32(network: Network, graphs: dict[str, Path], precision: str) -> None:
    model = onnx.load(graphs[precision])
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    for norm in (network.norm, network.last_norm):
        for want in (norm.weight, norm.bias):
            values = want.detach().numpy()
            assert any(a.size == values.size and np.array_equal(a.ravel(), values) for a in stored.values())


@halves
def test_weights_are_stored_in_16_bits(graphs: dict[str, Path], precision: str) -> None:
    large = [t for t in onnx.load(graphs[precision]).graph.initializer if int(np.prod(t.dims)) >= 32]
    assert large
    assert all(t.data_type in SHORT for t in large)
    # Those used in 16 bits as such; the embedding's, which is computed in float32, as float16, the more exact of the two.
    named = {t.name: t.data_type for t in large}
    code = {name: code for code, name in SHORT.items()}[precision]
    assert named[f"head.weight.{precision}"] == code
    assert named["embedding.0.weight.float16"] == TensorProto.FLOAT16


def run(model: onnx.ModelProto, x: np.ndarray, sigma: np.ndarray, folder: Path) -> np.ndarray:
    onnx.save(model, folder / "run.onnx")
    out = np.full_like(x, np.nan)
    OnnxRuntimeGraph(folder / "run.onnx", threads=1).run({"x": x, "sigma": sigma}, out)
    return out


@pytest.mark.parametrize(("precision", "least", "most"), [("float16", 5e-5, 3e-3), ("bfloat16", 4e-4, 2.5e-2)])
@pytest.mark.parametrize("sigma", [0.005, 0.07, 1.0, 9.0, 100.0])
def test_result_against_the_float64_module(
    network: Network, graphs: dict[str, Path], precision: str, least: float, most: float, sigma: float, tmp_path: Path
) -> None:
    """Relative to what the network adds to c_skip x. Too small an error would mean that nothing was rounded."""
    x = torch.rand(2, 3, 10, 14) * 2 - 1 + sigma * torch.randn(2, 3, 10, 14)
    level = torch.full((2,), sigma)
    with torch.no_grad():
        want = network.double()(x.double(), level.double()).numpy()
        network.float()
    got = run(rounded_in_float32(onnx.load(graphs[precision])), x.numpy(), level.numpy(), tmp_path)
    added = want - 0.25 / (sigma**2 + 0.25) * x.double().numpy()
    error = np.linalg.norm(got - want) / np.linalg.norm(added)
    assert least < error < most


def test_float16_runs_as_it_is_in_onnx_runtime(network: Network, graphs: dict[str, Path], tmp_path: Path) -> None:
    x, sigma = torch.randn(1, 3, 6, 8), torch.tensor([0.4])
    with torch.no_grad():
        want = network(x, sigma).numpy()
    got = run(onnx.load(graphs["float16"]), x.numpy(), sigma.numpy(), tmp_path)
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 3e-3


@halves
def test_a_stored_graph_narrows_without_the_module(tiny_prior_folder: Path, precision: str, tmp_path: Path) -> None:
    target = tmp_path / "sub" / "half.onnx"
    narrow_graph(tiny_prior_folder / "model.onnx", target, precision, channels=3, multiple=8)  # type: ignore[arg-type]
    model = onnx.load(target, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    weights = (tiny_prior_folder / "weights.safetensors").stat().st_size
    assert target.stat().st_size < 1.2 * weights + 60_000  # 16-bit weights once, and the graph
    kinds = types(model)
    assert {kinds[n.input[0]] in SHORT for n in model.graph.node if n.op_type == "Conv"} == {True}
    assert {kinds[n.input[0]] in SHORT for n in model.graph.node if n.op_type == "Gemm"} == {False}  # the embedding's
    check_export(tiny_prior_folder / "model.onnx", target, channels=3, multiple=8, precision=precision)


def test_a_16_bit_graph_that_is_wrong_is_noticed(graphs: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(graphs["bfloat16"])
    weight = next(t for t in model.graph.initializer if t.name == "head.weight.bfloat16")
    weight.CopyFrom(numpy_helper.from_array(1.2 * numpy_helper.to_array(weight), weight.name))
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(ExportError, match="differs from the graph"):
        check_export(graphs["float32"], tmp_path / "bad.onnx", channels=3, multiple=2, precision="bfloat16")


def test_an_output_that_is_a_matrix_product_is_cast_back() -> None:
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["denoised"], name="conv")
    shape = ["B", 3, "h", "w_"]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in ("x", "denoised")]
    model = helper.make_model(
        helper.make_graph([node], "g", *ends, [weight]), opset_imports=[helper.make_opsetid("", 20)]
    )
    narrow(model, "float16")
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node] == ["Cast", "Conv", "Cast"]
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize(("group", "narrowed"), [(1, True), (4, False)])
def test_upsampling_filters_stay_float32(group: int, narrowed: bool) -> None:
    """A filter on each channel by itself: TensorRT cannot build it in bfloat16 (seen with TensorRT-RTX 1.7.1)."""
    first = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    second = numpy_helper.from_array(np.ones((4, 4 // group, 2, 2), np.float32), "f")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("ConvTranspose", ["a", "f"], ["b"], name="up", strides=[2, 2], group=group),
        helper.make_node("Conv", ["b", "w"], ["denoised"], name="last"),
    ]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, s, s])] for n, s in (("x", 4), ("denoised", 8))]
    graph = helper.make_graph(nodes, "g", *ends, [first, second])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    narrow(model, "bfloat16")
    onnx.checker.check_model(model, full_check=True)
    up = next(node for node in model.graph.node if node.op_type == "ConvTranspose")
    expected = TensorProto.BFLOAT16 if narrowed else TensorProto.FLOAT
    assert {types(model)[name] for name in (*up.input, *up.output)} == {expected}
    assert all(types(model)[n.input[0]] == TensorProto.BFLOAT16 for n in model.graph.node if n.op_type == "Conv")


def test_attention_in_one_node_keeps_its_softmax_in_float32() -> None:
    """From opset 23 on. Heads are made of x by a matrix product, so the node lies between two of them."""
    eye = numpy_helper.from_array(np.eye(16, dtype=np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"], name="first"),
        helper.make_node("Attention", ["q", "q", "q"], ["a"], name="attention"),
        helper.make_node("MatMul", ["a", "w"], ["denoised"], name="last"),
    ]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 4, 9, 16])] for n in ("x", "denoised")]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends, [eye]), opset_imports=[helper.make_opsetid("", 23)])
    narrow(model, "bfloat16")
    onnx.checker.check_model(model, full_check=True)
    attention = next(node for node in model.graph.node if node.op_type == "Attention")
    assert {types(model)[name] for name in attention.input} == {TensorProto.BFLOAT16}
    assert {a.name: a.i for a in attention.attribute} == {"softmax_precision": TensorProto.FLOAT}


def test_what_cannot_be_narrowed(graphs: dict[str, Path]) -> None:
    with pytest.raises(UnsuitableGraph, match="opset 22, the graph has 20"):
        narrow(onnx.load(graphs["float32"]), "bfloat16")
    with pytest.raises(ValueError, match="'float16' or 'bfloat16', got 'int8'"):
        narrow(onnx.load(graphs["float32"]), "int8")  # type: ignore[arg-type]
    model = onnx.load(graphs["float32"])
    weight = next(t for t in model.graph.initializer if t.name == "head.weight")
    weight.CopyFrom(numpy_helper.from_array(1e5 * np.sign(numpy_helper.to_array(weight)), weight.name))
    with pytest.raises(UnsuitableGraph, match=r"head\.weight has values that float16 cannot hold; use bfloat16"):
        narrow(model, "float16")
    branch = helper.make_graph([], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], [], then_branch=branch, else_branch=branch))
    with pytest.raises(UnsuitableGraph, match="a graph with If cannot be rewritten"):
        narrow(model, "float16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"precision": "float16", "half": True}, "half is for graphs that compute in float32"),
        ({"precision": "float16", "external": {"stem.weight": ("w", 0, 4, 1)}}, "cannot be combined with external"),
    ],
)
def test_options_that_contradict_each_other(
    network: Network, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_onnx(network, tmp_path / "x.onnx", channels=3, multiple=2, **options)  # type: ignore[arg-type]
