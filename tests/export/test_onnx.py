from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from lmaps.export import onnx as export
from lmaps.export.check import ExportError, check_export
from lmaps.export.onnxruntime import OnnxRuntimeGraph

from ..tiny import random_denoiser


class NormsAndAttention(nn.Module):
    """What other priors are made of: group norm, softmax over all pixels, a noise embedding, two levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1, stride=2)
        self.norm = nn.GroupNorm(4, 8)
        self.noise = nn.Linear(1, 8)
        self.qkv = nn.Conv2d(8, 24, 1)
        self.head = nn.ConvTranspose2d(8, 2, 2, stride=2)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        h = nn.functional.silu(self.norm(self.stem(x)) + self.noise(sigma.log()[:, None])[:, :, None, None])
        q, k, v = self.qkv(h).flatten(2).chunk(3, dim=1)
        weights = (q.transpose(1, 2) @ k).softmax(dim=-1)
        h = h + (v @ weights.transpose(1, 2)).reshape(h.shape)
        return x / (1 + sigma[:, None, None, None] ** 2) + self.head(h)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[NormsAndAttention, Path, Path]:
    torch.manual_seed(1)
    module = NormsAndAttention().eval()
    folder = tmp_path_factory.mktemp("graphs")
    export.export_onnx(module, folder / "full.onnx", channels=2, multiple=2)
    export.export_onnx(module, folder / "half.onnx", channels=2, multiple=2, half=True)
    return module, folder / "full.onnx", folder / "half.onnx"


def run(path: Path, x: Tensor, sigma: Tensor) -> Tensor:
    out = torch.full_like(x, float("nan"))
    OnnxRuntimeGraph(path, threads=2).run({"x": x.numpy(), "sigma": sigma.numpy()}, out.numpy())
    return out


def relative(got: Tensor, want: Tensor) -> float:
    return float((got.double() - want.double()).norm() / want.double().norm())


@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (1, 2, 6, 34), (5, 2, 18, 10)])
def test_graph_equals_float64_module_at_sizes_it_was_not_traced_at(
    graphs: tuple[NormsAndAttention, Path, Path], shape: tuple[int, ...]
) -> None:
    module, full, _ = graphs
    x, sigma = torch.randn(shape), torch.rand(shape[0]) * 3 + 0.01
    with torch.no_grad():
        want = module.double()(x.double(), sigma.double())
        module.float()
    assert relative(run(full, x, sigma), want) < 1e-5


def test_half_stores_float16_and_computes_in_float32(graphs: tuple[NormsAndAttention, Path, Path]) -> None:
    module, _, half = graphs
    rounded = NormsAndAttention().eval()
    rounded.load_state_dict({key: value.half().float() for key, value in module.state_dict().items()})
    x, sigma = torch.randn(2, 2, 8, 12), torch.tensor([0.1, 4.0])
    with torch.no_grad():
        want, unrounded = rounded(x, sigma), module(x, sigma)
    got = run(half, x, sigma)
    assert relative(got, want) < 1e-5  # float16 arithmetic would be off by 1e-3
    assert 1e-5 < relative(got, unrounded) < 1e-2
    stored = [t for t in onnx.load(half).graph.initializer if t.data_type == TensorProto.FLOAT16]
    layers = {name for name, _ in module.named_parameters() if not name.startswith("norm")}
    assert {t.name.removesuffix(".stored") for t in stored} == layers  # the norm's own weights stay float32


def test_graph_says_nothing_about_the_machine_that_made_it(graphs: tuple[NormsAndAttention, Path, Path]) -> None:
    for path in graphs[1:]:
        data = path.read_bytes()
        for word in (b".py", str(Path(__file__).parents[2]).encode(), b"stack_trace"):
            assert word not in data


def test_inputs_and_output_have_free_batch_and_size(graphs: tuple[NormsAndAttention, Path, Path]) -> None:
    graph = onnx.load(graphs[1]).graph
    names = [v.name for v in (*graph.input, *graph.output)]
    assert names == ["x", "sigma", "denoised"]
    dims = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert dims[1] == 2
    assert all(isinstance(dims[i], str) for i in (0, 2, 3))


def test_check_export_catches_another_network(tiny_prior_folder: Path) -> None:
    check_export(_rounded(0), tiny_prior_folder / "model.onnx", channels=3, multiple=8)
    with pytest.raises(ExportError, match="differs from the module"):
        check_export(_rounded(1), tiny_prior_folder / "model.onnx", channels=3, multiple=8)


def _rounded(seed: int) -> nn.Module:
    denoiser = random_denoiser(seed)
    denoiser.load_state_dict({key: value.half().float() for key, value in denoiser.state_dict().items()})
    return denoiser


def test_a_graph_that_fails_its_check_leaves_no_file(
    graphs: tuple[NormsAndAttention, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(graphs[1])
    weight = next(t for t in model.graph.initializer if t.name == "head.weight")
    weight.CopyFrom(numpy_helper.from_array(1.01 * numpy_helper.to_array(weight), weight.name))
    monkeypatch.setattr(export, "_trace", lambda *_: model)
    with pytest.raises(ExportError, match="differs from the module"):
        export.export_onnx(graphs[0], tmp_path / "bad.onnx", channels=2, multiple=2)
    assert list(tmp_path.iterdir()) == []


def test_weights_too_large_for_float16_are_refused(
    graphs: tuple[NormsAndAttention, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(graphs[1])
    weight = next(t for t in model.graph.initializer if t.name == "head.bias")
    weight.CopyFrom(numpy_helper.from_array(np.array([7e4, 0], np.float32), weight.name))
    monkeypatch.setattr(export, "_trace", lambda *_: model)
    with pytest.raises(ExportError, match=r"head\.bias.*float16 cannot hold.*70000"):
        export.export_onnx(graphs[0], tmp_path / "bad.onnx", channels=2, multiple=2, half=True)


def test_external_weights_that_the_module_does_not_have_are_refused(tmp_path: Path) -> None:
    place = {"no.such.weight": export.Slice("w.bin", 0, 4, TensorProto.FLOAT)}
    with pytest.raises(ValueError, match=r"no\.such\.weight"):
        export.export_onnx(NormsAndAttention(), tmp_path / "bad.onnx", channels=2, multiple=2, external=place)


def test_external_weights_that_hold_other_values_are_noticed(
    graphs: tuple[NormsAndAttention, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, module = onnx.load(graphs[1]), graphs[0]
    monkeypatch.setattr(export, "_trace", lambda *_: model)
    weight = module.head.weight.detach().numpy()
    (tmp_path / "w.bin").write_bytes(weight[::-1].tobytes())
    place = {"head.weight": export.Slice("w.bin", 0, weight.nbytes, TensorProto.FLOAT)}
    with pytest.raises(ExportError, match="differs from the module"):
        export.export_onnx(module, tmp_path / "bad.onnx", channels=2, multiple=2, external=place)


@pytest.mark.parametrize(("channels", "multiple"), [(0, 8), (3, 0)])
def test_nonsense_arguments(channels: int, multiple: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        export.export_onnx(nn.Identity(), tmp_path / "x.onnx", channels=channels, multiple=multiple)


def test_weights_beyond_what_one_file_holds_are_refused_in_words(
    graphs: tuple[NormsAndAttention, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_LARGEST", 1000)
    with pytest.raises(ExportError, match=r"the weights take .* GiB, and one ONNX file holds 2: use float16"):
        export.contain_graph(graphs[1], tmp_path / "large.onnx")
    assert list(tmp_path.iterdir()) == []
