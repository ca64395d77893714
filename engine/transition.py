"""Eq. 2 of the paper with alpha = 1: from an estimate of the clean image to the next noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _native
from ..kernels import available
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


def kernel_name(device: torch.device) -> str:
    """What takes the transition on this device, for stats."""
    if device.type == "cpu":
        return f"cpu {_native.isa()}"
    return "triton" if available()[0] else "torch"


class Arrivals:
    """Eq. 2 for every step of a schedule, its constants and the count of noise drawn on the device: for a CUDA graph.

    Arrival k leads to sigmas[k] and draws its noise with step k: 0 is the initial state, k = i + 1 ends step i. The numbers
    are those of `transition` up to rounding. The last one, to sigma = 0, returns x0.
    """

    def __init__(self, sigmas: Sequence[float], rho: float, device: torch.device) -> None:
        from ..kernels import schedule  # brings Triton, which a CPU has no use for

        first = schedule.table(r=0, k2=0, eta=0, sigma_next=sigmas[0], device=device)
        rest = schedule.table(r=0, k2=0, eta=0, sigma=sigmas[:-1], sigma_next=sigmas[1:], rho=rho, device=device)
        self._rows = torch.cat([first, rest])
        self._carries = rho < 1
        self.kernel = "triton" if available()[0] else "torch"

    def start(self, x: Tensor, seeds: Tensor, arrival: Tensor) -> None:
        """Fill x [B, C, H, W] with the initial state. seeds: int64 [B]; arrival: int32 [1] that holds 0."""
        x.zero_()
        self._write(x, None, x, seeds, arrival)

    def __call__(self, x0: Tensor, x: Tensor, seeds: Tensor, arrival: Tensor) -> Tensor:
        """Overwrite x with the state at arrival's noise level. arrival: int32 [1] on the device."""
        self._write(x0.contiguous(), x if self._carries else None, x, seeds, arrival)
        return x

    def _write(self, x0: Tensor, x: Tensor | None, out: Tensor, seeds: Tensor, arrival: Tensor) -> None:
        if self.kernel == "triton":
            from ..kernels import transition as kernel

            kernel.apply(x0, seeds, self._rows, arrival, x=x, out=out)
            return
        from ..kernels import philox, schedule

        *_, carry, noise, _ = schedule.columns(self._rows, arrival)
        kept = x0 if x is None else x0 + carry * (x - x0)
        n = philox.normal(x0[0].numel(), seeds[:, None], arrival, 0, x0.device)
        torch.add(kept, noise * n.reshape(x0.shape), out=out)
