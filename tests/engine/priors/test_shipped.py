"""Every prior in the package: whole, licensed, quick to load, a denoiser, and the same on every backend."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from skimage import data
from torch import Tensor

from lmaps.engine import priors
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import load_prior

NAMES = sorted(path.parent.name for path in Path(priors.__file__).parent.glob("*/config.json"))
shipped = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    pixels = torch.from_numpy(data.astronaut()[10:266, 100:349].copy())
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(4 / (a - b).square().mean()))


@shipped
def test_loads_in_under_two_seconds_and_says_whose_it_is(name: str) -> None:
    start = time.perf_counter()
    prior = load_prior(name)
    assert time.perf_counter() - start < 2
    assert prior.name == name
    assert prior.config.licence
    assert prior.config.notes


@shipped
def test_removes_noise_and_16_bit_costs_nothing_that_shows(name: str, photo: Tensor) -> None:
    prior = load_prior(name)
    size = (photo.shape[-2], photo.shape[-1])
    fast = open_denoiser(prior, size=size, batch=1, device="cpu")
    for level, gain in ((0.1, 6.5), (0.4, 11.0)):
        sigma = torch.tensor([level])
        x = photo + level * torch.randn(photo.shape)
        with torch.no_grad():
            want = prior.denoise(x, sigma)
        assert psnr(want, photo) > psnr(x, photo) + gain
        got = fast(x, sigma)
        assert psnr(got, photo) > psnr(want, photo) - 0.02
        assert psnr(got, want) > 50
