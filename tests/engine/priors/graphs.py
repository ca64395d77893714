"""A small network as an ONNX graph, in the variations people export, and the same network in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

FLOAT, HALF, INT = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64


class Network(nn.Module):
    """F(u, t) = conv(u) + cos(t / 100): three channels in, `out` channels back. H and W must be even."""

    def __init__(self, out: int = 3, seed: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, out, 3, padding=1)
        self.fold = nn.PixelUnshuffle(2)
        self.unfold = nn.PixelShuffle(2)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2

    def forward(self, u: Tensor, t: Tensor) -> Tensor:
        y: Tensor = self.conv(self.unfold(self.fold(u))) + (t.float() / 100).cos().reshape(-1, 1, 1, 1)
        return y


def write_graph(
    path: Path,
    network: Network,
    *,
    x_type: int = FLOAT,
    t_type: int = FLOAT,
    t_shape: list[Any] | None = None,
    shape: list[Any] | None = None,
    names: tuple[str, str, str] = ("sample", "timestep", "out_sample"),
    external: str | None = None,
    extra_input: bool = False,
    opset: int = 17,
) -> Path:
    """`network` at `path`. shape, t_shape: of the inputs, names for free sides.  external: file of the weights."""
    x, t, y = names
    shape = ["batch", 3, "height", "width"] if shape is None else shape
    t_shape = ["batch"] if t_shape is None else t_shape
    out = network.conv.out_channels
    nodes = [
        helper.make_node("Cast", [x], ["x32"], to=FLOAT),
        helper.make_node("SpaceToDepth", ["x32"], ["folded"], blocksize=2),
        helper.make_node("DepthToSpace", ["folded"], ["whole"], blocksize=2, mode="DCR"),
        helper.make_node("Conv", ["whole", "weight", "bias"], ["conv"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", [t], ["t32"], to=FLOAT),
        helper.make_node("Div", ["t32", "hundred"], ["phase"]),
        helper.make_node("Cos", ["phase"], ["wave"]),
        helper.make_node("Reshape", ["wave", "column"], ["wave4"]),
        helper.make_node("Add", ["conv", "wave4"], ["y32"]),
        helper.make_node("Cast", ["y32"], [y], to=x_type),
    ]
    weights = {
        "weight": network.conv.weight.detach().numpy(),
        "bias": network.conv.bias.detach().numpy() if network.conv.bias is not None else np.zeros(out, np.float32),
        "hundred": np.float32(100),
        "column": np.asarray([-1, 1, 1, 1], np.int64),
    }
    inputs = [helper.make_tensor_value_info(x, x_type, shape), helper.make_tensor_value_info(t, t_type, t_shape)]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("class_labels", INT, ["batch"]))
    graph = helper.make_graph(
        nodes,
        "network",
        inputs,
        [helper.make_tensor_value_info(y, x_type, [shape[0], out, *shape[2:]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    if external is None:
        onnx.save(model, str(path))
    else:
        onnx.save(model, str(path), save_as_external_data=True, location=external, size_threshold=200)
    return path
