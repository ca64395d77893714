"""The scientific problems from an operator to a result: rows of Table 4, priors of their own channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import lmaps
from lmaps.engine import presets, science, settings
from lmaps.engine.operators import MRI, BlackHole, InverseScattering, Operator
from lmaps.engine.presets import Preset

from .operators.synthetic import observation

SMALL = InverseScattering(24, 6, side=16)


class Shrink(torch.nn.Module):
    """E[x0 | x] of x0 ~ N(0, I)."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def torch_prior(channels: int) -> lmaps.Prior:
    return lmaps.Prior.from_module(Shrink(), prediction="denoised", channels=channels, multiple=1)


def graph_prior(channels: int, path: Path) -> lmaps.Prior:
    """The same as a graph, for OpenVINO."""
    shape = ["batch", channels, "height", "width"]
    nodes = [
        helper.make_node("Mul", ["sigma", "sigma"], ["variance"]),
        helper.make_node("Add", ["variance", "one"], ["both"]),
        helper.make_node("Reshape", ["both", "column"], ["both4"]),
        helper.make_node("Div", ["x", "both4"], ["denoised"]),
    ]
    constants = {"one": np.ones(1, np.float32), "column": np.asarray([-1, 1, 1, 1], np.int64)}
    graph = helper.make_graph(
        nodes,
        "shrink",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("sigma", TensorProto.FLOAT, ["batch"]),
        ],
        [helper.make_tensor_value_info("denoised", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return lmaps.Prior.from_onnx(path, prediction="denoised", multiple=1)


def chosen(operator: Operator, tuned: str | None = None, noise: float | None = None, largest: float = 1.0) -> Preset:
    task = settings.resolve(operator)[1]
    return settings.choose(operator, task, preset="auto", tuned=tuned, noise=noise, largest=lambda: largest)


@pytest.mark.parametrize(("receivers", "row"), [(360, "360"), (180, "180"), (60, "60"), (300, "360"), (100, "60")])
def test_scattering_takes_the_row_of_its_receivers(receivers: int, row: str) -> None:
    operator = InverseScattering(receivers)
    assert science.row_of(operator, None) == f"scattering-{row}"
    published = presets.load("paper", f"scattering-{row}")
    assert published is not None
    # eta k2 L of the published set-ups is 1.4 to 1.7, and stays.
    if receivers in science.RECEIVERS:
        assert chosen(operator, largest=1.7 / published.k2) == published
    else:
        assert chosen(operator, largest=0.01).k2 == pytest.approx(100)


def test_the_noise_of_a_row_is_its_own() -> None:
    row = chosen(InverseScattering(60), largest=1 / 30_000)
    louder = chosen(InverseScattering(60), largest=1 / 30_000, noise=2 * row.noise)
    assert (louder.k2, louder.eta) == pytest.approx((row.k2 / 4, 1.0))


def test_a_photograph_prior_keeps_its_noise_levels() -> None:
    row, photo = chosen(SMALL, tuned="photo"), presets.load("photo", "deblur-gaussian")
    assert photo is not None
    assert (row.steps, row.sigma_max, row.inner_steps, row.k1) == (photo.steps, photo.sigma_max, 50, 0.0)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_scattering_with_a_prior_of_one_channel(tmp_path: Path, backend: str) -> None:
    prior = torch_prior(1) if backend == "torch" else graph_prior(1, tmp_path / "net.onnx")
    truth = torch.rand(2, 1, 16, 16) * 2 - 1
    y = SMALL.degrade(truth, 1e-4, seed=1)
    restorer = lmaps.compile(SMALL, prior, size=(16, 16), batch=2, steps=4, backend=backend, precision="float32")
    result = restorer(y)
    assert result.status == "ok"
    assert result.image.shape == truth.shape
    assert (result.stats["strategy"], result.stats["task"]) == ("spectral", "scattering")
    with pytest.raises(ValueError, match="give InverseScattering"):
        lmaps.compile(SMALL, prior, size=(24, 24), backend="torch")


def test_scattering_of_the_task_by_name() -> None:
    operator, task = settings.resolve("scattering")
    assert isinstance(operator, InverseScattering)
    assert (operator.receivers, operator.transmitters, operator.side, task) == (360, 20, 128, "scattering")


@pytest.mark.parametrize(
    ("operator", "noise", "row"),
    [
        (MRI(), 0.0, "mri-4-noiseless"),
        (MRI(), None, "mri-4-raw"),
        (MRI(acceleration=8), 0.0, "mri-8-noiseless"),
        (MRI(mask=MRI.mask(320, 8)), 0.1, "mri-8-raw"),
        (MRI(mask=MRI.mask(320, 3)), None, "mri-4-raw"),
    ],
)
def test_mri_takes_the_row_of_its_acceleration(operator: MRI, noise: float | None, row: str) -> None:
    assert science.row_of(operator, noise) == row
    published = presets.load("paper", row)
    assert chosen(operator, noise=noise, largest=1.15) == published


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_mri_with_a_prior_of_two_channels(tmp_path: Path, backend: str) -> None:
    prior = torch_prior(2) if backend == "torch" else graph_prior(2, tmp_path / "net.onnx")
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn((2, 12, 16), generator=generator, dtype=torch.complex64)
    operator = MRI(maps / maps.abs().square().sum(0).sqrt(), MRI.mask(16, 4))
    truth = 0.5 * torch.randn((2, 2, 12, 16), generator=generator)
    restorer = lmaps.compile(operator, prior, size=(12, 16), batch=2, steps=4, backend=backend, precision="float32")
    result = restorer(operator(truth))
    assert (result.status, result.stats["strategy"], result.stats["task"]) == ("ok", "polynomial", "mri")
    assert result.x.shape == truth.shape
    assert torch.allclose(result.image, result.x.norm(dim=1, keepdim=True).clamp(0, 1))
    with pytest.raises(ValueError, match="use a prior of two channels"):
        lmaps.compile(operator, torch_prior(1), size=(12, 16), backend="torch")


@pytest.mark.parametrize(("fraction", "row"), [(1.0, "100"), (0.6, "100"), (0.1, "10"), (0.03, "3"), (0.04, "3")])
def test_a_black_hole_takes_the_row_of_its_fraction(fraction: float, row: str) -> None:
    operator = BlackHole(observation(4, 40), fraction)
    assert science.row_of(operator, None) == f"blackhole-{row}"
    published = presets.load("paper", f"blackhole-{row}")
    assert published is not None
    assert chosen(operator) == published
    assert chosen(operator, noise=2.0).k2 == pytest.approx(published.k2 / 4)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_black_hole_with_a_prior_of_one_channel(tmp_path: Path, backend: str) -> None:
    prior = torch_prior(1) if backend == "torch" else graph_prior(1, tmp_path / "net.onnx")
    operator = BlackHole(observation(noise=0.05))
    restorer = lmaps.compile(
        operator, prior, size=(12, 12), steps=4, backend=backend, precision="float32", eta=1e-4, inner_steps=5
    )
    result = restorer(operator.measurement())
    assert (result.status, result.stats["strategy"], result.stats["task"]) == ("ok", "autograd", "blackhole")
    assert result.image.shape == (1, 1, 12, 12)
