"""The fused kernels inside the networks that use them, against the same networks in plain torch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.priors import norm
from lmaps.kernels import group_norm, modulate

from ...tiny import random_denoiser
from .helpers import error, pictures


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets the kernels run without a GPU, in the interpreter, and counts them."""
    made: list[str] = []

    def counted(module: Any, **tile: int) -> None:
        apply = module.apply

        def spy(*arguments: Any, **options: Any) -> Tensor:
            made.append(module.__name__.rpartition(".")[2])
            return apply(*arguments, **options, **tile)

        monkeypatch.setattr(module, "apply", spy)

    counted(modulate, block=4096)
    counted(group_norm)
    monkeypatch.setattr(norm, "_on_gpu", lambda x: True)
    return made


@pytest.mark.parametrize("batch", [1, 2])
def test_the_shipped_architecture(calls: list[str], batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = random_denoiser().to(memory_format=torch.channels_last)
    x = pictures(batch, 3, 16, 24).contiguous(memory_format=torch.channels_last)
    sigma = torch.tensor([0.3, 4.0])[:batch]
    with torch.no_grad():
        fused = module(x, sigma)
        assert calls == ["modulate"] * 6
        monkeypatch.setattr(norm, "_on_gpu", lambda x: False)
        plain = module(x, sigma)
    assert len(calls) == 6
    assert error(fused, plain) < 1e-6


@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("silu", [True, False])
def test_a_norm(calls: list[str], modulated: bool, silu: bool) -> None:
    layer = nn.GroupNorm(3, 12, eps=1e-3)
    layer.weight.data, layer.bias.data = pictures(12, seed=1), pictures(12, seed=2)
    scale, shift = pictures(2, 24, seed=3).chunk(2, dim=1) if modulated else (None, None)
    x = (pictures(2, 12, 5, 7) + 1).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        fused = norm.norm_scale_shift_silu(x, layer, scale, shift, silu=silu)
    assert calls == ["group_norm"]
    h = nn.functional.group_norm(x.double(), 3, layer.weight.double(), layer.bias.double(), 1e-3)
    if scale is not None and shift is not None:
        h = h * (1 + scale.double()[:, :, None, None]) + shift.double()[:, :, None, None]
    assert error(fused, nn.functional.silu(h) if silu else h) < 1e-6


def test_a_gradient_or_another_layout_takes_plain_torch(calls: list[str]) -> None:
    x, scale = pictures(1, 4, 3, 3).contiguous(memory_format=torch.channels_last), torch.ones(1, 4)
    layer = nn.GroupNorm(2, 4)
    norm.scale_shift_silu(x.clone().requires_grad_(), scale, scale).sum().backward()
    # torch 2.13's GroupNorm crashes in its backward on a CPU where a channels-last x itself has no gradient.
    norm.norm_scale_shift_silu(x.clone().requires_grad_(), layer, scale, scale).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        norm.scale_shift_silu(pictures(1, 4, 3, 3), scale, scale)
        norm.scale_shift_silu(x.double(), scale, scale)
    assert calls == []
