"""The scientific tasks on the command line: a picture measured, its measurement restored, an observation as it comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import lmaps
from lmaps.engine.cli import app, given
from lmaps.engine.files import Picture, read_image, read_measurement, write_image
from lmaps.engine.operators import BlackHole, from_config, observation

from ..operators import synthetic
from ..test_science import torch_prior
from .conftest import one_line


@pytest.fixture
def square(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:32, 0:32].astype(np.float32)
    write_image(tmp_path / "square.png", Picture(np.stack([0.5 + 0.4 * np.sin(x / 7 + k + y / 9) for k in range(3)])))
    return tmp_path / "square.png"


def run(prior: lmaps.Prior, monkeypatch: pytest.MonkeyPatch, *words: object) -> Result:
    monkeypatch.setattr("lmaps.engine.priors.load_prior", lambda name: prior)
    return command("restore", *words, "--steps", "2", "--backend", "torch", "--inner-steps", "3")


def command(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("channels", [1, 3])
def test_a_scattered_picture_comes_back_grey(
    square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    """With a prior of one channel, and with one of photographs."""
    done = command(
        "degrade",
        square,
        "-o",
        tmp_path / "y.png",
        "-t",
        "scattering",
        "--param",
        "receivers=24",
        "--param",
        "transmitters=6",
    )
    assert done.exit_code == 0, done.output
    measurement = read_measurement(tmp_path / "y.npz")
    assert measurement.y.shape == (1, 6, 24, 2)
    assert measurement.noise == pytest.approx(1e-4 / 2**0.5)
    grey = torch.from_numpy(read_image(square).pixels.mean(0))[None, None]
    exact = from_config(measurement.operator)(2 * grey - 1)[0]
    assert float((torch.from_numpy(measurement.y) - exact).std()) == pytest.approx(measurement.noise, rel=0.2)
    assert read_image(tmp_path / "y.png").pixels.shape == (1, 6, 24)
    done = run(torch_prior(channels), monkeypatch, tmp_path / "y.npz", "-o", tmp_path / "x.png")
    assert done.exit_code == 0, done.output
    assert "spectral" in done.stdout
    assert read_image(tmp_path / "x.png").pixels.shape == (1, 32, 32)


def test_a_scan_comes_back_as_its_magnitude(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = command("degrade", photo, "-o", tmp_path / "y.png", "-t", "mri", "--param", "acceleration=2")
    assert done.exit_code == 0, done.output
    assert read_measurement(tmp_path / "y.npz").y.shape == (1, 32, 48, 2)
    done = run(torch_prior(2), monkeypatch, tmp_path / "y.npz", "-o", tmp_path / "x.png")
    assert done.exit_code == 0, done.output
    assert read_image(tmp_path / "x.png").pixels.shape == (1, 32, 48)
    assert "two channels" in one_line(run(torch_prior(1), monkeypatch, tmp_path / "y.npz", "-o", tmp_path / "z.png"))


def test_an_observation_is_restored_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "obs.uvfits").write_bytes(b"")
    seen = synthetic.observation(noise=0.05)
    monkeypatch.setattr("lmaps.engine.operators.black_hole.read_uvfits", lambda path: seen)
    said = ("--param", "fraction=0.5", "--eta", "1e-4")
    done = run(torch_prior(1), monkeypatch, tmp_path / "obs.uvfits", "-o", tmp_path / "x.png", *said)
    assert done.exit_code == 0, done.output
    assert read_image(tmp_path / "x.png").pixels.shape == (1, 64, 64)
    with pytest.raises(given.Stop, match="is an observation for task blackhole"):
        given.read_given(tmp_path / "obs.uvfits", given.Degradation("sr4"), 100)
    assert observation.Observation is BlackHole(seen).observation.__class__


def test_what_does_not_fit_is_said_in_one_line(photo: Path, tmp_path: Path) -> None:
    target = ("-o", tmp_path / "y.png")
    assert "32x48: give InverseScattering(side=n)" in one_line(command("degrade", photo, *target, "-t", "scattering"))
    assert "--param observation=FILE.uvfits" in one_line(command("degrade", photo, *target, "-t", "blackhole"))
    for task in ("scattering", "mri", "blackhole"):
        assert f"no measurement of {task}" in one_line(command("restore", photo, *target, "-t", task))
