"""The fused norm inside the networks that others trained, in the interpreter, against plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lmaps.engine.priors import norm
from lmaps.engine.priors.networks.layers import Norm
from lmaps.kernels import group_norm

from ...engine.priors.networks.random_networks import ADM, DDPMPP, DHARIWAL, denoiser
from .helpers import error, pictures


@pytest.mark.parametrize(
    ("architecture", "network", "kind"),
    [
        ("song", DDPMPP | {"model_channels": 8}, "ve"),
        pytest.param("adm", ADM, "vp", marks=pytest.mark.slow),
        pytest.param("dhariwal", DHARIWAL, "edm", marks=pytest.mark.slow),
    ],
)
def test_every_norm_takes_the_kernel(
    architecture: str, network: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    launches: list[int] = []
    apply = group_norm.apply

    def counted(*arguments: Any, **options: Any) -> Any:
        launches.append(1)
        return apply(*arguments, **options)

    monkeypatch.setattr(group_norm, "apply", counted)
    module = denoiser(architecture, network, {"kind": kind}).to(memory_format=torch.channels_last)
    x = pictures(1, module.channels, 6, 4).contiguous(memory_format=torch.channels_last)
    sigma = torch.tensor([0.3])
    with torch.no_grad():
        want = module(x, sigma)
        assert not launches
        monkeypatch.setattr(norm, "_on_gpu", lambda x: True)
        fused = module(x, sigma)
    # All of them: between two norms nothing leaves channels-last memory.
    assert len(launches) == sum(isinstance(layer, Norm) for layer in module.modules())
    assert error(fused - x, want - x) < 1e-5
