from __future__ import annotations

import random
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from lmaps.export.external_data import GraphError, check_external_data, external_files


def outside(location: str, name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def save(path: Path, nodes: list[onnx.NodeProto], tensors: list[TensorProto]) -> Path:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph(nodes, "g", [], [out], tensors))
    path.write_bytes(model.SerializeToString())
    return path


def in_initializer(path: Path, location: str) -> Path:
    return save(path, [helper.make_node("Identity", ["w"], ["y"])], [outside(location)])


def in_constant(path: Path, location: str) -> Path:
    return save(path, [helper.make_node("Constant", [], ["y"], value=outside(location))], [])


def in_subgraph(path: Path, location: str) -> Path:
    out = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "i", [], [out], [outside(location)])
    return save(path, [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], [])


def in_sparse(path: Path, location: str) -> Path:
    model = onnx.load(in_initializer(path, "inside.bin"), load_external_data=False)
    del model.graph.initializer[:]
    model.graph.sparse_initializer.add(values=outside(location), dims=[1])
    path.write_bytes(model.SerializeToString())
    return path


def in_function(path: Path, location: str) -> Path:
    model = onnx.load(in_initializer(path, "inside.bin"), load_external_data=False)
    del model.graph.initializer[:]
    node = helper.make_node("Constant", [], ["o"], value=outside(location))
    model.functions.append(helper.make_function("d", "f", [], ["o"], [node], [helper.make_opsetid("", 20)]))
    path.write_bytes(model.SerializeToString())
    return path


PLACES = [in_initializer, in_constant, in_subgraph, in_sparse, in_function]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["../secret.bin", "sub/../../secret.bin", "{absolute}"])
def test_paths_out_of_the_folder_are_refused_wherever_they_hide(place, location: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    location = location.format(absolute=tmp_path / "secret.bin")
    path = place(folder / "m.onnx", location)
    assert external_files(path) == {location}
    with pytest.raises(GraphError, match="outside its folder"):
        check_external_data(path)


def test_a_link_that_leads_out_is_refused_and_a_plain_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    path = in_initializer(folder / "m.onnx", "w.bin")
    with pytest.raises(GraphError, match="no such file"):
        check_external_data(path)
    (folder / "w.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(GraphError, match="outside its folder"):
        check_external_data(path)
    (folder / "w.bin").unlink()
    (folder / "w.bin").write_bytes(bytes(4))
    check_external_data(path)
    with pytest.raises(GraphError, match=r"only weights\.safetensors may be read"):
        check_external_data(path, allowed={"weights.safetensors"})


def test_agrees_with_onnx_on_a_real_graph(tiny_prior_folder: Path) -> None:
    graph = onnx.load(tiny_prior_folder / "model.onnx", load_external_data=False).graph
    want = {e.value for t in graph.initializer for e in t.external_data if e.key == "location"}
    assert external_files(tiny_prior_folder / "model.onnx") == want == {"weights.safetensors"}


def test_damaged_graphs_give_one_kind_of_error_and_never_hang(tiny_prior_folder: Path, tmp_path: Path) -> None:
    data = (tiny_prior_folder / "model.onnx").read_bytes()
    path, draw = tmp_path / "m.onnx", random.Random(0)
    refused, start = 0, time.monotonic()
    for trial in range(600):
        bad = bytearray(data)
        if trial % 3 == 0:
            bad = bad[: draw.randrange(len(bad))]
        elif trial % 3 == 1:
            for _ in range(8):
                bad[draw.randrange(len(bad))] = draw.randrange(256)
        else:
            at = draw.randrange(len(bad))
            bad[at : at + 9] = b"\xff" * 9
        path.write_bytes(bad)
        try:
            external_files(path)
        except GraphError:
            refused += 1
    assert refused > 200
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("content", [b"", b"\x3a\xff\xff\xff\xff\x0f", b"\x0b\x0c", b"\xff" * 32, b"hello world"])
def test_what_is_no_graph(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=r"m\.onnx"):
        external_files(path)


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    message = b"\x0a\x08location"  # nodes in which that word does not occur are not looked into
    for _ in range(200):  # a graph in an attribute (6) of a node (5) of a graph (1), over and over
        for tag in (0x32, 0x2A, 0x0A):
            message = bytes([tag]) + _length(len(message)) + message
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x3a" + _length(len(message)) + message)
    with pytest.raises(GraphError, match="nested deeper"):
        external_files(path)


def _length(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])
