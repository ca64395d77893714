"""The shipped network's layout on a GPU, where torch's pixel shuffles answer in NCHW whatever they are given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lmaps.engine.priors.unet import ResidualBlock, UNet, UNetConfig

LAST = torch.channels_last


@pytest.fixture
def _shuffles_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pixel_shuffle", "pixel_unshuffle"):
        genuine = getattr(functional, name)
        monkeypatch.setattr(functional, name, lambda x, factor, genuine=genuine: genuine(x, factor).contiguous())


@pytest.mark.usefixtures("_shuffles_of_cuda")
@pytest.mark.parametrize("turned", [True, False])
def test_every_layer_keeps_the_layout_of_the_weights(turned: bool) -> None:
    network = UNet(UNetConfig(channels=(4, 6), blocks=(1, 1), embedding=8))
    x = torch.randn(2, 3, 8, 8)
    if turned:
        network.to(memory_format=LAST)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=LAST)
    layouts: list[bool] = []

    def look(_: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        layouts.extend(t.is_contiguous(memory_format=LAST) for t in (given[0], answer))

    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(look)
    network(x, torch.zeros(2))
    assert len(layouts) == 6
    if turned:
        assert all(layouts)
