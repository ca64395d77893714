"""The same module in torch, ONNX Runtime, OpenVINO and torch.compile."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmaps.export.onnx import export_onnx
from lmaps.export.onnxruntime import OnnxRuntimeGraph
from lmaps.export.openvino import OpenVINOGraph

from .random_networks import ADM, DDPMPP, DHARIWAL, NCSNPP, denoiser

# A level more than one and both kinds of attention order would only repeat what is here; exporting takes seconds.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], int | None]] = {
    "adm": ("adm", ADM | {"num_classes": 5}, {"kind": "vp"}, 2),
    "adm, convolutions, cosine": (
        "adm",
        ADM | {"resblock_updown": False, "use_scale_shift_norm": False, "use_new_attention_order": True},
        {"kind": "ddpm", "betas": {"kind": "cosine", "steps": 1000}},
        None,
    ),
    "dhariwal": ("dhariwal", DHARIWAL, {"kind": "edm"}, None),
    "iddpm": ("dhariwal", DHARIWAL | {"out_channels": 4}, {"kind": "iddpm"}, None),
    "ddpm++": ("song", DDPMPP, {"kind": "vp"}, None),
    "ncsn++": ("song", NCSNPP | {"label_dim": 3}, {"kind": "ve"}, 1),
}
SIGMAS = (0.02, 0.3, 4.0, 90.0)


def exported(case: str, folder: Path) -> tuple[nn.Module, Path]:
    architecture, network, preconditioning, label = CASES[case]
    module = denoiser(architecture, network, preconditioning, label).requires_grad_(False)
    export_onnx(module, folder / "model.onnx", channels=module.channels, multiple=module.multiple)
    return module, folder / "model.onnx"


def worst(run: Any, module: nn.Module) -> float:
    """The largest error over noise levels, relative to what the network adds to x: an output near x hides nothing."""
    errors = []
    for i, sigma in enumerate(SIGMAS):
        sigmas = torch.tensor([sigma, 0.8 * sigma])
        generator = torch.Generator().manual_seed(i)
        x = torch.randn(2, module.channels, 3 * module.multiple, 5 * module.multiple, generator=generator)
        x = x * (1 + sigma)
        want = module(x, sigmas)
        errors.append(float((run(x, sigmas) - want).norm() / (want - x).norm()))
    return max(errors)


def openvino(path: Path, module: nn.Module, precision: Literal["float32", "bfloat16"]) -> Any:
    shape = (2, module.channels, 3 * module.multiple, 5 * module.multiple)
    return runner(OpenVINOGraph(path, {"x": shape, "sigma": (2,)}, precision=precision, threads=1))


def runner(graph: Any) -> Any:
    def run(x: Tensor, sigma: Tensor) -> Tensor:
        out = np.full(x.shape, np.nan, np.float32)
        graph.run({"x": x.numpy(), "sigma": sigma.numpy()}, out)
        return torch.from_numpy(out)

    return run


def autocast(module: nn.Module) -> Any:
    def run(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(x.contiguous(memory_format=torch.channels_last), sigma)

    return run


@pytest.mark.parametrize("case", ["adm", *(pytest.param(name, marks=pytest.mark.slow) for name in list(CASES)[1:])])
def test_graphs_compute_what_the_module_computes(case: str, tmp_path: Path) -> None:
    module, path = exported(case, tmp_path)
    assert worst(runner(OnnxRuntimeGraph(path, threads=1)), module) < 1e-4
    assert worst(openvino(path, module, "float32"), module) < 1e-4
    # bfloat16 rounds to 2^-9; a time embedding that is rounded too gives 0.1 and more.
    narrow = worst(openvino(path, module, "bfloat16"), module)
    assert 1e-4 < narrow < 0.04
    assert narrow < 2 * worst(autocast(module), module)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["adm", "ncsn++"])
def test_torch_compile_takes_the_whole_module_without_a_break(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    architecture, network, preconditioning, label = CASES[case]
    module = denoiser(architecture, network, preconditioning, label).requires_grad_(False)
    compiled = torch.compile(module, fullgraph=True, dynamic=False)
    assert worst(compiled, module) < 1e-4
