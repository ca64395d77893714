"""Noise levels of a run: decreasing sigmas in units of the [-1, 1] range, then 0.

All of them are in the alpha = 1 convention. A VP state x_t = alpha x_0 + s n is the same thing as x_t / alpha at
sigma = s / alpha, and Eq. 2 divided by alpha is Eq. 2 with alpha = 1, so one loop serves both families.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DDPM_STEPS = 1000
DDPM_BETAS = (1e-4, 2e-2)


def edm(steps: int, sigma_max: float = 100.0, sigma_min: float = 0.1, rho: float = 7.0) -> Tensor:
    """sigma_i = (sigma_max^(1/rho) + i/steps (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho for i < steps, then 0.

    The grid of DAPS and InverseBench: the point at sigma_min itself is replaced by 0. Returns float64 [steps + 1].
    Raises ValueError for steps < 1 or unless sigma_max > sigma_min > 0.
    """
    _check_steps(steps)
    if not sigma_max > sigma_min > 0:
        raise ValueError(f"need sigma_max > sigma_min > 0, got sigma_max={sigma_max}, sigma_min={sigma_min}")
    if not rho > 0:
        raise ValueError(f"rho must be positive, got {rho}")
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    share = torch.arange(steps, dtype=torch.float64) / steps
    return torch.cat([(top + share * (bottom - top)) ** rho, torch.zeros(1, dtype=torch.float64)])


def ddim(steps: int) -> Tensor:
    """sigma_t = sqrt((1 - abar_t) / abar_t) at `steps` evenly spaced DDPM times 999 .. , then 0.

    abar_t is the running product of 1 - beta, beta linear from 1e-4 to 2e-2 over 1000 steps (Ho et al. 2020). Times are spaced
    from the end: t_i = round(1000 (1 - i/steps)) - 1. Returns float64 [steps + 1]. Raises ValueError unless 1 <= steps <= 1000.
    """
    _check_steps(steps)
    if steps > DDPM_STEPS:
        raise ValueError(f"a DDIM grid has at most {DDPM_STEPS} steps, got {steps}")
    levels = ddpm_sigmas()
    times = torch.round(DDPM_STEPS * (1 - torch.arange(steps, dtype=torch.float64) / steps)).long() - 1
    return torch.cat([levels[times], torch.zeros(1, dtype=torch.float64)])


def ddpm_sigmas() -> Tensor:
    """Noise level of every DDPM time 0 .. 999 with linear betas, increasing, float64 [1000]."""
    betas = torch.linspace(*DDPM_BETAS, DDPM_STEPS, dtype=torch.float64)
    abar = torch.cumprod(1 - betas, 0)
    return ((1 - abar) / abar).sqrt()


def validated(schedule: Tensor | Sequence[float]) -> Tensor:
    """The schedule as float64 [N + 1] on the CPU; raises ValueError unless it is finite, decreasing and ends with 0."""
    sigmas = torch.as_tensor(schedule, dtype=torch.float64).detach().cpu()
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(f"a schedule needs at least one noise level and a final 0, got shape {tuple(sigmas.shape)}")
    if not torch.isfinite(sigmas).all():
        raise ValueError("the schedule holds a value that is not finite")
    if sigmas[-1] != 0:
        raise ValueError(f"the schedule must end with 0, it ends with {float(sigmas[-1])}")
    if not (sigmas[1:] < sigmas[:-1]).all():
        raise ValueError("the schedule must be strictly decreasing")
    return sigmas


def _check_steps(steps: int) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
