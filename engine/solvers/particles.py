"""Particles of one image, side by side with those of other images: weighing and drawing them from per-image noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators.base import Spectrum
from .base import Step

# Draws of one step: one noise a particle first, then the one that picks ancestors.
PICK = 2**15
# And the noises that particles start from: the first step draws with the same index as the start.
START = 3 * 2**14


def log_normal(misfit: Tensor, variance: Tensor, basis: Spectrum, where: Tensor) -> Tensor:
    """-(1/2) sum |misfit|^2 / variance over the coefficients `where`: [B, ...] -> [B], float64.

    Without the normaliser, which all particles share. variance is per pixel; `norms` turns squares of coefficients into theirs.
    """
    weight = torch.where(where, 1 / variance, torch.zeros_like(variance))
    if basis.norms is not None:
        weight = weight * basis.norms
    return -0.5 * (misfit.abs().double().square() * weight).flatten(1).sum(1)


def pick(log_weights: Sequence[Tensor], at: Step, count: int | None = None) -> Tensor:
    """`count` (P unless given) ancestors of each image from P weights [B]: [count, B] indices, by systematic resampling.

    One uniform number an image: u = Phi(n) for a normal n of its own stream.
    """
    logs = torch.stack(list(log_weights), dim=1)
    total = logs.softmax(dim=1).cumsum(dim=1)
    total[:, -1] = 1.0
    number = logs.shape[1] if count is None else count
    n = at.normal(logs.new_empty((len(logs), 1)), PICK)
    u = 0.5 * torch.erfc(-n / math.sqrt(2))
    places = (torch.arange(number, device=logs.device, dtype=logs.dtype) + u) / number
    return torch.searchsorted(total, places.contiguous()).clamp(max=logs.shape[1] - 1).T


def gather(particles: Sequence[Tensor], ancestors: Tensor) -> list[Tensor]:
    """Particle p of image b becomes particle ancestors[p, b] of image b."""
    stack = torch.stack(list(particles))
    images = torch.arange(stack.shape[1], device=stack.device)
    return [stack[row, images] for row in ancestors]
