"""The probability-flow ODE dx / dsigma = (x - E[x0 | x]) / sigma, for methods that follow it inside one step of the loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from .base import Step


def flow(x: Tensor, xhat: Tensor, levels: Sequence[float], at: Step, *, clip: bool = False) -> Tensor:
    """Euler steps x <- x + (s' - s) (x - D(x; s)) / s from levels[0] to levels[-1]; with alpha = 1 they are DDIM's, eta = 0.

    xhat = D(x; levels[0]) is known already, so n levels cost n - 2 calls of the network. clip: D is clipped to [-1, 1].
    """
    for k in range(len(levels) - 1):
        clean = xhat if k == 0 else at.denoise(x, at.levels(x, levels[k]))
        if clip:
            clean = clean.clamp(-1, 1)
        x = x + (levels[k + 1] - levels[k]) / levels[k] * (x - clean)
    return x


def strided(steps: int) -> Tensor:
    """Noise levels of the DDPM times (steps - 1) s, .. 2 s, s, 0 with s = 1000 // steps, then 0: the grid of DDRM's code."""
    count = checks.whole(steps, "steps", 1, schedules.DDPM_STEPS)
    times = torch.arange(count - 1, -1, -1) * (schedules.DDPM_STEPS // count)
    return torch.cat([schedules.ddpm_sigmas()[times], torch.zeros(1, dtype=torch.float64)])


def ddim_levels(sigma: float, steps: int) -> list[float]:
    """sigma, then the noise levels of DDPM times evenly spaced below it, then 0: `steps` calls of the network or fewer."""
    known = schedules.ddpm_sigmas()
    top = int(torch.searchsorted(known, torch.tensor(sigma, dtype=torch.float64)))
    times = torch.linspace(top, 0, steps + 1, dtype=torch.float32)[1:-1].round().long().unique().flip(0)
    lower = [float(s) for s in known[times.clamp(max=len(known) - 1)] if float(s) < sigma]
    return [sigma, *lower, 0.0]
