"""Adam, entry by entry, so that a batch takes the steps of its images alone."""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  step = lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Holds the moments of one optimisation. Source: Kingma, Ba 2015, Algorithm 1.
    """

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.lr, self.betas, self.eps = lr, betas, eps
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.count = 0

    def step(self, g: Tensor) -> Tensor:
        """What is to be subtracted from the variable whose gradient is g."""
        g = g.detach()
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(g), torch.zeros_like(g)
        self.count += 1
        b1, b2 = self.betas
        self.first = self.first.lerp(g, 1 - b1)
        self.second = self.second.lerp(g * g, 1 - b2)
        m = self.first / (1 - b1**self.count)
        v = self.second / (1 - b2**self.count)
        return self.lr * m / (v.sqrt() + self.eps)
