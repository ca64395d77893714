"""q(m): what K gradient steps on a quadratic do to one eigenvalue, without the steps.

    q(m) = (1 - (1 - eta m)^K) / m,      q -> eta K as m -> 0,      q -> 1/m as K -> infinity

As written it divides 0 by 0 at m = 0 and loses its digits near it. Write q = eta s_K with t = eta m and the
geometric sum s_n = (1 - (1-t)^n) / t. Then

    s_2n = s_n (2 - t s_n),      s_(n+1) = 1 + s_n - t s_n,      s_0 = 0

so s_K takes 2 log2(K) multiplications, has no singularity, and never forms 1 - t.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import jit, tl


@jit
def filter_gain(m: tl.tensor, eta: tl.tensor, STEPS: tl.constexpr) -> tl.tensor:
    """q(m) for STEPS steps; STEPS = 0 stands for the limit 1/m, taken as 0 where m = 0."""
    if STEPS == 0:
        q = tl.where(m > 0, 1.0 / tl.where(m > 0, m, 1.0), 0.0)
    else:
        t = eta * m
        s = t * 0.0
        for bit in tl.static_range(31):
            if (STEPS >> (30 - bit)) > 0:
                s = s * (2.0 - t * s)
                if (STEPS >> (30 - bit)) & 1:
                    s = 1.0 + s - t * s
        q = eta * s
    return q


def filter_gain_twin(m: Tensor, eta: Tensor | float, steps: int | None) -> Tensor:
    """q(m) from its definition, as a sum of the K powers of 1 - eta m (so that m = 0 needs no special care)."""
    if steps is None:
        return torch.where(m > 0, 1 / torch.where(m > 0, m, torch.ones_like(m)), torch.zeros_like(m))
    contraction = 1 - eta * m
    total = torch.zeros_like(m)
    for _ in range(steps):
        total = 1 + contraction * total
    return eta * total
