"""Priors that are an ONNX graph: the wrapped graph against the same network wrapped in torch, on both run times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import NoiseSchedule, Prior, PriorError, load_prior
from lmaps.engine.priors.from_onnx import save_graph

from .graphs import FLOAT, HALF, INT, Network, write_graph

TABLE = NoiseSchedule("cosine", 50)


def denoised(
    network: Network, x: Tensor, sigma: Tensor, prediction: str, schedule: NoiseSchedule, nearest: bool = False
) -> Tensor:
    """The formulas, plainly, in float64 but for the network."""
    table = torch.from_numpy(schedule.table())
    s = sigma.double()
    levels = ((1 - table) / table).sqrt().log()
    t = torch.stack([_position(levels, value) for value in s.log()])
    t = t.round() if nearest else t
    s4 = s.reshape(-1, 1, 1, 1)
    with torch.no_grad():
        u = x.double() / (1 + s4**2).sqrt()
        out = network(u.float(), t.float()).double()[:, :3]
    answers = {
        "epsilon": x.double() - s4 * out,
        "v": u / (1 + s4**2).sqrt() - s4 / (1 + s4**2).sqrt() * out,
        "sample": out,
    }
    return answers[prediction]


def _position(levels: Tensor, value: Tensor) -> Tensor:
    k = int((levels <= value).sum().clamp(1, len(levels) - 1)) - 1
    return (k + (value - levels[k]) / (levels[k + 1] - levels[k])).clamp(0, len(levels) - 1)


def noisy(size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Tensor]:
    sigma = torch.logspace(-0.7, 0.6, batch) if batch > 1 else torch.tensor([0.7])
    return torch.randn(batch, 3, *size) * (1 + sigma.reshape(-1, 1, 1, 1)), sigma


def error(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_the_graph_is_the_wrapped_network_on_both_run_times(prediction: str, tmp_path: Path) -> None:
    network = Network(out=6)
    path = write_graph(tmp_path / "net.onnx", network)
    prior = Prior.from_onnx(path, prediction=prediction, schedule=TABLE)
    assert (prior.channels, prior.multiple) == (3, 2)
    x, sigma = noisy((14, 22))
    want = denoised(network, x, sigma, prediction, TABLE)
    assert error(prior.denoise(x, sigma), want) < 1e-5
    for backend in ("onnxruntime", "openvino"):
        denoiser = open_denoiser(prior, backend=backend, precision="float32", size=(14, 22), batch=2, device="cpu")
        assert error(denoiser(x, sigma), want) < 1e-5


def test_any_size_is_padded_to_what_the_graph_wants(tmp_path: Path) -> None:
    prior = Prior.from_onnx(write_graph(tmp_path / "net.onnx", Network()), prediction="epsilon")
    x, sigma = noisy((9, 13))
    assert prior.denoise(x, sigma).shape == x.shape


@pytest.mark.parametrize(
    ("variant", "nearest"),
    [
        ({"t_type": INT}, True),
        ({"x_type": HALF}, False),
        ({"x_type": HALF, "t_type": HALF}, False),
        ({"t_shape": ["batch", 1, 1, 1]}, False),
        ({"names": ("sigma", "x", "denoised")}, False),
        ({"names": ("in/put.0", 'odd "name"', "a b")}, False),
        ({"external": "net.weights"}, False),
        ({"opset": 20}, False),
    ],
)
def test_graphs_as_people_export_them(variant: dict[str, Any], nearest: bool, tmp_path: Path) -> None:
    network = Network()
    path = write_graph(tmp_path / "net.onnx", network, **variant)
    prior = Prior.from_onnx(path, prediction="epsilon", schedule=TABLE)
    x, sigma = noisy((6, 10))
    tolerance = 1e-5 if variant.get("x_type", FLOAT) == FLOAT else 3e-3
    assert error(prior.denoise(x, sigma), denoised(network, x, sigma, "epsilon", TABLE, nearest)) < tolerance


def test_a_denoiser_needs_no_schedule_and_may_work_in_another_range(tmp_path: Path) -> None:
    network = Network()
    path = write_graph(tmp_path / "net.onnx", network, names=("image", "sigma", "clean"))
    x, sigma = noisy((8, 6))
    with torch.no_grad():
        plain, unit = network(x, sigma), 2 * network((x + 1) / 2, sigma / 2) - 1
    assert error(Prior.from_onnx(path, prediction="denoised").denoise(x, sigma), plain) < 1e-5
    prior = Prior.from_onnx(path, prediction="denoised", value_range=(0, 1))
    assert error(prior.denoise(x, sigma), unit) < 1e-5


@pytest.mark.parametrize("t_shape", [[], [1]])
def test_graphs_of_fixed_shape_say_what_they_take(t_shape: list[int], tmp_path: Path) -> None:
    network = Network()
    path = write_graph(tmp_path / "net.onnx", network, shape=[1, 3, 16, 16], t_shape=t_shape)
    prior = Prior.from_onnx(path, prediction="epsilon", schedule=TABLE)
    assert (prior.config.size, prior.config.batch) == ((16, 16), 1)
    x, sigma = noisy((16, 16), batch=1)
    assert error(prior.denoise(x, sigma), denoised(network, x, sigma, "epsilon", TABLE)) < 1e-5
    assert prior.denoise(x[..., :11, :13], sigma).shape == (1, 3, 11, 13)
    with pytest.raises(PriorError, match=r"takes pictures of 16x16 only, got 20x30: use tile=16"):
        open_denoiser(prior, size=(20, 30), batch=1, device="cpu")
    with pytest.raises(PriorError, match=r"takes 1 picture\(s\) a call, got 2"):
        open_denoiser(prior, size=(16, 16), batch=2, device="cpu")


def test_it_restores_and_refuses_what_needs_a_gradient(tmp_path: Path) -> None:
    prior = Prior.from_onnx(write_graph(tmp_path / "net.onnx", Network()), prediction="sample", name="mine")
    restorer = lmaps.compile("sr4", prior, size=(32, 32), steps=3, device="cpu", backend="onnxruntime")
    result = restorer(torch.zeros(1, 3, 8, 8))
    assert result.status == "ok"
    assert result.stats["prior"] == "mine"
    assert torch.isfinite(result.image).all()
    with pytest.raises(PriorError, match=r"'mine' is an ONNX graph.*gradient"):
        lmaps.compile("sr4", prior, size=(32, 32), steps=3, device="cpu", solver="dps")
    with pytest.raises(PriorError, match="no torch network"):
        prior.module()
    x, sigma = noisy((8, 8))
    with pytest.raises(PriorError, match="gradient"):
        prior.denoise(x.requires_grad_(), sigma)


def test_a_saved_graph_is_a_prior_like_any_other(tmp_path: Path) -> None:
    network = Network()
    path = write_graph(tmp_path / "net.onnx", network, external="net.weights")
    save_graph(path, tmp_path / "prior", prediction="epsilon", schedule=TABLE, licence="CC0-1.0")
    assert sorted(p.name for p in (tmp_path / "prior").iterdir()) == ["config.json", "model.onnx", "net.weights"]
    for old in (path, tmp_path / "net.weights"):
        old.unlink()
    prior = load_prior(tmp_path / "prior")
    assert prior.config.licence == "CC0-1.0"
    assert prior.config.settings["prediction"] == "epsilon"
    x, sigma = noisy((6, 10))
    assert error(prior.denoise(x, sigma), denoised(network, x, sigma, "epsilon", TABLE)) < 1e-5
    (tmp_path / "prior" / "net.weights").write_bytes(b"\0" * 16)
    with pytest.raises(PriorError, match=r"net\.weights is not the file"):
        load_prior(tmp_path / "prior")


def escape(path: Path, location: str) -> None:
    """Point the graph's external data at `location`."""
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "sub/../../secret"])
def test_a_graph_that_reads_outside_its_folder_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret" * 4096)
    (tmp_path / "net").mkdir()
    path = write_graph(tmp_path / "net" / "net.onnx", Network(), external="net.weights")
    escape(path, location)
    with pytest.raises(PriorError, match="outside its folder"):
        Prior.from_onnx(path, prediction="epsilon")


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ({"extra_input": True}, {}, "class_labels of rank 1"),
        ({"opset": 11}, {}, "opset 11; 13 or later"),
        ({"shape": ["b", "c", "h", "w"]}, {}, r"how many channels.*--channels"),
        ({}, {"channels": 1}, "takes pictures of 3 channels, not 1"),
        ({"shape": ["b", 3, 16, "w"]}, {}, "fixes one side"),
        ({"t_type": INT}, {"timestep": "interpolated"}, "takes whole steps; use timestep 'nearest'"),
        ({"t_type": INT}, {"prediction": "denoised"}, "takes whole numbers and cannot be sigma"),
        ({}, {"prediction": "denoised", "schedule": "linear"}, "has no schedule"),
        ({}, {"multiple": 3}, "does not work as described.*9x15"),
        ({}, {"prediction": "score"}, "one of epsilon"),
        ({}, {"value_range": (1, 0)}, "lower first"),
    ],
)
def test_what_does_not_fit_is_named(
    variant: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write_graph(tmp_path / "net.onnx", Network(), **variant)
    with pytest.raises(ValueError, match=message):
        Prior.from_onnx(path, **{"prediction": "epsilon", **options})


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "net.onnx", Network())
    data = path.read_bytes()
    for bad, message in ((b"", "empty"), (data[:100], "damaged"), (data[:-3], "damaged"), (b"<html>" * 50, "net.onnx")):
        path.write_bytes(bad)
        with pytest.raises(PriorError, match=message):
            Prior.from_onnx(path, prediction="epsilon")
    with pytest.raises(PriorError, match="does not exist"):
        Prior.from_onnx(tmp_path / "none.onnx", prediction="epsilon")
