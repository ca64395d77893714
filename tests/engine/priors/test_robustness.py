"""No grid, no colour cast, no blow-up: every shipped prior, on flat, dark and bright pictures, at any size and noise level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from lmaps.engine import priors
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import load_prior

from .artefacts import artefacts, grid

NAMES = sorted(path.parent.name for path in Path(priors.__file__).parent.glob("*/config.json"))
BACKENDS = (("torch", "float32"), ("openvino", "auto"))
SIZES = ((64, 64), (75, 96))
LARGE_SIZES = ((131, 200), (384, 512), (767, 1023), (1024, 768))
# One level of 8 bits. What noise puts on the lattice itself may come through to a tenth.
VISIBLE = 2 / 255
THROUGH = 0.1
# Noise level: how far the mean of a channel may move, beyond what the noise moved it. 0.02 is two and a half levels of 8 bits.
CASTS = {0.005: 0.002, 0.05: 0.004, 0.2: 0.008, 0.5: 0.02, 1.0: 0.04}
REACH = 2.0


def pictures(height: int, width: int) -> Iterator[tuple[str, Tensor]]:
    """Name and clean picture [1, 3, H, W]."""
    for name, level in (("grey", 0.0), ("nearly black", -0.97), ("nearly white", 0.97)):
        yield name, torch.full((1, 3, height, width), level)
    yield "blue", torch.tensor([-0.5, -0.2, 0.6]).reshape(1, 3, 1, 1).expand(1, 3, height, width)
    astronaut = data.astronaut()
    tiled = np.tile(astronaut, (math.ceil(height / 512), math.ceil(width / 512), 1))[:height, :width]
    photo = torch.from_numpy(tiled.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    yield "photograph", photo
    yield "dark photograph", (photo + 1) * 0.05 - 1
    yield "bright photograph", 1 - (1 - photo) * 0.05


def noisy(clean: Tensor, sigma: float) -> Tensor:
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))


def check(name: str, backend: str, precision: str, size: tuple[int, int]) -> None:
    prior = load_prior(name)
    denoise = open_denoiser(prior, backend=backend, precision=precision, size=size, batch=1, device="cpu")
    for kind, clean in pictures(*size):
        for sigma, cast in CASTS.items():
            x = noisy(clean, sigma)
            found, given = artefacts(denoise(x, torch.tensor([sigma])), clean, prior.multiple), x.double() - clean
            where = f"{kind}, sigma {sigma}, {size[0]}x{size[1]}: {found}"
            assert found.grid <= VISIBLE + THROUGH * grid(given, prior.multiple), where
            assert found.cast <= cast + float(given.mean((0, 2, 3)).abs().amax()), where
            assert found.reach <= REACH, where


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("backend", "precision"), BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_no_grid_no_cast_no_blow_up(name: str, backend: str, precision: str, size: tuple[int, int]) -> None:
    check(name, backend, precision, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGE_SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_no_grid_no_cast_no_blow_up_when_large(name: str, size: tuple[int, int]) -> None:
    check(name, "openvino", "auto", size)


@pytest.mark.parametrize(("backend", "precision"), BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_finite_and_bounded_from_the_least_noise_to_the_most(name: str, backend: str, precision: str) -> None:
    size = (64, 72)
    denoise = open_denoiser(load_prior(name), backend=backend, precision=precision, size=size, batch=1, device="cpu")
    for _, clean in pictures(*size):
        for sigma in np.geomspace(0.005, 100, 9).tolist():
            y = denoise(noisy(clean, sigma), torch.tensor([sigma]))
            assert torch.isfinite(y).all()
            assert y.abs().amax() <= REACH


def test_the_measures_see_what_they_are_for() -> None:
    clean = torch.rand(1, 3, 75, 96) * 2 - 1
    stripes = torch.zeros(75, 96)
    stripes[:, ::8] = 1
    printed = artefacts(clean + 0.05 * stripes, clean, 8)
    # A comb of height 0.05 has the standard deviation 0.05 sqrt(7) / 8; what of it is a slope is not counted.
    assert printed.grid == pytest.approx(0.05 * math.sqrt(7) / 8, rel=0.25)
    assert printed.grid > VISIBLE
    tinted = artefacts(clean + torch.tensor([0.0, 0.04, 0.0]).reshape(1, 3, 1, 1), clean, 8)
    assert tinted.cast == pytest.approx(0.04, abs=1e-6)
    assert tinted.grid < 1e-6
    assert artefacts(7 * clean / clean.abs().amax(), clean, 8).reach == pytest.approx(7)
    gradient = torch.linspace(-1, 1, 96).expand(1, 3, 75, 96)
    assert grid(gradient, 8) < 1e-6
