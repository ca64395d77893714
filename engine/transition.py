"""Eq. 2 of the paper with alpha = 1: from an estimate of the clean image to the next noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _native
from .noise import standard_normal


def initial_state(shape: Sequence[int], sigma_max: float, seeds: Sequence[int], device: torch.device) -> Tensor:
    """x ~ N(0, sigma_max^2 I), [len(seeds), *shape] float32; step 0 of each image's transition noise."""
    return sigma_max * standard_normal(shape, seeds, step=0, device=device)


def transition(
    x0: Tensor, x: Tensor, sigma: float, sigma_next: float, *, rho: float, seeds: Sequence[int], step: int
) -> Tensor:
    """x_next = x0 + sigma_next (sqrt(1 - rho^2) (x - x0) / sigma + rho n),  n ~ N(0, I).

    x0, x:  clean estimate and state at `sigma`, [B, C, H, W] float32.
    rho:    1 re-noises fully, 0 is the deterministic DDIM step; in [0, 1].
    seeds:  one an image; step counts the noise drawn so far, from 1 (0 drew the initial state).
    At sigma_next = 0 the estimate itself is returned. Source: Zhang et al. 2025, Eq. 2.
    """
    if sigma_next == 0:
        return x0
    if x0.device.type == "cpu" and x0.dtype == torch.float32:
        x0, x = x0.contiguous(), x.contiguous()
        out = torch.empty_like(x0)
        _native.transition(x0, x, sigma, sigma_next, rho, list(seeds), step, out=out)
        return out
    noise = standard_normal(x0.shape[1:], seeds, step=step, device=x0.device).to(x0.dtype)
    return transition_twin(x0, x, sigma, sigma_next, rho, noise)


def transition_twin(x0: Tensor, x: Tensor, sigma: float, sigma_next: float, rho: float, noise: Tensor) -> Tensor:
    """The same formula in plain torch, for any device and precision, with the noise given."""
    return x0 + sigma_next * (math.sqrt(1 - rho * rho) * (x - x0) / sigma + rho * noise)
