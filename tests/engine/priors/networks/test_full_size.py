"""The FFHQ-size network, 93.6 million parameters, through the way a checkpoint takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lmaps.engine.priors.networks import ARCHITECTURES
from lmaps.engine.priors.networks.recognise import recognise

from .plain_adm import adm
from .test_recognise import listed


def random_checkpoint(name: str, prefix: str) -> dict[str, Tensor]:
    generator, state = torch.Generator().manual_seed(0), {}
    for key, shape in listed(name).items():
        noise = torch.randn(shape, generator=generator)
        fan_in = noise[0].numel() if noise.ndim > 1 else 25
        state[prefix + key] = noise / fan_in**0.5 + (1 if noise.ndim == 1 and key.endswith("weight") else 0)
    return state


@pytest.mark.slow
def test_ffhq_size_network_is_the_plain_one() -> None:
    checkpoint = random_checkpoint("ffhq_10m", "module.")
    found = recognise({key: tuple(value.shape) for key, value in checkpoint.items()})
    with torch.device("meta"):
        module = ARCHITECTURES[found.architecture](found.settings).eval().requires_grad_(False)
    state = {str(found.module_key(key)): value for key, value in checkpoint.items()}
    module.load_state_dict(state, assign=True)
    x, sigma = 3 * torch.randn(1, 3, 64, 96), torch.tensor([0.35])
    plain = {key.removeprefix("module."): value for key, value in checkpoint.items()}
    t = module.timestep(sigma)
    noise = adm(plain, x / (1 + sigma**2).sqrt(), t, heads=None)
    assert noise.shape == (1, 6, 64, 96)
    got, want = module(x, sigma), x - sigma * noise[:, :3]
    assert got.shape == x.shape
    assert float((got - want).norm() / (want - x).norm()) < 1e-4
