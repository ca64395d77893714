"""The two networks: the shipped prior, and one of the size of the paper's for FFHQ with random weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import lmaps
from lmaps.engine.denoisers import Denoiser
from lmaps.engine.priors import Prior
from lmaps.engine.priors.networks.build import build_adm

from .bench import Bench

SHIPPED, FFHQ = "photo", "FFHQ-size"
# 93.6 million parameters: DPS, DAPS, SITCOM and LMAPS all use this network for FFHQ.
_FFHQ = {
    "model_channels": 128,
    "num_res_blocks": 1,
    "channel_mult": [1, 1, 2, 2, 4, 4],
    "attention_resolutions": [16],
    "num_head_channels": 64,
}
_TINY = {
    "model_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": [1, 2],
    "attention_resolutions": [2],
    "num_head_channels": 32,
}
_DDPM = {"kind": "ddpm", "betas": {"kind": "linear", "start": 1e-4, "end": 0.02, "steps": 1000}}
SIGMA = 0.3


def load(name: str, bench: Bench) -> Prior:
    """SHIPPED or FFHQ."""
    if name == SHIPPED:
        return lmaps.load_prior(name)
    torch.manual_seed(0)
    module = build_adm({"network": _TINY if bench.tiny else _FFHQ, "preconditioning": _DDPM})
    return Prior.from_module(
        module,
        prediction="denoised",
        channels=3,
        multiple=int(module.multiple),  # type: ignore[arg-type]
        name=f"{FFHQ}, random weights",
    )


def inputs(bench: Bench, batch: int, size: int | None = None) -> tuple[Tensor, Tensor]:
    """A noisy batch and its noise level, on the device."""
    side = size or bench.size
    generator = torch.Generator().manual_seed(batch)
    clean = 2 * torch.rand((batch, 3, side, side), generator=generator) - 1
    x = clean + SIGMA * torch.randn(clean.shape, generator=generator)
    return x.to(bench.device), torch.full((batch,), SIGMA, device=bench.device)


def flops(denoiser: Denoiser, x: Tensor, sigma: Tensor) -> int:
    """Multiplications and additions of the convolutions, matrix products and attention of one call (2 a multiply-add)."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        denoiser(x, sigma)
    return int(counter.get_total_flops())
